//! Tasks of the mock platform: their lists, statuses and results.

use std::thread;

use serde_json::{Value, json};

use super::http::{UNKNOWN, call, get, platform, raw, request, set};

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
