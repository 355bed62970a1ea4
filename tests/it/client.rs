//! Tasks, deployments, secrets and artifacts of the client, against the platform's routes.

use satellite_sdk::testing::{ManualClock, MockPlatform, mock_task};
use satellite_sdk::{DeploymentStatus, PlatformClient, TaskStatus};
use serde_json::json;

pub const DEPLOYMENT: &str = "0198c0de-0000-7000-8000-000000000001";
pub const SECRET: &str = "0198c0de-0000-7000-8000-000000000002";
pub const ARTIFACT: &str = "0198c0de-0000-7000-8000-000000000003";
pub const ABSENT: &str = "0198c0de-0000-7000-8000-0000000000ff";

/// A client with a simulated clock.
pub fn client(platform: &MockPlatform) -> (PlatformClient, ManualClock) {
    let clock = ManualClock::default();
    let client = platform.worker().clock(clock.clone()).platform().unwrap();
    (client, clock)
}

#[test]
fn tasks_are_sorted_by_age_then_id() {
    let platform = MockPlatform::start();
    for (id, created) in [
        ("c", "2026-01-02"),
        ("b", "2026-01-01"),
        ("a", "2026-01-02"),
    ] {
        platform.add_task(json!({ "id": id, "type": "t", "created_at": created }));
    }
    let ids: Vec<_> = platform.client().poll_tasks().unwrap();
    let ids: Vec<_> = ids.iter().map(|t| t.id.as_str()).collect();
    assert_eq!(ids, ["b", "a", "c"]);
}

#[test]
fn an_unreadable_task_is_skipped() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("good", "t", json!({})));
    platform.add_task(json!({ "id": "bad", "type": 7, "payload": {} }));
    let tasks = platform.client().poll_tasks().unwrap();
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0].id, "good");
}

#[test]
fn unknown_fields_and_values_are_preserved() {
    let platform = MockPlatform::start();
    platform.add_task(json!({ "id": "t", "type": "quantum", "payload": null, "colour": "red" }));
    platform.add_deployment(json!({ "id": DEPLOYMENT, "status": "hibernating", "region": "moon" }));
    let client = platform.client();
    let task = client.poll_tasks().unwrap().remove(0);
    assert_eq!(task.task_type, "quantum");
    assert_eq!(task.extra["colour"], "red");
    let deployment = client.get_deployment(DEPLOYMENT).unwrap();
    assert_eq!(
        deployment.status,
        DeploymentStatus::Other("hibernating".into())
    );
    assert_eq!(deployment.extra["region"], "moon");
}

#[test]
fn a_claim_marks_the_task_running_and_fails_for_a_missing_task() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "x", json!({})));
    let client = platform.client();
    assert!(client.claim_task("t").unwrap());
    assert_eq!(platform.status("t"), "running");
    assert!(
        client.claim_task("t").unwrap(),
        "the platform accepts the status twice"
    );
    assert!(!client.claim_task(ABSENT).unwrap());
}

#[test]
fn an_exclusive_claim_succeeds_once() {
    let platform = MockPlatform::start();
    platform.claim_guard(true);
    platform.add_task(mock_task("t", "x", json!({})));
    let wins: usize = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| platform.client().claim_task("t").unwrap()))
            .collect();
        tries
            .into_iter()
            .map(|t| usize::from(t.join().unwrap()))
            .sum()
    });
    assert_eq!(wins, 1);
}

#[test]
fn the_status_names_of_the_python_kit_are_accepted() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "x", json!({})));
    let client = platform.client();
    client.update_task_status("t", "processing", "").unwrap();
    assert_eq!(platform.status("t"), "running");
    client
        .update_task_status("t", "completed", "finished")
        .unwrap();
    assert_eq!(platform.status("t"), "done");
    assert_eq!(
        platform.result("t"),
        json!({ "reason": "finished", "error": "finished" })
    );
}

#[test]
fn tasks_are_listed_by_status() {
    let platform = MockPlatform::start();
    for id in ["a", "b"] {
        platform.add_task(mock_task(id, "x", json!({})));
    }
    let client = platform.client();
    client.claim_task("a").unwrap();
    assert_eq!(client.list_tasks(None).unwrap().len(), 2);
    let running = client.list_tasks(Some(&TaskStatus::Running)).unwrap();
    assert_eq!(running.len(), 1);
    let unknown = client.list_tasks(Some(&"lost".into())).unwrap_err();
    assert!(unknown.is_invalid(), "{unknown}");
}

#[test]
fn a_result_is_sanitised_before_sending() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "x", json!({})));
    let mut deep = json!("bottom");
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let result = json!({ "log": "a\0b", "deep": deep });
    platform.client().finish_task("t", "done", result).unwrap();
    assert_eq!(platform.result("t")["log"], "ab");
}

#[test]
fn updating_a_deployment_keeps_other_fields() {
    let platform = MockPlatform::start();
    platform.add_deployment(json!({
        "id": DEPLOYMENT,
        "status": "pending",
        "tags": ["mine"],
        "schemas": { "openapi": 3 },
    }));
    let updated = platform
        .client()
        .update_deployment(DEPLOYMENT, |update| {
            update.status = DeploymentStatus::Active;
            update.inference_url = Some("/deployments/1".into());
        })
        .unwrap();
    assert_eq!(updated.status, "active");
    let stored = platform.deployment(DEPLOYMENT).unwrap();
    assert_eq!(stored["tags"], json!(["mine"]));
    assert_eq!(stored["schemas"], json!({ "openapi": 3 }));
    assert_eq!(stored["inference_url"], "/deployments/1");
}

#[test]
fn updating_only_the_status_changes_nothing_else() {
    let platform = MockPlatform::start();
    platform.add_deployment(json!({ "id": DEPLOYMENT, "status": "active", "tags": ["mine"] }));
    let client = platform.client();
    client
        .update_deployment_status(DEPLOYMENT, DeploymentStatus::NotResponding)
        .unwrap();
    let stored = platform.deployment(DEPLOYMENT).unwrap();
    assert_eq!(stored["status"], "not_responding");
    assert_eq!(stored["tags"], json!(["mine"]));
    let error = client
        .update_deployment_status(DEPLOYMENT, "asleep")
        .unwrap_err();
    assert!(error.is_invalid(), "{error}");
}

#[test]
fn deployments_are_listed_read_and_deleted() {
    let platform = MockPlatform::start();
    platform.add_deployment(json!({ "id": DEPLOYMENT, "name": "iris" }));
    let client = platform.client();
    assert_eq!(client.list_deployments().unwrap()[0].name, "iris");
    let error = client.delete_deployment(DEPLOYMENT).unwrap_err();
    assert!(error.is_conflict(), "{error}");
    platform.request_deletion(DEPLOYMENT, "undeploy-1");
    client.delete_deployment(DEPLOYMENT).unwrap();
    assert!(
        client
            .delete_deployment(DEPLOYMENT)
            .unwrap_err()
            .is_not_found()
    );
    assert!(
        client
            .get_deployment("not-a-uuid")
            .unwrap_err()
            .is_invalid()
    );
}

#[test]
fn a_deployment_gets_only_its_own_secrets() {
    let platform = MockPlatform::start();
    platform.add_secret(SECRET, "the key", "hush");
    platform.add_secret(ABSENT, "somebody else's", "never");
    platform.add_deployment(json!({
        "id": DEPLOYMENT,
        "env_variables_secrets": { "API_KEY": SECRET },
        "dynamic_attributes_secrets": { "password": SECRET },
    }));
    let secrets = platform.client().fetch_secrets(DEPLOYMENT).unwrap();
    let names: Vec<_> = secrets.keys().map(String::as_str).collect();
    assert_eq!(names, ["API_KEY", "password"]);
    assert_eq!(secrets["API_KEY"].expose(), "hush");
}

#[test]
fn a_missing_secret_error_names_it() {
    let platform = MockPlatform::start();
    platform.add_deployment(json!({
        "id": DEPLOYMENT,
        "env_variables_secrets": { "API_KEY": ABSENT },
    }));
    let error = platform.client().fetch_secrets(DEPLOYMENT).unwrap_err();
    assert!(error.to_string().contains("API_KEY"), "{error}");
}

#[test]
fn secrets_are_requested_by_id() {
    let platform = MockPlatform::start();
    platform.add_secret(SECRET, "the key", "hush");
    let client = platform.client();
    assert_eq!(client.get_secret(SECRET).unwrap().name, "the key");
    assert_eq!(client.get_secrets().unwrap().len(), 1);
    assert!(client.get_secret("the key").unwrap_err().is_invalid());
    assert!(client.get_secret(ABSENT).unwrap_err().is_not_found());
}

#[test]
fn artifacts_come_with_a_url() {
    let platform = MockPlatform::start();
    platform.add_artifact(
        ARTIFACT,
        json!({ "name": "iris" }),
        "http://files/iris?sig=1",
    );
    let client = platform.client();
    let artifact = client.get_artifact(ARTIFACT).unwrap();
    assert_eq!(artifact.artifact["name"], "iris");
    assert_eq!(
        artifact.url,
        client.artifact_download_url(ARTIFACT).unwrap()
    );
    assert!(client.get_artifact(ABSENT).unwrap_err().is_not_found());
}

#[test]
fn inference_keys_are_checked() {
    let platform = MockPlatform::start();
    platform.add_inference_key("good");
    let client = platform.client();
    assert!(client.authorize_inference("good").unwrap());
    assert!(!client.authorize_inference("bad").unwrap());
    assert!(
        client
            .authorize_inference(&"x".repeat(256))
            .unwrap_err()
            .is_invalid()
    );
}
