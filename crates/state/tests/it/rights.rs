//! The rights of a pod: those that the store names are enough, and can be reviewed.

use satellite_state::ConfigMapStore;
use serde_json::json;

use crate::fake_kubernetes::FakeKubernetes;
use crate::kubernetes::{NAMESPACE, NEW, OLD, pod, stored_count};
use crate::state_child::{last_count, started_with};

fn cluster_with_named_rights() -> FakeKubernetes {
    let cluster = FakeKubernetes::start();
    cluster.state().granted = Some(ConfigMapStore::rights("my-app"));
    cluster
}

#[test]
fn the_named_rights_are_enough_for_a_rolling_update() {
    let cluster = cluster_with_named_rights();
    let mut old = pod(&cluster, OLD, &[]);
    old.line("count 5");
    let mut new = pod(&cluster, NEW, &[]);
    assert!(started_with(&mut new) >= 5);
    old.line("handed over to");
    new.signal("TERM");
    assert_eq!(new.end().0.code(), Some(0), "{:#?}", new.log);
    assert_eq!(stored_count(&cluster), last_count(&new));
    let lines = || old.log.iter().chain(&new.log);
    assert!(
        !lines().any(|line| line.contains("may not use Leases")),
        "{:#?}",
        old.log
    );
    let lease = cluster.object("leases", NAMESPACE, "dory-state-my-app");
    assert!(lease.is_some(), "the handover used a Lease");
}

#[test]
fn the_named_rights_are_enough_to_move_a_damaged_state_aside() {
    let cluster = cluster_with_named_rights();
    let damaged = json!({ "data": { "state": "not a state" } });
    cluster.put("configmaps", NAMESPACE, "dory-state-my-app", damaged);
    let mut fresh = pod(&cluster, OLD, &[("CHILD_DOES", "start fresh")]);
    assert_eq!(started_with(&mut fresh), 0);
    fresh.line("count 3");
    fresh.signal("TERM");
    assert_eq!(fresh.end().0.code(), Some(0), "{:#?}", fresh.log);
}

#[test]
fn a_processor_without_one_of_the_rights_fails_or_logs_it() {
    let cluster = FakeKubernetes::start();
    let mut rights = ConfigMapStore::rights("my-app");
    rights.retain(|right| (right.verb, right.resource) != ("create", "configmaps"));
    cluster.state().granted = Some(rights);
    let mut old = pod(&cluster, OLD, &[("DORY_STARTUP_TIMEOUT_SEC", "2")]);
    assert_ne!(old.end().0.code(), Some(0), "{:#?}", old.log);
}

#[test]
fn a_review_names_the_rights_that_are_missing() {
    let cluster = FakeKubernetes::start();
    let mut rights = ConfigMapStore::rights("my-app");
    rights.retain(|right| right.resource != "leases");
    cluster.state().granted = Some(rights);
    let store = ConfigMapStore::new()
        .at(cluster.url())
        .service_account(cluster.account());
    let reviews = store.review(NAMESPACE, "my-app").unwrap();
    let missing = reviews.iter().filter(|review| !review.is_allowed);
    let missing: Vec<_> = missing.map(|review| review.right.to_string()).collect();
    assert_eq!(
        missing,
        [
            "get leases.coordination.k8s.io/dory-state-my-app",
            "update leases.coordination.k8s.io/dory-state-my-app",
            "create leases.coordination.k8s.io",
        ]
    );
    // Rights on other names are no rights on these.
    let others = store.review(NAMESPACE, "other").unwrap();
    let granted = others.iter().filter(|review| review.is_allowed);
    assert_eq!(granted.count(), 1, "only the unnamed create");
}
