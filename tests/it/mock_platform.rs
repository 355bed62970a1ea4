//! The mock platform over real HTTP: every route, every quirk of the real platform, and
//! every fault.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::testing::{Fault, MockPlatform};
use satellite_sdk::{Clock, Wait};
use serde_json::{Value, json};

const UNKNOWN: &str = "00000000-0000-0000-0000-000000000000";

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    #[track_caller]
    fn is_detail(&self, status: u16, detail: &str) {
        assert_eq!(
            (self.status, self.json()),
            (status, json!({ "detail": detail }))
        );
    }

    /// The one entry of a 422.
    #[track_caller]
    fn is_invalid(&self, kind: &str, place: Value) {
        assert_eq!(self.status, 422, "{}", self.body);
        let detail = self.json()["detail"][0].clone();
        assert_eq!((&detail["type"], &detail["loc"]), (&json!(kind), &place));
        assert!(detail["msg"].is_string() && detail.as_object().unwrap().contains_key("input"));
    }

    #[track_caller]
    fn is_500(&self) {
        assert_eq!(
            (self.status, self.body.as_str()),
            (500, "Internal Server Error")
        );
        assert!(self.head.contains("content-type: text/plain"));
    }
}

/// Sends the request unchanged and reads until the connection is closed.
fn raw(platform: &MockPlatform, request: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(platform.url().strip_prefix("http://").unwrap())?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or(ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Answer {
        status,
        head: head.into(),
        body: body.into(),
    })
}

fn request(bearer: &str, method: &str, path: &str, body: &str) -> String {
    let authorization = match bearer {
        "" => String::new(),
        bearer => format!("Authorization: Bearer {bearer}\r\n"),
    };
    format!(
        "{method} /satellites/v1{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
         {authorization}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn try_call(platform: &MockPlatform, method: &str, path: &str, body: &Value) -> io::Result<Answer> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    raw(platform, &request(&platform.token(), method, path, &body))
}

#[track_caller]
fn call(platform: &MockPlatform, method: &str, path: &str, body: Value) -> Answer {
    try_call(platform, method, path, &body).unwrap()
}

#[track_caller]
fn get(platform: &MockPlatform, path: &str) -> Answer {
    call(platform, "GET", path, Value::Null)
}

#[track_caller]
fn set(platform: &MockPlatform, task: &str, status: &str) -> Answer {
    call(
        platform,
        "POST",
        &format!("/tasks/{task}/status"),
        json!({ "status": status }),
    )
}

/// A platform with a task `t1`.
fn platform() -> MockPlatform {
    let platform = MockPlatform::start();
    platform.add_task(json!({ "id": "t1", "type": "greet", "payload": { "name": "Ada" } }));
    platform
}

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

#[test]
fn lists_tasks_by_status() {
    let platform = platform();
    let other = platform.add_task(json!({ "type": "deploy" }));
    set(&platform, "t1", "running");
    let ids = |path: &str| -> Vec<Value> {
        get(&platform, path)
            .json()
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["id"].clone())
            .collect()
    };
    assert_eq!(ids("/tasks"), ["t1", other.as_str()]);
    assert_eq!(ids("/tasks?status=pending"), [other.as_str()]);
    assert_eq!(ids("/tasks?limit=1&status=running"), ["t1"]);
    for status in ["", "completed"] {
        get(&platform, &format!("/tasks?status={status}"))
            .is_invalid("enum", json!(["query", "status"]));
    }
    let tasks = get(&platform, "/tasks").json();
    assert_eq!(tasks[0]["scheduled_at"], tasks[1]["scheduled_at"]);
    assert!(tasks[0]["created_at"].as_str() < tasks[1]["created_at"].as_str());
    assert_eq!(tasks[1]["result"], json!({}));
}

#[test]
fn accepts_any_status_in_any_order_and_repeatedly() {
    let platform = platform();
    for status in ["running", "running", "done", "pending", "failed"] {
        let answer = set(&platform, "t1", status);
        assert_eq!(
            (answer.status, answer.json()["status"].clone()),
            (200, json!(status))
        );
    }
    let task = platform.task("t1").unwrap();
    assert!(task["started_at"].is_string() && task["finished_at"].is_string());
    assert_eq!(
        platform.history("t1"),
        ["running", "running", "done", "pending", "failed"]
    );
}

#[test]
fn stores_results() {
    let platform = platform();
    let path = "/tasks/t1/status";
    set(&platform, "t1", "running");
    call(
        &platform,
        "POST",
        path,
        json!({ "status": "done", "result": { "n": 1 }, "more": 1 }),
    );
    call(
        &platform,
        "POST",
        path,
        json!({ "status": "done", "result": null }),
    );
    assert_eq!(platform.result("t1"), json!({ "n": 1 }));
    assert_eq!(
        platform.results_reported("t1"),
        [Value::Null, json!({ "n": 1 }), Value::Null]
    );
}

#[test]
fn rejects_invalid_reports() {
    let platform = platform();
    let path = "/tasks/t1/status";
    set(&platform, "t1", "completed").is_invalid("enum", json!(["body", "status"]));
    call(&platform, "POST", path, json!({})).is_invalid("missing", json!(["body", "status"]));
    call(&platform, "POST", path, Value::Null).is_invalid("missing", json!(["body"]));
    call(&platform, "POST", path, json!([1])).is_invalid("model_attributes_type", json!(["body"]));
    let bad_json = raw(&platform, &request(&platform.token(), "POST", path, "{")).unwrap();
    assert_eq!(bad_json.json()["detail"][0]["type"], "json_invalid");
    let text = json!({ "status": "done", "result": "text" });
    call(&platform, "POST", path, text).is_invalid("dict_type", json!(["body", "result"]));
    set(&platform, UNKNOWN, "running").is_detail(404, "Task not found");
    set(&platform, "t2", "running").is_invalid("uuid_parsing", json!(["path", "task_id"]));
    assert!(platform.history("t1").is_empty());
}

#[test]
fn results_that_cannot_be_stored_are_a_500() {
    let platform = platform();
    let path = "/tasks/t1/status";
    for result in [json!({ "log": "a\0b" }), json!({ "a": [{ "\0": 1 }] })] {
        call(
            &platform,
            "POST",
            path,
            json!({ "status": "done", "result": result }),
        )
        .is_500();
    }
    let deep = format!(
        r#"{{"status":"done","result":{{"a":{}{}}}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    raw(&platform, &request(&platform.token(), "POST", path, &deep))
        .unwrap()
        .is_500();
    assert_eq!(platform.status("t1"), "pending");
}

#[test]
fn accepts_results_up_to_the_maximum_depth() {
    let platform = platform();
    let deep = r#"{"a":"#.repeat(120) + "1" + &"}".repeat(120);
    let body = format!(r#"{{"status":"done","result":{deep}}}"#);
    let report = request(&platform.token(), "POST", "/tasks/t1/status", &body);
    assert_eq!(raw(&platform, &report).unwrap().status, 200);
    assert_eq!(platform.result("t1").to_string(), deep);
}

#[test]
fn accepts_a_result_of_20_mb() {
    let platform = platform();
    let result = json!({ "log": "x".repeat(20_000_000) });
    call(
        &platform,
        "POST",
        "/tasks/t1/status",
        json!({ "status": "done", "result": result }),
    );
    assert!(get(&platform, "/tasks").body.len() > 20_000_000);
}

#[test]
fn with_exclusive_claims_only_one_claim_succeeds() {
    let platform = platform();
    platform.claim_guard(true);
    let claims: Vec<_> = (0..8)
        .map(|_| {
            let platform = platform.clone();
            thread::spawn(move || set(&platform, "t1", "running").status)
        })
        .collect();
    let mut statuses: Vec<u16> = claims
        .into_iter()
        .map(|claim| claim.join().unwrap())
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409]);
    assert_eq!(set(&platform, "t1", "done").status, 200);
}

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

#[test]
fn serves_its_routes_and_redirects_a_trailing_slash() {
    let platform = platform();
    let slash = get(&platform, "/tasks/?status=pending");
    assert_eq!(slash.status, 307);
    assert!(
        slash
            .head
            .contains("location: /satellites/v1/tasks?status=pending")
    );
    get(&platform, "/nothing").is_detail(404, "Not Found");
    raw(
        &platform,
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .unwrap()
    .is_detail(404, "Not Found");
    call(&platform, "PUT", "/tasks", Value::Null).is_detail(405, "Method Not Allowed");
    call(&platform, "GET", "/tasks/t1/status", Value::Null).is_detail(405, "Method Not Allowed");
}

#[test]
fn records_requests() {
    let platform = platform();
    let started = Instant::now();
    get(&platform, "/tasks?status=pending");
    raw(&platform, &request("", "POST", "/tasks/t1/status", "{}")).unwrap();
    let seen = platform.requests();
    assert_eq!(seen.len(), 2);
    assert_eq!(
        (seen[0].method.as_str(), seen[0].path.as_str()),
        ("GET", "/satellites/v1/tasks?status=pending")
    );
    assert_eq!(
        (seen[0].status, seen[0].authorization, seen[0].connection),
        (200, true, 1)
    );
    assert_eq!(
        (seen[1].status, seen[1].authorization, seen[1].connection),
        (401, false, 2)
    );
    assert_eq!(seen[1].body, b"{}");
    assert!(started <= seen[0].at && seen[0].at <= seen[1].at);
    assert_eq!(platform.connections(), 2);
    platform.clear_requests();
    assert!(platform.requests().is_empty());
    get(&platform, "/tasks");
    assert_eq!(platform.requests()[0].status, 200);
}

#[test]
fn faults_replace_the_response() {
    let platform = platform();
    let next = |fault: Fault| {
        platform.fault(fault);
        set(&platform, "t1", "done")
    };
    assert_eq!(next(Fault::Status(503)).status, 503);
    next(Fault::Status(500)).is_500();
    let later = next(Fault::RetryAfter {
        status: 429,
        seconds: 7,
    });
    assert!(later.status == 429 && later.head.contains("retry-after: 7"));
    let half = next(Fault::HalfBody);
    assert!(half.head.contains("content-length: 4096") && half.body.len() < 100);
    assert!(next(Fault::NotJson).body.starts_with("<html>"));
    let empty = next(Fault::Empty);
    assert_eq!((empty.status, empty.body.as_str()), (200, ""));
    let moved = next(Fault::Redirect("http://127.0.0.1:9/".into()));
    assert!(moved.status == 307 && moved.head.contains("location: http://127.0.0.1:9/"));
    assert!(platform.history("t1").is_empty());
    assert_eq!(set(&platform, "t1", "done").status, 200);
}

#[test]
fn faults_without_a_response() {
    let platform = platform();
    let next = |fault: Fault| {
        platform.fault(fault);
        let body = json!({ "status": "done" });
        try_call(&platform, "POST", "/tasks/t1/status", &body)
            .err()
            .map(|error| error.kind())
    };
    assert_eq!(next(Fault::Drop), Some(ErrorKind::UnexpectedEof));
    let reset = next(Fault::Reset);
    assert!(
        matches!(
            reset,
            Some(ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof)
        ),
        "{reset:?}"
    );
    assert!(platform.history("t1").is_empty());
    assert_eq!(next(Fault::DoneButNoAnswer), Some(ErrorKind::UnexpectedEof));
    assert_eq!(platform.history("t1"), ["done"]);
    assert!(platform.requests().iter().all(|seen| seen.status == 0));
}

#[test]
fn faults_apply_to_a_route_and_a_number_of_requests() {
    let platform = platform();
    platform
        .fault(Fault::Status(503))
        .times(2)
        .on("POST", "/status");
    platform.fault(Fault::Status(502)).on("", "status=pending");
    assert_eq!(get(&platform, "/tasks").status, 200);
    assert_eq!(get(&platform, "/tasks?status=pending").status, 502);
    assert_eq!(get(&platform, "/tasks?status=pending").status, 200);
    let statuses = [(); 3].map(|()| set(&platform, "t1", "running").status);
    assert_eq!(statuses, [503, 503, 200]);
    platform.fault(Fault::Status(500)).forever();
    assert_eq!([(); 3].map(|()| get(&platform, "/tasks").status), [500; 3]);
    platform.clear_faults();
    assert_eq!(get(&platform, "/tasks").status, 200);
}

#[test]
fn a_stall_delays_and_then_serves() {
    let platform = platform();
    platform.fault(Fault::Stall(Duration::from_millis(150)));
    let started = Instant::now();
    assert_eq!(set(&platform, "t1", "done").status, 200);
    assert!(started.elapsed() >= Duration::from_millis(150));
}

#[test]
fn a_stall_ends_when_the_platform_is_dropped() {
    let platform = platform();
    platform.fault(Fault::Stall(Duration::from_secs(60)));
    let url = platform.url();
    let text = request(&platform.token(), "GET", "/tasks", "");
    let waiting = thread::spawn(move || {
        let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    });
    while platform.requests().is_empty() {
        thread::yield_now();
    }
    let started = Instant::now();
    drop(platform);
    assert_eq!(waiting.join().unwrap(), "");
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[test]
fn pauses_and_resumes_at_the_same_address() {
    let platform = platform();
    let url = platform.url();
    let mut held = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    get(&platform, "/tasks");
    platform.pause();
    assert_eq!(held.read(&mut [0]).unwrap(), 0);
    let away = try_call(&platform, "GET", "/tasks", &Value::Null)
        .err()
        .map(|error| error.kind());
    assert_eq!(away, Some(ErrorKind::ConnectionRefused));
    platform.pause();
    platform.resume();
    platform.resume();
    assert_eq!(
        (platform.url(), get(&platform, "/tasks").status),
        (url, 200)
    );
    assert_eq!(platform.connections(), 3);
    assert_eq!(platform.requests().last().unwrap().connection, 3);
}

#[test]
fn waiting_for_a_status_returns_when_it_is_set() {
    let platform = platform();
    let waiting = {
        let platform = platform.clone();
        thread::spawn(move || platform.wait_for("t1", "done", Duration::from_secs(10)))
    };
    set(&platform, "t1", "running");
    set(&platform, "t1", "done");
    assert!(waiting.join().unwrap());
    assert!(platform.wait_for("t1", "running", Duration::ZERO));
    let started = Instant::now();
    assert!(!platform.wait_for("t1", "failed", Duration::from_millis(50)));
    assert!(started.elapsed() >= Duration::from_millis(50));
}

#[test]
fn stops_when_the_last_handle_is_dropped() {
    let platform = platform();
    let url = platform.url();
    let addr = url.strip_prefix("http://").unwrap();
    let other = platform.clone();
    drop(platform);
    assert!(TcpStream::connect(addr).is_ok());
    drop(other);
    assert!(TcpStream::connect(addr).is_err());
}
