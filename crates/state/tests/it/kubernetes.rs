//! States in a cluster: rolling updates, crashes and disconnected writers. Uses real processes
//! as pods.

use std::thread;
use std::time::{Duration, Instant};

use satellite_state::Snapshot;
use serde_json::json;

use crate::fake_kubernetes::FakeKubernetes;
use crate::process::{Satellite, start};
use crate::state_child::{
    Counts, TIMEOUT, address, bare_command, counts, eventually, get, last_count, started_with,
};

pub const NAMESPACE: &str = "shop";
pub const OLD: &str = "my-app-7d9f8b6c5d-x2x4z";
pub const NEW: &str = "my-app-6c5db8f9d4-tq9wv";
/// A holder that does not renew for this long is considered dead.
pub const LEASE_SECONDS: u64 = 2;

pub fn pod(cluster: &FakeKubernetes, name: &str, env: &[(&str, &str)]) -> Satellite {
    pod_at(&cluster.url(), cluster, name, env)
}

/// A pod that reaches the cluster's API at this URL.
pub fn pod_at(url: &str, cluster: &FakeKubernetes, name: &str, env: &[(&str, &str)]) -> Satellite {
    let mut command = bare_command();
    command
        .env("CHILD_KUBERNETES", url)
        .env("CHILD_ACCOUNT", cluster.account())
        .env("CHILD_LEASE_SECONDS", LEASE_SECONDS.to_string())
        .env("KUBERNETES_SERVICE_HOST", "10.0.0.1")
        .env("DORY_POD_NAME", name)
        .env("DORY_POD_NAMESPACE", NAMESPACE)
        .env("DORY_HEALTH_HOST", "127.0.0.1")
        .env("DORY_LOG_FORMAT", "text")
        .env("DORY_CHECKPOINT_SEC", "0.05")
        .env("DORY_SHUTDOWN_TIMEOUT_SEC", "5")
        .envs(env.iter().copied());
    start(command)
}

pub fn stored(cluster: &FakeKubernetes) -> Option<Snapshot> {
    let object = cluster.object("configmaps", NAMESPACE, "dory-state-my-app")?;
    let text = object["data"]["state"].as_str()?.to_owned();
    Some(Snapshot::from_document(text.as_bytes()).unwrap())
}

pub fn stored_count(cluster: &FakeKubernetes) -> u64 {
    let snapshot = stored(cluster).expect("something should be stored");
    serde_json::from_slice::<Counts>(&snapshot.content.state)
        .unwrap()
        .count
}

#[test]
fn fault_10_the_state_is_in_the_pods_own_namespace() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[]);
    old.line("count 3");
    old.signal("TERM");
    assert_eq!(old.end().0.code(), Some(0), "{:#?}", old.log);
    assert_eq!(stored_count(&cluster), last_count(&old));
    let object = cluster
        .object("configmaps", NAMESPACE, "dory-state-my-app")
        .unwrap();
    assert_eq!(object["metadata"]["labels"]["dory.io/state-owner"], "true");
    assert!(
        cluster
            .state()
            .requests
            .iter()
            .all(|r| r.contains("/namespaces/shop/")
                // Where dory-sdk saves under its own manifests.
                || r.starts_with("GET /api/v1/namespaces/default/configmaps/dory-state-"))
    );
    let lease = cluster
        .object("leases", NAMESPACE, "dory-state-my-app")
        .unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "", "released");
}

#[test]
fn fault_15_a_rolling_update_hands_over_the_last_state_to_exactly_one_writer() {
    for leases in [true, false] {
        let cluster = FakeKubernetes::start();
        if !leases {
            cluster.state().forbidden.push("/leases".into());
        }
        let mut old = pod(&cluster, OLD, &[("CHILD_DOES", "count in shutdown")]);
        let old_address = address(&mut old);
        old.line("count 5");

        let mut new = pod(&cluster, NEW, &[]);
        let from = started_with(&mut new);
        new.line("count ");
        old.line("handed over to");
        let counted = counts(&old);
        assert_eq!(
            from,
            counted.last().unwrap() + 100,
            "what shutdown did is there"
        );
        assert_eq!(
            counts(&new).first(),
            Some(&(from + 1)),
            "not one is lost or done twice"
        );

        // The old pod stays, not ready, until it is stopped; its hook responds
        // immediately.
        assert_eq!(get(&old_address, "/healthz").0, 200);
        let (status, body) = get(&old_address, "/ready");
        assert_eq!(
            (status, body.contains("handed over to")),
            (503, true),
            "{body}"
        );
        assert_eq!(get(&old_address, "/prestop").0, 200);
        new.line(&format!("count {}", from + 20));
        old.signal("TERM");
        assert_eq!(old.end().0.code(), Some(0), "{:#?}", old.log);
        assert_eq!(counts(&old), counted, "it did nothing since then");

        new.signal("TERM");
        assert_eq!(new.end().0.code(), Some(0));
        assert_eq!(stored_count(&cluster), last_count(&new));
        let stamp = stored(&cluster).unwrap().stamp;
        assert_eq!((stamp.epoch, stamp.is_released()), (2, true));
    }
}

#[test]
fn a_restarted_container_takes_its_state_immediately() {
    let cluster = FakeKubernetes::start();
    let mut first = pod(&cluster, "my-app-0", &[("DORY_PROCESSOR_ID", "my-app")]);
    first.line("count 5");
    first.signal("KILL");
    first.end();
    let begun = Instant::now();
    let mut second = pod(&cluster, "my-app-0", &[("DORY_PROCESSOR_ID", "my-app")]);
    assert!(started_with(&mut second) >= 1);
    assert!(begun.elapsed() < Duration::from_secs(LEASE_SECONDS));
}

#[test]
fn the_state_of_a_dead_pod_is_taken_when_its_lease_expires() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[]);
    old.line("count 5");
    old.signal("KILL");
    old.end();
    let before = stored_count(&cluster);
    let mut new = pod(&cluster, NEW, &[]);
    let address = address(&mut new);
    let waiting = eventually(|| {
        let (status, body) = get(&address, "/ready");
        (status == 503 && body.contains("waiting for")).then_some(body)
    });
    assert!(waiting.contains(OLD), "{waiting}");
    assert_eq!(get(&address, "/healthz").0, 200, "alive while it waits");
    assert_eq!(started_with(&mut new), before);
}

#[test]
fn a_pod_that_handed_over_restarts_when_its_successor_dies() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[]);
    old.line("count 3");
    let mut new = pod(&cluster, NEW, &[]);
    new.line("count ");
    old.line("handed over to");
    new.signal("KILL");
    new.end();
    // It exits; the kubelet restarts it.
    assert_eq!(old.end().0.code(), Some(0), "{:#?}", old.log);
    let stored = stored_count(&cluster);
    let mut again = pod(&cluster, OLD, &[]);
    assert_eq!(started_with(&mut again), stored);
    again.line("count ");
}

#[test]
fn a_disconnected_writer_is_fenced_and_overwrites_nothing() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[]);
    old.line("count 5");
    old.signal("STOP");
    let mut new = pod(&cluster, NEW, &[]);
    started_with(&mut new);
    new.line("count ");
    old.signal("CONT");
    let (status, _) = old.end();
    assert_eq!(status.code(), Some(1), "{:#?}", old.log);
    assert!(old.log.iter().any(|line| line.contains("fenced")));

    // Its container is restarted: it waits, and does not ask for the state.
    let mut again = pod(&cluster, OLD, &[]);
    again.line("endpoints");
    thread::sleep(Duration::from_secs(LEASE_SECONDS));
    new.line("count ");
    again.signal("TERM");
    assert_eq!(again.end().0.code(), Some(0));
    assert_eq!(counts(&again), [0_u64; 0], "{:#?}", again.log);
    new.signal("TERM");
    assert_eq!(
        new.end().0.code(),
        Some(0),
        "nobody asked it: {:#?}",
        new.log
    );
    assert_eq!(stored_count(&cluster), last_count(&new));
}

#[test]
fn only_one_of_two_processes_that_start_together_writes() {
    let cluster = FakeKubernetes::start();
    let mut pods = [pod(&cluster, OLD, &[]), pod(&cluster, NEW, &[])];
    let begun = Instant::now();
    // One may lose the race for the first save, or be asked to hand over the state.
    while stored(&cluster).is_none_or(|snapshot| snapshot.stamp.generation < 20) {
        assert!(begun.elapsed() < TIMEOUT);
        thread::sleep(Duration::from_millis(20));
    }
    for pod in &mut pods {
        pod.signal("TERM");
    }
    let mut all: Vec<u64> = Vec::new();
    for mut pod in pods {
        pod.end();
        all.extend(counts(&pod));
    }
    all.sort_unstable();
    let last = all.last().copied();
    all.dedup();
    assert_eq!(last, Some(stored_count(&cluster)));
}

#[test]
fn a_state_of_dory_sdk_is_imported() {
    let cluster = FakeKubernetes::start();
    // json.dumps({"count": 41, "by_number": {"7": "é"}}, sort_keys=True), hashed.
    let envelope = json!({
        "payload": { "by_number": { "7": "é" }, "count": 41 },
        "metadata": { "processor_id": "my-app", "pod_name": OLD, "timestamp_iso": "2026-01-01T00:00:00" },
        "checksum": "fb22306078ed043ecf9066121eac0e1112c43f466388013e141cf2fac46da03a",
    });
    let labels = json!({ "labels": { "dory.io/state-owner": "true", "team": "orders" } });
    let object = json!({ "metadata": labels, "data": { "state": envelope.to_string() } });
    cluster.put("configmaps", NAMESPACE, "dory-state-my-app", object);
    let mut new = pod(&cluster, NEW, &[]);
    assert_eq!(started_with(&mut new), 41);
    new.line("count 42");
    new.signal("TERM");
    new.end();
    assert_eq!(stored_count(&cluster), last_count(&new));
    let stored = cluster
        .object("configmaps", NAMESPACE, "dory-state-my-app")
        .unwrap();
    assert_eq!(
        stored["metadata"]["labels"]["team"], "orders",
        "others' labels stay"
    );
}
