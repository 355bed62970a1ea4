//! Errors and limits of the Kubernetes API, and the fake that the tests use for it.

use serde_json::{Value, json};

use crate::fake_kubernetes::{FakeKubernetes, collection};
use crate::kubernetes::{NAMESPACE, OLD, pod, stored, stored_count};
use crate::state_child::{address, ask, eventually, get, last_count, request, started_with};

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
