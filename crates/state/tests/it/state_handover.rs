//! Releases that take over or fail to take over, and pods that are older than the holder.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use satellite_state::Snapshot;
use serde_json::{Value, json};
use tempfile::tempdir as temp_directory;

use crate::fake_kubernetes::FakeKubernetes;
use crate::kubernetes::{NAMESPACE, NEW, OLD, pod, stored, stored_count};
use crate::process::{Satellite, start};
use crate::state_child::{
    Counts, TIMEOUT, address, command, counts, eventually, get, last_count, started_with,
};

const NAME: &str = "dory-state-my-app";
/// A lease that does not expire during a test.
const LONG_LEASE: (&str, &str) = ("CHILD_LEASE_SECONDS", "600");
/// The longest interruption of the service that a faulty release may cause: shorter than
/// its startup and than its lease, longer than the pauses of a busy machine.
const GAP: Duration = Duration::from_secs(10);

/// The longest time between two actions of a process that has ended.
fn longest_gap(process: &Satellite) -> Duration {
    let lines = process.log.iter();
    let acted = lines.filter_map(|line| line.strip_prefix("acted ")?.parse::<u64>().ok());
    let acted: Vec<u64> = acted.collect();
    let gaps = acted.windows(2).map(|pair| pair[1] - pair[0]);
    Duration::from_nanos(gaps.max().expect("the process should have acted"))
}

/// What a release does wrong, its startup timeout, and what the holder that continues
/// logs about it.
const BAD: [(&str, &str, &str); 4] = [
    ("fail in startup", "30", "startup failed: on purpose"),
    ("panic in startup", "30", "it panicked: on purpose"),
    ("exit in startup", "30", "it ended before it was ready"),
    ("block in startup", "12", "startup lasted longer than 12s"),
];

#[test]
fn a_faulty_release_does_not_interrupt_the_service_in_a_cluster() {
    let cluster = FakeKubernetes::start();
    let lease = ("CHILD_LEASE_SECONDS", "12");
    let mut old = pod(
        &cluster,
        OLD,
        &[("CHILD_DOES", "check before acting"), lease],
    );
    old.line("count 5");
    for (does, startup, expected) in BAD {
        let env = [
            lease,
            ("CHILD_DOES", does),
            ("DORY_STARTUP_TIMEOUT_SEC", startup),
            ("DORY_REVISION", "8"),
        ];
        let mut new = pod(&cluster, NEW, &env);
        new.line("startup with");
        let (status, _) = new.end();
        assert!(!status.success(), "{does}: {:#?}", new.log);
        let line = old.line("failed to take over");
        // A process that just exits is detected by its missing heartbeats.
        assert!(
            line.contains(expected) || does == "exit in startup",
            "{does}: {line}"
        );
        assert!(line.contains("revision 8 in my-app-6c5db8f9d4"), "{line}");
        old.line("acted ");
        assert!(counts(&new).is_empty());
    }
    old.signal("TERM");
    assert_eq!(old.end().0.code(), Some(0), "{:#?}", old.log);
    assert!(longest_gap(&old) < GAP, "{:?}", longest_gap(&old));
    assert_eq!(
        stored(&cluster).unwrap().stamp.epoch,
        1,
        "no process took it"
    );
    assert_eq!(stored_count(&cluster), last_count(&old));
}

fn in_folder(folder: &Path, does: &str, env: &[(&str, &str)]) -> Satellite {
    let mut command = command(folder);
    command.env("CHILD_DOES", does).envs(env.iter().copied());
    start(command)
}

#[test]
fn a_faulty_release_does_not_interrupt_the_service_in_a_folder() {
    let folder = temp_directory().unwrap();
    let mut old = in_folder(folder.path(), "check before acting", &[]);
    old.line("count 5");
    for (does, startup, expected) in BAD {
        let env = [
            ("DORY_STARTUP_TIMEOUT_SEC", startup),
            ("DORY_REVISION", "8"),
        ];
        let mut new = in_folder(folder.path(), does, &env);
        new.line("startup with");
        assert!(!new.end().0.success(), "{does}: {:#?}", new.log);
        let line = old.line("failed to take over");
        assert!(line.contains(expected), "{does}: {line}");
        assert!(line.contains("revision 8 in "), "{line}");
        old.line("acted ");
    }
    // A working release takes over from exactly that number.
    let mut new = in_folder(folder.path(), "", &[]);
    let restored = started_with(&mut new);
    assert_eq!(old.end().0.code(), Some(0), "{:#?}", old.log);
    assert!(longest_gap(&old) < GAP, "{:?}", longest_gap(&old));
    assert_eq!(restored, last_count(&old));
}

#[test]
fn a_release_that_dies_before_it_asks_takes_nothing_over() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[]);
    old.line("count 5");
    let mut new = pod(&cluster, NEW, &[("DORY_TAKEOVER_READY_SEC", "600")]);
    let new_address = address(&mut new);
    new.line("startup with");
    let body = eventually(|| {
        let (status, body) = get(&new_address, "/ready");
        (status == 503 && body.contains("holding ready")).then_some(body)
    });
    assert!(body.contains(OLD), "{body}");
    new.signal("KILL");
    new.end();
    let line = old.line("failed to take over");
    assert!(line.contains("pod template 6c5db8f9d4 in"), "{line}");
    old.line("count ");
    assert_eq!(stored(&cluster).unwrap().stamp.epoch, 1);
}

#[test]
fn an_unhealthy_release_does_not_get_the_state() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[]);
    old.line("count 5");
    let mut new = pod(&cluster, NEW, &[("CHILD_DOES", "never ready")]);
    let new_address = address(&mut new);
    eventually(|| {
        let (_, body) = get(&new_address, "/ready");
        body.contains("not asking while engine").then_some(())
    });
    old.line("count ");
    new.signal("TERM");
    assert_eq!(new.end().0.code(), Some(0), "{:#?}", new.log);
    assert!(new.log.iter().any(|line| line.starts_with("shutdown with")));
    old.line("count ");
    assert!(counts(&new).is_empty());
}

#[test]
fn a_preparing_process_neither_saves_nor_acts_and_starts_with_the_exact_state() {
    let cluster = FakeKubernetes::start();
    for does in ["change the state in startup", "save in startup"] {
        let mut old = pod(&cluster, OLD, &[]);
        old.line("count ");
        old.line("count ");
        let mut new = pod(&cluster, NEW, &[("CHILD_DOES", does)]);
        new.line("startup with");
        let restored = started_with(&mut new);
        old.line("handed over to");
        assert_eq!(restored, *counts(&old).last().unwrap(), "{does}");
        new.line(&format!("count {}", restored + 1));
        let output = new.log.join("\n");
        let is_warned = output.contains("startup changed the state");
        assert_eq!(is_warned, does == "change the state in startup", "{output}");
        for mut pod in [new, old] {
            pod.signal("TERM");
            assert_eq!(pod.end().0.code(), Some(0), "{:#?}", pod.log);
        }
        cluster.remove("configmaps", NAMESPACE, NAME);
    }
}

#[test]
fn a_process_that_fails_or_panics_releases_the_state() {
    for does in ["fail in restored", "panic with the state", "panic"] {
        let cluster = FakeKubernetes::start();
        let mut bad = pod(&cluster, OLD, &[("CHILD_DOES", does), LONG_LEASE]);
        assert_eq!(bad.end().0.code(), Some(1), "{does}: {:#?}", bad.log);
        assert!(stored(&cluster).unwrap().stamp.is_released(), "{does}");
        let lease = cluster.object("leases", NAMESPACE, NAME).unwrap();
        assert_eq!(lease["spec"]["holderIdentity"], "", "{does}");
        let begun = Instant::now();
        let mut next = pod(&cluster, NEW, &[LONG_LEASE]);
        next.line("count ");
        assert!(begun.elapsed() < TIMEOUT);
    }
}

#[test]
fn an_older_pod_never_takes_the_state_back() {
    let cluster = FakeKubernetes::start();
    let name = |n: u64| {
        format!(
            "my-app-{}-x2x4z",
            ["7d9f8b6c5d", "6c5db8f9d4"][n as usize % 2]
        )
    };
    let name = |n: u64| name(n).replace("x2x4z", &format!("tq{n}wv").replace(['0', '1', '3'], "b"));
    let mut holder = pod(&cluster, &name(4), &[]);
    holder.line("count 3");
    let mut stale: Vec<Satellite> = Vec::new();
    let mut last = 3;
    for n in 5..10 {
        let mut next = pod(&cluster, &name(n), &[]);
        let restored = started_with(&mut next);
        assert!(restored >= last, "{restored} after {last}");
        next.line("count ");
        holder.line("handed over to");
        assert_eq!(restored, *counts(&holder).last().unwrap());
        last = restored;
        // Its container is restarted for some reason.
        holder.signal("KILL");
        holder.end();
        let mut again = pod(&cluster, &name(n - 1), &[]);
        let again_address = address(&mut again);
        eventually(|| {
            let (status, body) = get(&again_address, "/ready");
            (status == 503 && body.contains("is newer and is not asked")).then_some(())
        });
        stale.push(again);
        holder = next;
    }
    assert_eq!(
        stored(&cluster).unwrap().stamp.epoch,
        6,
        "no other process took it"
    );
    let lease = cluster.object("leases", NAMESPACE, NAME).unwrap();
    assert_eq!(lease["metadata"]["annotations"]["dory.io/epoch"], "6");
    holder.line("count ");
    for mut again in stale {
        again.signal("TERM");
        assert_eq!(again.end().0.code(), Some(0), "{:#?}", again.log);
        assert!(counts(&again).is_empty(), "{:#?}", again.log);
    }
    holder.signal("TERM");
    assert_eq!(holder.end().0.code(), Some(0), "{:#?}", holder.log);
    assert!(!holder.log.iter().any(|line| line.contains("handing over")));
    assert_eq!(stored_count(&cluster), last_count(&holder));
}

#[test]
fn a_new_pod_of_an_older_revision_does_not_ask_for_the_state() {
    let cluster = FakeKubernetes::start();
    let mut holder = pod(&cluster, OLD, &[("DORY_REVISION", "8")]);
    holder.line("count 3");
    let mut older = pod(&cluster, NEW, &[("DORY_REVISION", "7")]);
    let older_address = address(&mut older);
    eventually(|| {
        let (_, body) = get(&older_address, "/ready");
        body.contains("is newer and is not asked").then_some(())
    });
    thread::sleep(Duration::from_secs(1));
    assert!(counts(&older).is_empty());
    // When no newer process is left it takes the state.
    holder.signal("TERM");
    holder.end();
    assert_eq!(started_with(&mut older), last_count(&holder));
}

#[test]
fn an_older_process_does_not_take_a_shared_folder_back() {
    let folder = temp_directory().unwrap();
    let on = |pod: &str| {
        let env = [
            ("DORY_POD_NAME", pod),
            ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
            ("DORY_HEALTH_HOST", "127.0.0.1"),
            ("DORY_LOG_FORMAT", "text"),
        ];
        in_folder(folder.path(), "", &env)
    };
    let mut old = on(OLD);
    old.line("count 3");
    let mut new = on(NEW);
    new.line("count ");
    old.line("handed over to");
    old.signal("KILL");
    old.end();
    let mut again = on(OLD);
    let again_address = address(&mut again);
    eventually(|| {
        let (_, body) = get(&again_address, "/ready");
        body.contains("is newer and is not asked").then_some(())
    });
    thread::sleep(Duration::from_millis(1500));
    new.line("count ");
    new.signal("KILL");
    new.end();
    assert!(started_with(&mut again) >= 3, "no newer process is left");
    assert!(!new.log.iter().any(|line| line.contains("handing over")));
}

/// The state and the lease as the previous release wrote them.
fn held_by_an_older_release(cluster: &FakeKubernetes, holder: &str, count: u64) {
    use sha2::Digest;

    let header = json!({
        "processor": "my-app", "generation": 7, "epoch": 3, "holder": holder,
        "previous": "", "saved_at": "2026-01-01T00:00:00.000000Z",
        "schema": 2, "unclean_starts": 0,
    });
    let body = format!("{header}\n{}", json!({ "count": count }));
    let sum = sha2::Sha256::digest(body.as_bytes());
    let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    let document = format!("satellite-state 1 {sum}\n{body}");
    assert!(Snapshot::from_document(document.as_bytes()).is_ok());
    cluster.put(
        "configmaps",
        NAMESPACE,
        NAME,
        json!({ "data": { "state": document } }),
    );
}

fn older_lease(holder: &str, renewed: u64) -> Value {
    json!({
        "metadata": { "annotations": { "dory.io/claimed-by": "" } },
        "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 600, "leaseTransitions": 2,
            "acquireTime": "2026-01-01T00:00:00.000000Z",
            "renewTime": format!("2026-01-01T00:00:00.{renewed:06}Z"),
        },
    })
}

#[test]
fn the_state_is_taken_over_from_a_release_without_the_candidate_protocol() {
    let cluster = FakeKubernetes::start();
    let holder = format!("{OLD} 1-00000000000f");
    held_by_an_older_release(&cluster, &holder, 41);
    cluster.put("leases", NAMESPACE, NAME, older_lease(&holder, 0));
    let mut new = pod(&cluster, NEW, &[]);
    new.line("startup with 41");
    // It sees the claim as before, and releases the state with its last count.
    eventually(|| {
        let lease = cluster.object("leases", NAMESPACE, NAME)?;
        let claim = lease["metadata"]["annotations"]["dory.io/claimed-by"].as_str()?;
        claim.starts_with(NEW).then_some(())
    });
    held_by_an_older_release(&cluster, "", 57);
    assert_eq!(started_with(&mut new), 57);
    new.line("count 58");
}

#[test]
fn the_state_is_handed_over_to_a_release_without_the_candidate_protocol() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[]);
    old.line("count 5");
    // It claims the state immediately, in its own format, over any lease.
    eventually(|| {
        let mut lease = cluster.object("leases", NAMESPACE, NAME)?;
        let claims = &mut lease["metadata"]["annotations"];
        *claims = json!({ "dory.io/claimed-by": format!("{NEW} 1-0000000000ff") });
        cluster.put("leases", NAMESPACE, NAME, lease);
        let released = eventually(|| stored(&cluster)).stamp.is_released();
        released.then_some(())
    });
    old.line("handed over to");
    let stored = stored(&cluster).unwrap();
    let state: Counts = serde_json::from_slice(&stored.content.state).unwrap();
    assert_eq!(state.count, *counts(&old).last().unwrap());
}
