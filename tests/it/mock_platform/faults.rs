//! Requests that the mock platform records, and the faults that it injects.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::testing::{Fault, MockPlatform};
use serde_json::{Value, json};

use super::http::{call, get, platform, raw, request, set, try_call};

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
    let waiting = stalled_request(&platform);
    let started = Instant::now();
    drop(platform);
    assert_eq!(waiting.join().unwrap(), "");
    assert!(started.elapsed() < STALL / 2);
}

#[test]
fn a_stall_ends_when_its_fault_is_cleared() {
    let platform = platform();
    let waiting = stalled_request(&platform);
    let started = Instant::now();
    platform.clear_faults();
    let answer = waiting.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(started.elapsed() < STALL / 2);
}

const STALL: Duration = Duration::from_secs(60);

/// Sends a request that stalls, and returns once the platform has received it.
fn stalled_request(platform: &MockPlatform) -> thread::JoinHandle<String> {
    platform.fault(Fault::Stall(STALL));
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
        thread::sleep(Duration::from_millis(1));
    }
    waiting
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
