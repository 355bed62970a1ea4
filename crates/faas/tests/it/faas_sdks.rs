//! Sends the requests of the gateway's own Python and TypeScript SDKs to the mock of that
//! gateway and checks that the responses contain what the SDKs read.

use std::io::{Read, Write};
use std::net::TcpStream;

use satellite_faas::FaasKind;
use satellite_faas::MockFaas;
use serde_json::{Value, json};

/// Sends one request as those SDKs do: JSON, without a key.
fn ask(mock: &MockFaas, method: &str, path: &str, body: Option<Value>) -> (u16, String, String) {
    let host = mock.url().replace("http://", "");
    let body = body.map_or_else(String::new, |body| body.to_string());
    let mut stream = TcpStream::connect(&host).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

fn post(mock: &MockFaas, path: &str, body: Value) -> Value {
    let (status, _, answer) = ask(mock, "POST", path, Some(body));
    assert_eq!(status, 200, "{answer}");
    serde_json::from_str(&answer).unwrap_or_default()
}

/// `execute(command, image, env_vars)` of both SDKs: always with a runtime and a cache key.
fn execute(mock: &MockFaas, command: &str, more: Value) -> Value {
    let mut body = json!({
        "command": command, "image": "alpine:latest", "runtime": "auto", "timeout_ms": 30000,
        "cache_key": "0cc175b9c0f1b6a831c399e269772661",
    });
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    post(mock, "/api/v1/execute", body)
}

#[test]
fn execute_returns_all_fields_that_the_sdks_read() {
    let mock = MockFaas::of(FaasKind::Gateway);
    let result = execute(&mock, "echo hi; echo oops >&2", json!({}));
    for field in ["request_id", "output", "logs", "stdout", "stderr"] {
        assert!(result[field].is_string(), "{field}: {result}");
    }
    assert!(result["output"].as_str().unwrap().contains("hi\n"));
    assert!(result["duration_ms"].is_u64());
    assert_eq!(
        (&result["exit_code"], &result["error"]),
        (&json!(0), &Value::Null)
    );
    let result = execute(
        &mock,
        "echo $A$B",
        json!({ "env_vars": [["A", "1"], ["B", "2"]] }),
    );
    assert_eq!(result["output"], "12\n");
    // `run_bash` and `runBash` quote their script differently.
    for command in ["sh -c \"echo \\$((40 + 2))\"", "sh -c \"echo $((40 + 2))\""] {
        assert_eq!(
            execute(&mock, command, json!({}))["output"],
            "42\n",
            "{command}"
        );
    }
    // Variables as a JSON object are rejected.
    let body = json!({ "command": "true", "env_vars": { "A": "1" } });
    assert_eq!(ask(&mock, "POST", "/api/v1/execute", Some(body)).0, 422);
}

#[test]
fn the_same_command_with_a_cache_key_runs_each_time_unless_its_mode_is_cached() {
    let mock = MockFaas::of(FaasKind::Gateway);
    let twice = |more: Value| {
        let run =
            || execute(&mock, "cat /proc/sys/kernel/random/uuid", more.clone())["output"].clone();
        run() == run()
    };
    assert!(!twice(json!({})));
    assert!(twice(json!({ "mode": "cached" })));
}

#[test]
fn a_fork_of_an_execution_is_an_execute_with_a_parent() {
    let mock = MockFaas::of(FaasKind::Gateway);
    let parent = execute(&mock, "true", json!({}));
    let fork = json!({
        "command": "echo forked", "mode": "branched", "branch_from": parent["request_id"],
        "runtime": "auto",
    });
    assert_eq!(post(&mock, "/api/v1/execute", fork)["output"], "forked\n");
    let orphan = json!({ "command": "true", "mode": "branched", "runtime": "auto" });
    assert_eq!(ask(&mock, "POST", "/api/v1/execute", Some(orphan)).0, 500);
}

#[test]
fn snapshots_prewarming_metrics_logs_and_health_respond_as_the_sdks_expect() {
    let mock = MockFaas::of(FaasKind::Gateway);
    let body = json!({ "container_id": "c-1", "name": "base", "description": null });
    let made = post(&mock, "/api/v1/snapshots", body);
    assert!(
        made["id"].is_string() && made["created_at"].is_string(),
        "{made}"
    );
    assert_eq!(
        (&made["name"], &made["container_id"]),
        (&json!("base"), &json!("c-1"))
    );
    let body = json!({ "image": "alpine:latest", "count": 3, "runtime": "auto" });
    assert_eq!(ask(&mock, "POST", "/api/v1/prewarm", Some(body)).0, 200);

    execute(&mock, "true", json!({}));
    let (_, _, metrics) = ask(&mock, "GET", "/api/v1/metrics", None);
    let metrics: Value = serde_json::from_str(&metrics).unwrap();
    let mut fields: Vec<_> = metrics
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "cache_hit_rate",
            "cache_hits",
            "docker_executions",
            "total_requests",
            "vm_executions"
        ]
    );
    assert_eq!(metrics["total_requests"], 1);

    let (status, head, body) = ask(&mock, "GET", "/api/v1/logs/exec-1/stream", None);
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("content-type: text/event-stream"), "{head}");

    let (_, _, health) = ask(&mock, "GET", "/health", None);
    let health: Value = serde_json::from_str(&health).unwrap();
    assert_eq!(
        (&health["status"], &health["docker"]),
        (&json!("healthy"), &json!(true))
    );
    assert_eq!(health["firecracker"], cfg!(target_os = "linux"));
}

#[test]
fn the_contract_also_returns_the_output_field_of_the_sdks() {
    let mock = MockFaas::start();
    let result = mock.client().execute("echo out; echo err >&2").unwrap();
    assert_eq!(
        (&result.extra["output"], &result.extra["logs"]),
        (&json!("out\n"), &json!("err\n"))
    );
}
