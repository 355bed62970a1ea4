//! The gateway, with honest and hostile clients.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use satellite_sdk::testing::Fault;
use serde_json::{Value, json};

use crate::engine::run;
use crate::engine_or_skip;
use crate::host::{Host, KEY, Satellite, TIMEOUT, uuid};

/// Sends one request on a new connection.
pub fn send(
    address: &str,
    method: &str,
    path: &str,
    key: Option<&str>,
    body: &str,
) -> (u16, Value) {
    let bearer = key.map_or(String::new(), |key| {
        format!("Authorization: Bearer {key}\r\n")
    });
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{bearer}\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let answer = raw(address, request.as_bytes());
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (
        status.unwrap_or(0),
        serde_json::from_str(body).unwrap_or(Value::Null),
    )
}

fn raw(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn deployed(docker: &str) -> (Host, Satellite) {
    let host = Host::new(docker);
    let task = host.deploy();
    let satellite = host.start();
    assert_eq!(host.wait_for_task(task), "done");
    (host, satellite)
}

#[test]
fn each_response_has_the_documented_status() {
    let docker = engine_or_skip!();
    let secret = uuid();
    let bound = json!({ "dynamic_attributes_secrets": { "api_key": secret } });
    let host = Host::with(docker, bound);
    host.platform.add_secret(&secret, "the key", "hush");
    let task = host.deploy();
    let satellite = host.start();
    assert_eq!(host.wait_for_task(task), "done");
    let gateway = satellite.gateway();
    let path = format!("/deployments/{}/compute", host.deployment);
    let body = r#"{"inputs": {"x": [1, 2]}}"#;
    let post = |path: &str, key: Option<&str>, body: &str| send(&gateway, "POST", path, key, body);

    assert_eq!(
        send(&gateway, "GET", "/healthz", None, ""),
        (200, json!({ "status": "healthy" }))
    );
    assert_eq!(post(&path, Some(KEY), body).1["y"], json!([3.0, 5.0]));
    assert_eq!(post(&path, None, body).0, 403);
    assert_eq!(post(&path, Some("wrong"), body).0, 401);
    assert_eq!(post(&path, Some(&"x".repeat(300)), body).0, 401);
    assert_eq!(post("/deployments/nothing/compute", Some(KEY), body).0, 404);
    assert_eq!(send(&gateway, "GET", &path, Some(KEY), "").0, 405);
    assert_eq!(send(&gateway, "GET", "/elsewhere", None, "").0, 404);
    let (status, answer) = post(&path, Some(KEY), r#"{"inputs": 7}"#);
    assert_eq!(status, 400, "the model's own status");
    assert!(answer["error"].is_string(), "and its own words: {answer}");

    assert_eq!(send(&gateway, "GET", "/deployments", None, "").0, 403);
    let (_, listed) = send(&gateway, "GET", "/deployments", Some(KEY), "");
    assert_eq!(listed[0]["deployment_id"], json!(host.deployment));
    assert!(!listed.to_string().contains(&secret), "{listed}");
    assert_eq!(listed[0]["attributes_from_secrets"], json!(["api_key"]));
    let (_, document) = send(&gateway, "GET", "/openapi.json", None, "");
    let name = format!("Deployment{}_ComputeRequest", host.deployment);
    assert!(
        document["components"]["schemas"][name].is_object(),
        "{document}"
    );

    let access = "/satellites/deployments/inference-access";
    let asked = |key: &str| post(access, None, &json!({ "api_key": key }).to_string());
    assert_eq!(asked(KEY), (200, json!({ "authorized": true })));
    assert_eq!(asked("wrong"), (200, json!({ "authorized": false })));
    assert_eq!(post(access, None, "{}").0, 422);

    host.platform
        .fault(Fault::Status(503))
        .on("POST", "/inference-access")
        .forever();
    assert_eq!(
        post(&path, Some(KEY), body).0,
        200,
        "a positive authorization is cached"
    );
    assert_eq!(post(&path, Some("not cached"), body).0, 502);
    run(docker, &["pause", &host.containers()[0]]);
    run(docker, &["rm", "--force", &host.containers()[0]]);
    assert_eq!(post(&path, Some(KEY), body).0, 503);
}

#[test]
fn a_positive_authorization_is_cached() {
    let docker = engine_or_skip!();
    let (host, satellite) = deployed(docker);
    let gateway = satellite.gateway();
    let path = format!("/deployments/{}/compute", host.deployment);
    host.platform.clear_requests();
    for _ in 0..20 {
        assert_eq!(
            send(
                &gateway,
                "POST",
                &path,
                Some(KEY),
                r#"{"inputs": {"x": []}}"#
            )
            .0,
            200
        );
    }
    let checks = host.platform.requests();
    let checks = checks
        .iter()
        .filter(|r| r.path.ends_with("inference-access"))
        .count();
    assert_eq!(checks, 1);
}

#[test]
fn large_bodies_are_forwarded_both_ways() {
    let docker = engine_or_skip!();
    let (host, satellite) = deployed(docker);
    let numbers = vec!["1"; 1_000_000].join(",");
    let body = format!(r#"{{"inputs": {{"x": [{numbers}]}}}}"#);
    let path = format!("/deployments/{}/compute", host.deployment);
    let (status, answer) = send(&satellite.gateway(), "POST", &path, Some(KEY), &body);
    assert_eq!(status, 200);
    assert_eq!(answer["y"].as_array().unwrap().len(), 1_000_000);
}

#[test]
fn ambiguous_requests_are_rejected_and_the_connection_is_closed() {
    let docker = engine_or_skip!();
    let (host, satellite) = deployed(docker);
    let gateway = satellite.gateway();
    let path = format!("/deployments/{}/compute", host.deployment);
    let smuggled = "GET /deployments HTTP/1.1\r\nHost: x\r\n\r\n";
    for head in [
        "Content-Length: 2\r\nContent-Length: 5\r\n\r\n",
        "Content-Length: 2\r\nContent-Length: 2\r\n\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n",
        "Content-Length: +2\r\n\r\n",
        "Content-Length: 2\n\r\n",
        "X: a\r\n b\r\n\r\n",
        "\0: a\r\n\r\n",
    ] {
        let request = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{head}{{}}{smuggled}");
        let answer = raw(&gateway, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400"), "{head:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{head:?}: {answer}");
    }
}

#[test]
fn the_gateway_responds_despite_a_thousand_hostile_connections() {
    let docker = engine_or_skip!();
    let (host, satellite) = deployed(docker);
    let gateway = satellite.gateway();
    let path = format!("/deployments/{}/compute", host.deployment);
    let mut held = Vec::new();
    for n in 0..1000 {
        let Ok(mut stream) = TcpStream::connect(&gateway) else {
            continue;
        };
        let _ = match n % 4 {
            0 => stream.write_all(b"POST /deploy"),
            1 => stream.write_all(&[0xff; 4096]),
            2 => stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"),
            _ => Ok(()),
        };
        if n % 5 != 0 {
            held.push(stream);
        }
    }
    let begun = Instant::now();
    let (status, _) = send(
        &gateway,
        "POST",
        &path,
        Some(KEY),
        r#"{"inputs": {"x": [1]}}"#,
    );
    assert_eq!(status, 200);
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    drop(held);
    host.platform.clear_requests();
    crate::host::eventually("further polls", || host.platform.requests().len() > 3);
}

#[test]
fn a_model_that_hangs_does_not_block_calls_to_others() {
    let docker = engine_or_skip!();
    let (host, satellite) = deployed(docker);
    let gateway = satellite.gateway();
    run(docker, &["kill", "--signal", "STOP", &host.containers()[0]]);
    let body = r#"{"inputs": {"x": [1]}}"#;
    let request = format!(
        "POST /deployments/{}/compute HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        host.deployment,
        body.len()
    );
    let held: Vec<TcpStream> = (0..300)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(&gateway).ok()?;
            stream.write_all(request.as_bytes()).ok()?;
            Some(stream)
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(send(&gateway, "GET", "/healthz", None, "").0, 200);
    let path = format!("/deployments/{}/compute", host.deployment);
    assert_eq!(send(&gateway, "POST", &path, Some(KEY), body).0, 503);
    drop(held);
    run(docker, &["kill", "--signal", "CONT", &host.containers()[0]]);
}

#[test]
fn unauthenticated_bodies_are_limited() {
    let docker = engine_or_skip!();
    let (_host, satellite) = deployed(docker);
    let large = format!(r#"{{"api_key": "{}"}}"#, "x".repeat(1 << 20));
    let path = "/satellites/deployments/inference-access";
    let (status, _) = send(&satellite.gateway(), "POST", path, None, &large);
    assert!(status == 413 || status == 0, "{status}"); // or the connection is closed early
}
