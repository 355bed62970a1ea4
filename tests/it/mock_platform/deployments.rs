//! Deployments of the mock platform, their secrets, artifacts and keys.

use satellite_sdk::testing::MockPlatform;
use serde_json::{Value, json};

use super::http::{UNKNOWN, call, get};

#[test]
fn returns_deployments() {
    let platform = MockPlatform::start();
    let id = platform.add_deployment(json!({ "name": "tiny", "env_variables": { "A": "b" } }));
    let one = get(&platform, &format!("/deployments/{id}")).json();
    assert_eq!(
        (&one["name"], &one["status"]),
        (&json!("tiny"), &json!("pending"))
    );
    for field in [
        "artifact_id",
        "artifact_name",
        "collection_id",
        "satellite_parameters",
        "dynamic_attributes_secrets",
        "env_variables_secrets",
        "schemas",
        "error_message",
        "created_by_user",
        "tags",
        "satellite_name",
    ] {
        assert!(one.as_object().unwrap().contains_key(field), "{field}");
    }
    assert_eq!(get(&platform, "/deployments").json(), json!([one]));
    get(&platform, &format!("/deployments/{UNKNOWN}")).is_detail(404, "Deployment not found");
    get(&platform, "/deployments/x").is_invalid("uuid_parsing", json!(["path", "deployment_id"]));
}

#[test]
fn patch_replaces_the_whole_record() {
    let platform = MockPlatform::start();
    let id = platform.add_deployment(json!({ "tags": ["a"], "schemas": { "s": 1 } }));
    let other = platform.add_deployment(json!({ "inference_url": "/deployments/other" }));
    let patch = |body: Value| call(&platform, "PATCH", &format!("/deployments/{id}"), body);

    let answer =
        patch(json!({ "status": "active", "inference_url": "/deployments/1", "more": 1 })).json();
    assert_eq!(
        (&answer["status"], &answer["inference_url"]),
        (&json!("active"), &json!("/deployments/1"))
    );
    assert_eq!(
        (&answer["tags"], &answer["schemas"]),
        (&Value::Null, &Value::Null)
    );
    assert!(!answer.as_object().unwrap().contains_key("more"));

    patch(json!({ "inference_url": "/a" })).is_500();
    patch(json!({ "status": "active", "inference_url": "/deployments/other" })).is_500();
    patch(json!({ "status": "done" })).is_invalid("enum", json!(["body", "status"]));
    patch(json!({ "status": "failed", "error_message": "text" }))
        .is_invalid("dict_type", json!(["body", "error_message"]));
    assert_eq!(
        platform.deployment(&id).unwrap()["inference_url"],
        "/deployments/1"
    );
    let nobody = call(
        &platform,
        "PATCH",
        &format!("/deployments/{UNKNOWN}"),
        json!({ "status": "active" }),
    );
    nobody.is_detail(404, "Deployment not found");
    assert_eq!(
        platform.deployment(&other).unwrap()["inference_url"],
        "/deployments/other"
    );
}

#[test]
fn patch_status_changes_only_the_status() {
    let platform = MockPlatform::start();
    let id = platform.add_deployment(json!({ "tags": ["a"] }));
    let patch = |body: Value| {
        call(
            &platform,
            "PATCH",
            &format!("/deployments/{id}/status"),
            body,
        )
    };
    let answer = patch(json!({ "status": "not_responding" })).json();
    assert_eq!(
        (&answer["status"], &answer["tags"]),
        (&json!("not_responding"), &json!(["a"]))
    );
    patch(json!({ "status": "gone" })).is_invalid("enum", json!(["body", "status"]));
    patch(json!({})).is_invalid("missing", json!(["body", "status"]));
}

#[test]
fn deletes_only_deployments_pending_deletion() {
    let platform = MockPlatform::start();
    let id = platform.add_deployment(json!({ "status": "active" }));
    let path = format!("/deployments/{id}");
    let delete = || call(&platform, "DELETE", &path, Value::Null);
    assert_eq!(delete().status, 409);
    platform.request_deletion(&id, "t2");
    assert_eq!(platform.task("t2").unwrap()["type"], "undeploy");
    call(
        &platform,
        "PATCH",
        &format!("{path}/status"),
        json!({ "status": "active" }),
    );
    assert_eq!(delete().status, 409);
    call(
        &platform,
        "PATCH",
        &format!("{path}/status"),
        json!({ "status": "deletion_pending" }),
    );
    let gone = delete();
    assert_eq!((gone.status, gone.body.as_str()), (204, ""));
    delete().is_detail(404, "Deployment not found");
    assert!(platform.deployment(&id).is_none());
}

#[test]
fn returns_secrets_regardless_of_the_filter() {
    let platform = MockPlatform::start();
    let id = "0198f000-0000-7000-8000-0000000000aa";
    platform.add_secret(id, "API_KEY", "hunter2");
    platform.add_secret("0198f000-0000-7000-8000-0000000000ab", "OTHER", "x");
    let one = get(&platform, &format!("/secrets/{id}")).json();
    assert_eq!(
        (&one["name"], &one["value"]),
        (&json!("API_KEY"), &json!("hunter2"))
    );
    assert_eq!(
        get(&platform, "/secrets?deployment_id=x")
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    get(&platform, "/secrets/API_KEY").is_invalid("uuid_parsing", json!(["path", "secret_id"]));
    get(&platform, &format!("/secrets/{UNKNOWN}")).is_detail(404, "Orbit secret not found");
}

#[test]
fn returns_artifacts() {
    let platform = MockPlatform::start();
    platform.add_artifact("a1", json!({ "name": "tiny" }), "http://a/model");
    let expected = json!({ "artifact": { "name": "tiny" }, "url": "http://a/model" });
    assert_eq!(get(&platform, "/artifacts/a1").json(), expected);
    assert_eq!(
        get(&platform, "/artifacts/a1/download-url").json(),
        json!({ "url": "http://a/model" })
    );
    for path in ["", "/download-url"] {
        get(&platform, &format!("/artifacts/{UNKNOWN}{path}")).is_detail(404, "Artifact not found");
    }
}

#[test]
fn checks_inference_keys() {
    let platform = MockPlatform::start();
    platform.add_inference_key("good");
    let ask = |key: Value| {
        call(
            &platform,
            "POST",
            "/deployments/inference-access",
            json!({ "api_key": key }),
        )
    };
    assert_eq!(ask(json!("good")).json(), json!({ "authorized": true }));
    assert_eq!(ask(json!("bad")).json(), json!({ "authorized": false }));
    assert_eq!(ask(json!("é".repeat(255))).status, 200);
    ask(json!("x".repeat(256))).is_invalid("string_too_long", json!(["body", "api_key"]));
    ask(json!(1)).is_invalid("string_type", json!(["body", "api_key"]));
}
