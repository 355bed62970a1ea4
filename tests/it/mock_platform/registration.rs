//! Registration, pairing codes and tokens of the mock platform.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use satellite_sdk::testing::MockPlatform;
use satellite_sdk::{Clock, Wait};
use serde_json::{Value, json};

use super::http::{call, get, platform, raw, request};

#[test]
fn each_platform_has_its_own_token() {
    let (a, b) = (MockPlatform::start(), MockPlatform::start());
    assert!(a.token().starts_with("dfssat_"));
    assert_ne!(a.token(), b.token());
}

#[test]
fn registers_a_satellite_repeatedly() {
    let platform = MockPlatform::start();
    let body = json!({ "base_url": "http://edge:8000", "capabilities": { "deploy": {} }, "slug": "edge", "more": 1 });
    let first = call(&platform, "POST", "/pair", body.clone());
    assert_eq!(first.status, 200);
    assert_eq!(first.json(), platform.satellite());
    for field in [
        "id",
        "orbit_id",
        "name",
        "description",
        "base_url",
        "paired",
        "capabilities",
        "slug",
        "created_at",
        "updated_at",
        "last_seen_at",
        "status",
    ] {
        assert!(
            first.json().as_object().unwrap().contains_key(field),
            "{field}"
        );
    }
    let again = call(&platform, "POST", "/pair", body);
    assert_eq!(again.json()["created_at"], first.json()["created_at"]);
    assert_ne!(again.json()["updated_at"], first.json()["updated_at"]);
}

#[test]
fn rejects_invalid_registrations() {
    let platform = MockPlatform::start();
    let pair = |base_url: &str, capabilities: Value| {
        call(
            &platform,
            "POST",
            "/pair",
            json!({ "base_url": base_url, "capabilities": capabilities }),
        )
    };
    pair("http://a", json!({})).is_detail(400, "Invalid capabilities");
    pair("http://a", json!({ "fly": {} }))
        .is_invalid("enum", json!(["body", "capabilities", "fly", "[key]"]));
    pair("http://a", json!({ "deploy": 1 }))
        .is_invalid("dict_type", json!(["body", "capabilities", "deploy"]));
    pair("http://a", Value::Null).is_invalid("dict_type", json!(["body", "capabilities"]));
    for url in ["a", "ftp://a", "http://", "http:///a", ""] {
        pair(url, json!({ "deploy": null })).is_invalid("url_parsing", json!(["body", "base_url"]));
    }
    assert_eq!(
        pair("https://a", json!({ "deploy": null, "monitoring": {} })).status,
        200
    );
    call(&platform, "POST", "/pair", json!({})).is_invalid("missing", json!(["body", "base_url"]));
}

/// A clock that a test sets.
#[derive(Clone, Debug)]
struct SetClock(Arc<Mutex<Instant>>);

impl Default for SetClock {
    fn default() -> Self {
        SetClock(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Clock for SetClock {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap()
    }

    fn wait(&self, _: Wait<'_>) {}
}

#[test]
fn only_a_satellite_listed_in_the_ui_can_be_chosen() {
    let platform = MockPlatform::start();
    let clock = SetClock::default();
    platform.clock(clock.clone());
    let why = |variant: &str, tags: &[&str]| platform.not_choosable(variant, tags);
    let registered = |capabilities: Value| {
        let body = json!({ "base_url": "http://a", "capabilities": capabilities });
        assert_eq!(call(&platform, "POST", "/pair", body).status, 200);
    };
    let starts = |why: Option<String>, with: &str| {
        assert!(why.as_deref().unwrap().starts_with(with), "{why:?}");
    };

    assert_eq!(get(&platform, "/tasks").status, 200); // it polls, but has not registered
    starts(why("pipeline", &[]), "inactive");
    for empty in [
        json!({ "deploy": {} }),
        json!({ "deploy": null, "monitoring": { "version": 1 } }),
    ] {
        registered(empty);
        starts(why("pipeline", &[]), "not offered");
    }
    registered(json!({ "deploy": { "version": 1 } }));
    starts(why("pipeline", &[]), "The satellite does not support");
    let deploy = json!({ "supported_variants": ["pipeline"], "supported_tags_combinations": null });
    registered(json!({ "deploy": deploy }));
    assert!(platform.choosable_for("pipeline") && !platform.choosable_for("pyfunc"));
    assert_eq!(why("pipeline", &["whatever"]), None);
    let combinations = json!([["a", "b"], ["c"]]);
    registered(json!({ "deploy": {
        "supported_variants": ["pipeline"], "supported_tags_combinations": combinations,
    } }));
    for tags in [&["a"][..], &["b", "d"], &[]] {
        starts(why("pipeline", tags), "The model does not contain");
    }
    for tags in [&["b", "x", "a"][..], &["c"]] {
        assert_eq!(why("pipeline", tags), None);
    }

    let wait = |minutes: u64| *clock.0.lock().unwrap() += Duration::from_secs(minutes * 60);
    wait(20);
    assert_eq!(why("pipeline", &["c"]), None);
    wait(1);
    starts(why("pipeline", &["c"]), "error");
    assert_eq!(platform.satellite()["status"], "error");
    assert_eq!(get(&platform, "/tasks").status, 200);
    assert_eq!(why("pipeline", &["c"]), None, "any request will do");
    platform.unpair();
    starts(why("pipeline", &["c"]), "inactive");
}

#[test]
fn exchanges_only_codes_that_were_added() {
    let platform = MockPlatform::start();
    let pair = || {
        raw(
            &platform,
            &request("", "POST", "/pair", r#"{"code":"ABC123"}"#),
        )
        .unwrap()
    };
    pair().is_detail(401, "Not authenticated");
    platform.add_pairing_code("ABC123");
    assert_eq!(pair().json(), json!({ "token": platform.token() }));
}

#[test]
fn requires_the_token() {
    let platform = platform();
    platform.add_user_key("dfs_user");
    for bearer in ["", "wrong", "dfssat_other"] {
        raw(&platform, &request(bearer, "GET", "/tasks", ""))
            .unwrap()
            .is_detail(401, "Not authenticated");
    }
    let basic = "GET /satellites/v1/tasks HTTP/1.1\r\nHost: a\r\nAuthorization: Basic eA==\r\nConnection: close\r\n\r\n";
    raw(&platform, basic)
        .unwrap()
        .is_detail(401, "Not authenticated");
    assert_eq!(
        raw(&platform, &request("dfs_user", "GET", "/tasks", ""))
            .unwrap()
            .status,
        403
    );
    assert_eq!(get(&platform, "/tasks").status, 200);
    platform.revoke();
    get(&platform, "/tasks").is_detail(401, "Not authenticated");
}

#[test]
fn an_unpaired_satellite_is_rejected() {
    let platform = platform();
    platform.unpair();
    assert_eq!(get(&platform, "/tasks").status, 401);
    assert!(platform.satellite().is_null());
}
