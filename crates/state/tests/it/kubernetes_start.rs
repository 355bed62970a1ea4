//! Starts and saves that the Kubernetes API rejects.

use serde_json::{Value, json};

use crate::fake_kubernetes::FakeKubernetes;
use crate::kubernetes::{NAMESPACE, OLD, pod, stored_count};
use crate::state_child::{address, eventually, get, last_count, started_with};

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
    // Compressing 3 MB takes long in a debug build on a busy machine.
    let long = ("DORY_SHUTDOWN_TIMEOUT_SEC", "60");
    let mut old = pod(&cluster, OLD, &[("CHILD_DOES", "grow"), long]);
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
