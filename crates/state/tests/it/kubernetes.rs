//! States in a cluster: rolling updates, crashes, disconnected writers, and responses of
//! the API. Uses real processes as pods.

use std::thread;
use std::time::{Duration, Instant};

use satellite_state::Snapshot;
use serde_json::{Value, json};

use crate::fake_kubernetes::{FakeKubernetes, collection};
use crate::process::{Satellite, start};
use crate::state_child::{
    Counts, TIMEOUT, address, ask, bare_command, counts, eventually, get, last_count, request,
    started_with,
};

pub const NAMESPACE: &str = "shop";
pub const OLD: &str = "my-app-7d9f8b6c5d-x2x4z";
pub const NEW: &str = "my-app-6c5db8f9d4-tq9wv";
/// A holder that does not renew for this long is considered dead.
const LEASE_SECONDS: u64 = 2;

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

/// A minimal API client for the tests.
fn api(cluster: &FakeKubernetes, method: &str, path: &str, kind: &str, body: &Value) -> u16 {
    let headers = format!("Authorization: Bearer first-token\r\nContent-Type: {kind}\r\n");
    let request = request(method, path, &headers, &body.to_string());
    ask(&cluster.address(), &request).0
}

#[test]
fn the_fake_api_responds_like_a_real_one() {
    let cluster = FakeKubernetes::start();
    let maps = collection("configmaps", "n");
    let leases = collection("leases", "n");
    let (a, b) = (format!("{maps}/a"), format!("{maps}/b"));
    let json_ = "application/json";
    let merge = "application/merge-patch+json";
    let apply = "application/apply-patch+yaml";
    let map = |version: Value, text: &str| json!({ "metadata": { "name": "a", "resourceVersion": version }, "data": { "state": text } });
    let none = Value::Null;

    // GET or PUT of an absent ConfigMap.
    assert_eq!(api(&cluster, "GET", &a, json_, &none), 404);
    assert_eq!(
        api(&cluster, "PUT", &a, json_, &map(none.clone(), "1")),
        404
    );
    // POST of an existing one.
    assert_eq!(
        api(&cluster, "POST", &maps, json_, &map(none.clone(), "1")),
        201
    );
    assert_eq!(
        api(&cluster, "POST", &maps, json_, &map(none.clone(), "2")),
        409
    );
    // PUT or merge patch with a stale version, and without one.
    assert_eq!(
        api(&cluster, "PUT", &a, json_, &map(json!("999"), "2")),
        409
    );
    assert_eq!(
        api(&cluster, "PATCH", &a, merge, &map(json!("999"), "2")),
        409
    );
    assert_eq!(
        api(&cluster, "PUT", &a, json_, &map(none.clone(), "2")),
        200
    );
    let version =
        cluster.object("configmaps", "n", "a").unwrap()["metadata"]["resourceVersion"].clone();
    assert_eq!(api(&cluster, "PUT", &a, json_, &map(version, "3")), 200);
    // Server-side apply.
    assert_eq!(
        api(&cluster, "PATCH", &a, apply, &map(json!("999"), "4")),
        409
    );
    assert_eq!(
        api(&cluster, "PATCH", &b, apply, &map(json!("999"), "4")),
        201
    );
    // Size.
    let large = |bytes: usize| map(none.clone(), &"x".repeat(bytes));
    assert_eq!(api(&cluster, "PUT", &a, json_, &large(1_048_576)), 200);
    assert_eq!(api(&cluster, "PUT", &a, json_, &large(1_048_577)), 422);
    assert_eq!(api(&cluster, "PUT", &a, json_, &large(3_200_000)), 413);
    // Names, labels, tokens.
    let named = |name: &str| json!({ "metadata": { "name": name } });
    assert_eq!(api(&cluster, "POST", &maps, json_, &named("Bad_Name")), 422);
    let labelled = json!({ "metadata": { "name": "c", "labels": { "a": "no blanks" } } });
    assert_eq!(api(&cluster, "POST", &maps, json_, &labelled), 422);
    let anonymous = request("GET", &a, "Authorization: Bearer wrong\r\n", "");
    assert_eq!(ask(&cluster.address(), &anonymous).0, 401);
    // Leases.
    let lease = |version: Value, time: &str| json!({ "metadata": { "name": "l", "resourceVersion": version }, "spec": { "holderIdentity": "", "renewTime": time } });
    let l = format!("{leases}/l");
    let good = "2026-11-21T05:00:00.000001Z";
    assert_eq!(
        api(
            &cluster,
            "PUT",
            &l,
            json_,
            &lease(none.clone(), "2026-11-21T05:00:00Z")
        ),
        400
    );
    assert_eq!(
        api(&cluster, "PUT", &l, json_, &lease(none.clone(), good)),
        201
    );
    assert_eq!(
        api(&cluster, "PUT", &l, json_, &lease(none.clone(), good)),
        422
    );
    // RBAC's resourceNames.
    cluster.state().only_names = Some(vec!["new".into()]);
    assert_eq!(api(&cluster, "POST", &maps, json_, &named("new")), 403);
    assert_eq!(
        api(
            &cluster,
            "PATCH",
            &format!("{maps}/new"),
            apply,
            &named("new")
        ),
        201
    );
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
fn a_removed_state_is_not_created_again() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[]);
    old.line("count 5");
    cluster.remove("configmaps", NAMESPACE, "dory-state-my-app");
    let (status, _) = old.end();
    assert_eq!(status.code(), Some(1), "{:#?}", old.log);
    assert!(stored(&cluster).is_none());
    // A reset by the operator: the next start uses the default state.
    let mut next = pod(&cluster, OLD, &[]);
    assert_eq!(started_with(&mut next), 0);
}

#[test]
fn a_rotated_token_is_read_again() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[]);
    old.line("count 3");
    std::fs::write(cluster.account().join("token"), "second-token").unwrap();
    cluster.state().token = "second-token".into();
    let before = stored_count(&cluster);
    eventually(|| (stored_count(&cluster) > before).then_some(()));
    old.signal("TERM");
    assert_eq!(old.end().0.code(), Some(0), "{:#?}", old.log);
    let output = old.log.join("\n");
    assert!(
        !output.contains("saving the state") && !output.contains("token"),
        "{output}"
    );
}

#[test]
fn lost_responses_and_failures_of_the_api_lose_no_state() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[]);
    let address = address(&mut old);
    old.line("count 3");
    for _ in 0..3 {
        cluster.state().losing = 2;
        let before = stored_count(&cluster);
        eventually(|| (stored_count(&cluster) > before + 3).then_some(()));
    }
    cluster.state().failing = vec![500; 40];
    eventually(|| (get(&address, "/ready").0 == 503).then_some(()));
    cluster.state().failing.clear();
    eventually(|| (get(&address, "/ready").0 == 200).then_some(()));
    // During the last save.
    {
        let mut state = cluster.state();
        state.losing = 1;
        state.failing = vec![503, 500];
    }
    assert_eq!(get(&address, "/prestop").0, 200);
    assert_eq!(old.end().0.code(), Some(0), "{:#?}", old.log);
    assert_eq!(stored_count(&cluster), last_count(&old));
}

#[test]
fn a_label_added_by_an_operator_is_kept_and_loses_no_state() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[]);
    old.line("count 3");
    let name = "dory-state-my-app";
    for turn in 0..5 {
        let before = stored_count(&cluster);
        let mut object = cluster.object("configmaps", NAMESPACE, name).unwrap();
        object["metadata"]["labels"]["turn"] = json!(turn.to_string());
        cluster.put("configmaps", NAMESPACE, name, object);
        eventually(|| (stored_count(&cluster) > before + 1).then_some(()));
    }
    old.signal("TERM");
    assert_eq!(old.end().0.code(), Some(0), "{:#?}", old.log);
    let object = cluster.object("configmaps", NAMESPACE, name).unwrap();
    assert!(object["metadata"]["labels"]["turn"].is_string());
}

#[test]
fn an_api_that_rejects_saves_fails_prestop_and_the_exit_code() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[("DORY_SHUTDOWN_TIMEOUT_SEC", "1")]);
    let address = address(&mut old);
    old.line("count 3");
    cluster.state().forbidden.push("/configmaps".into());
    let (status, body) = get(&address, "/prestop");
    assert_eq!((status, body.contains("403")), (500, true), "{body}");
    assert_eq!(old.end().0.code(), Some(1));
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

#[test]
fn a_damaged_state_is_moved_aside_when_the_hook_starts_fresh() {
    let cluster = FakeKubernetes::start();
    let name = "dory-state-my-app";
    let damaged = json!({ "binaryData": { "state.gz": "bm90IGEgc3RhdGU=" } });
    cluster.put("configmaps", NAMESPACE, name, damaged.clone());
    let mut strict = pod(&cluster, OLD, &[]);
    assert_eq!(strict.end().0.code(), Some(1), "{:#?}", strict.log);
    let there = cluster.object("configmaps", NAMESPACE, name).unwrap();
    assert_eq!(there["binaryData"], damaged["binaryData"], "left unchanged");

    let mut fresh = pod(&cluster, OLD, &[("CHILD_DOES", "start fresh")]);
    assert_eq!(started_with(&mut fresh), 0);
    fresh.line("count 1");
    let aside: Vec<Value> = {
        let state = cluster.state();
        let objects = state.objects.iter();
        objects
            .filter(|((_, name), _)| name.contains("-corrupt-"))
            .map(|(_, object)| object.clone())
            .collect()
    };
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0]["data"]["state"], "not a state");
}

#[test]
fn a_large_state_is_compressed_and_a_too_large_one_is_never_sent() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[("CHILD_DOES", "grow")]);
    old.line("count 60"); // 3 MB of one letter
    old.signal("TERM");
    assert_eq!(old.end().0.code(), Some(0), "{:#?}", old.log);
    let object = cluster
        .object("configmaps", NAMESPACE, "dory-state-my-app")
        .unwrap();
    assert!(object["binaryData"]["state.gz"].as_str().unwrap().len() < 100_000);
    let mut next = pod(&cluster, OLD, &[]);
    assert_eq!(started_with(&mut next), last_count(&old));
    drop(next);

    let mut random = pod(
        &cluster,
        "other-7d9f8b6c5d-x2x4z",
        &[("CHILD_DOES", "grow at random")],
    );
    random.line("is too large for ConfigMap");
    let sent = cluster.object("configmaps", NAMESPACE, "dory-state-other");
    assert!(sent.is_some(), "the last state within the limit is stored");
}

#[test]
fn a_403_while_opening_is_retried_until_the_startup_timeout() {
    for (part, name) in [("/configmaps", "reading"), ("/leases", "the lease")] {
        let cluster = FakeKubernetes::start();
        cluster.state().forbidden.push(part.into());
        let mut old = pod(&cluster, OLD, &[]);
        let address = address(&mut old);
        eventually(|| {
            let requests = cluster.state().requests.clone();
            requests.iter().any(|r| r.contains(part)).then_some(())
        });
        if part == "/configmaps" {
            let reason = eventually(|| {
                let (status, body) = get(&address, "/ready");
                (status == 503 && body.contains("403")).then_some(body)
            });
            assert!(
                reason.contains("no RBAC policy matched"),
                "{name}: {reason}"
            );
        }
        cluster.state().forbidden.clear();
        assert_eq!(started_with(&mut old), 0);
        old.line("count 3");
        let lease = || cluster.object("leases", NAMESPACE, "dory-state-my-app");
        eventually(|| Some(lease()?["spec"]["holderIdentity"].clone()));
        old.signal("TERM");
        assert_eq!(old.end().0.code(), Some(0), "{:#?}", old.log);
        assert_eq!(stored_count(&cluster), last_count(&old));
    }
}

#[test]
fn a_failure_of_the_first_save_does_not_end_the_start() {
    let cluster = FakeKubernetes::start();
    cluster.state().failing_writes = vec![403, 503];
    let mut old = pod(&cluster, OLD, &[]);
    old.line("count 3");
    old.signal("TERM");
    assert_eq!(old.end().0.code(), Some(0), "{:#?}", old.log);
    assert!(cluster.state().failing_writes.is_empty());
}

#[test]
fn a_permanent_403_fails_the_start_with_the_message_of_the_server() {
    let cluster = FakeKubernetes::start();
    cluster.state().forbidden.push("/configmaps".into());
    let mut old = pod(&cluster, OLD, &[("DORY_STARTUP_TIMEOUT_SEC", "2")]);
    assert_eq!(old.end().0.code(), Some(77), "{:#?}", old.log);
    let attempts = cluster.state().requests.len();
    assert!(attempts > 1, "{attempts}");
    let last = old.log.last().unwrap();
    assert!(
        last.contains("403") && last.contains("no RBAC policy matched"),
        "{:#?}",
        old.log
    );
}

#[test]
fn a_state_over_the_limit_is_reported_without_retries_at_shutdown() {
    let cluster = FakeKubernetes::start();
    // Far more time for retries than the test waits.
    let env = [
        ("CHILD_DOES", "grow at random"),
        ("DORY_SHUTDOWN_TIMEOUT_SEC", "300"),
    ];
    let mut old = pod(&cluster, OLD, &env);
    let address = address(&mut old);
    old.line("is too large for ConfigMap");
    let (status, body) = get(&address, "/prestop");
    assert_eq!(status, 500);
    assert!(body.contains("is too large for ConfigMap"), "{body}");
    assert_eq!(old.end().0.code(), Some(1), "{:#?}", old.log);
}

#[test]
fn an_outage_is_logged_once_when_it_begins_and_once_when_it_ends() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[]);
    old.line("count 3");
    cluster.state().forbidden.push("/".into());
    let refused = cluster.state().requests.len();
    eventually(|| {
        let state = cluster.state();
        let since = &state.requests[refused..];
        let count = |part: &str| since.iter().filter(|r| r.contains(part)).count();
        (count("/configmaps") > 20 && count("/leases") > 2).then_some(())
    });
    cluster.state().forbidden.clear();
    // In either order.
    old.line("works again");
    old.line("works again");
    old.signal("TERM");
    assert_eq!(old.end().0.code(), Some(0), "{:#?}", old.log);
    let lines = |text: &str| old.log.iter().filter(|line| line.contains(text)).count();
    assert_eq!(lines("saving the state"), 2, "{:#?}", old.log);
    assert_eq!(lines("renewing the lease"), 2, "{:#?}", old.log);
}
