//! How the client calls: registration, raw calls, errors, retries, redirects.

use std::time::Duration;

use satellite_sdk::testing::{Fault, MockPlatform, mock_task};
use satellite_sdk::{Builder, Registration, pair};
use serde_json::{Value, json};

use crate::client::{ABSENT, client};

#[test]
fn registration_is_repeatable_and_requires_a_capability() {
    let platform = MockPlatform::start();
    let client = platform.client();
    let me = Registration::new("http://edge.example")
        .capability("deploy", json!({}))
        .slug("edge");
    for _ in 0..2 {
        assert!(client.register(&me).unwrap().paired);
    }
    assert_eq!(platform.satellite()["slug"], "edge");
    let nothing = client
        .register(&Registration::new("http://edge.example"))
        .unwrap_err();
    assert!(
        nothing.to_string().contains("Invalid capabilities"),
        "{nothing}"
    );
    let unknown = Registration::new("http://edge.example").capability("fly", json!({}));
    assert!(client.register(&unknown).unwrap_err().is_invalid());
}

#[test]
fn a_pairing_code_is_exchanged_without_a_token() {
    let platform = MockPlatform::start();
    platform.add_pairing_code("ABC123");
    assert!(!pair("ABC123", &platform.url()).unwrap().expose().is_empty());
    assert!(platform.requests().iter().all(|r| !r.authorization));
    let error = pair("WRONG", &platform.url()).unwrap_err().to_string();
    assert!(error.contains("Satellites page"), "{error}");
}

#[test]
fn raw_calls_return_any_status_as_a_value() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "x", json!({})));
    let client = platform.client();
    let tasks: Value = client.get("/satellites/v1/tasks").unwrap().json().unwrap();
    assert_eq!(tasks[0]["id"], "t");
    let body = json!({ "status": "running" });
    let path = "/satellites/v1/tasks/t/status";
    assert_eq!(client.post(path, &body).unwrap().status(), 200);
    for answer in [
        client.put(path, &body).unwrap(),
        client.patch(path, &body).unwrap(),
        client.delete(path).unwrap(),
        client.get("/satellites/v1/nothing").unwrap(),
    ] {
        assert!(answer.ok().unwrap_err().is_unsupported());
    }
}

#[test]
fn an_error_names_the_request_and_the_response() {
    let platform = MockPlatform::start();
    let error = platform
        .client()
        .get_deployment(ABSENT)
        .unwrap_err()
        .to_string();
    for part in [
        "GET",
        ABSENT,
        &platform.url(),
        "404",
        "Deployment not found",
    ] {
        assert!(error.contains(part), "{part} is missing in {error}");
    }
}

#[test]
fn a_validation_error_names_the_field_without_the_input() {
    let platform = MockPlatform::start();
    let error = platform
        .client()
        .authorize_inference(&"hush".repeat(100))
        .unwrap_err()
        .to_string();
    assert!(error.contains("api_key"), "{error}");
    assert!(!error.contains("hush"), "{error}");
}

#[test]
fn reads_and_status_changes_are_retried_but_creates_are_not() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "x", json!({})));
    let (client, clock) = client(&platform);
    platform.fault(Fault::Status(503)).times(2);
    assert_eq!(client.poll_tasks().unwrap().len(), 1);
    platform.fault(Fault::Reset).times(2);
    client.update_task_status("t", "done", "").unwrap();
    assert_eq!(clock.waits().len(), 4);
    platform.fault(Fault::Reset).times(1);
    let error = client
        .post("/satellites/v1/things", &json!({}))
        .unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    assert_eq!(clock.waits().len(), 4, "not retried");
}

#[test]
fn a_create_is_retried_while_the_connection_is_refused() {
    let platform = MockPlatform::start();
    let (client, clock) = client(&platform);
    platform.pause();
    let back = platform.clone();
    clock.at(Duration::from_secs(5), move || back.resume());
    let answer = client.post("/satellites/v1/things", &json!({})).unwrap();
    assert_eq!(answer.status(), 404);
    assert!(clock.elapsed() >= Duration::from_secs(5));
    assert_eq!(platform.requests().len(), 1);
}

#[test]
fn a_call_fails_at_its_deadline_and_not_before() {
    let platform = MockPlatform::start();
    let (client, clock) = client(&platform);
    platform.fault(Fault::Status(502)).forever();
    let error = client.list_deployments().unwrap_err();
    assert_eq!(error.status(), Some(502));
    let waited = clock.elapsed();
    assert!(waited < Duration::from_secs(120), "{waited:?}");
    assert!(waited > Duration::from_secs(30), "{waited:?}");
}

#[test]
fn a_redirect_is_not_followed_and_the_error_names_its_target() {
    let platform = MockPlatform::start();
    let other = MockPlatform::start();
    platform
        .fault(Fault::Redirect(format!(
            "{}/satellites/v1/tasks",
            other.url()
        )))
        .times(1);
    let error = platform.client().poll_tasks().unwrap_err().to_string();
    assert!(
        error.contains("redirects to") && error.contains(&other.url()),
        "{error}"
    );
    assert!(
        other.requests().is_empty(),
        "the token is not sent to another host"
    );
}

#[test]
fn a_user_key_is_forbidden_and_a_wrong_token_unauthorized() {
    let platform = MockPlatform::start();
    platform.add_user_key("user");
    let with = |token: &str| {
        let builder = Builder::new().platform_url(platform.url()).token(token);
        builder.platform().unwrap().poll_tasks().unwrap_err()
    };
    assert!(with("user").is_forbidden());
    assert!(with("nobody").is_unauthorized());
}

#[test]
fn ids_are_escaped_in_paths() {
    let platform = MockPlatform::start();
    let client = platform.client();
    for id in ["../../secrets", "a/b?c#d", "..", "ü"] {
        let _ = client.claim_task(id);
    }
    for request in platform.requests() {
        assert_eq!(request.path.matches('/').count(), 5, "{}", request.path);
        assert!(
            request.path.is_ascii() && !request.path.contains('?'),
            "{}",
            request.path
        );
    }
}
