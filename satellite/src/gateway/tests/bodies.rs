//! Bodies that secrets are inserted into, and the memory for them.

use std::io::Write;
use std::time::{Duration, Instant};

use super::*;

#[test]
fn secrets_are_inserted_and_the_rest_of_the_body_is_unchanged() {
    let model = echo();
    let fixture = Fixture::new(model.addr().port(), MB);
    let response = fixture.post("secret", "{\"x\": 1.000000000000000000001}");
    let expected = r#"{"dynamic_attributes":{"key":"hush"},"x": 1.000000000000000000001}"#;
    assert!(response.ends_with(expected), "{response}");
    let own = r#"{"dynamic_attributes": {"key": "mine"}}"#;
    assert!(fixture.post("secret", own).ends_with(own));
    for unfit in [
        "[]",
        "{",
        r#"{"dynamic_attributes":{},"dynamic_attributes":{}}"#,
    ] {
        assert!(
            fixture.post("secret", unfit).starts_with("HTTP/1.1 400 "),
            "{unfit}"
        );
    }
    let mut gzip = fixture.call("secret", "Content-Length: 2\r\nContent-Encoding: gzip\r\n");
    gzip.write_all(b"{}").unwrap();
    assert!(read_all(&mut gzip).starts_with("HTTP/1.1 415 "));
}

#[test]
fn bodies_beyond_the_memory_limit_are_rejected_and_other_calls_succeed() {
    let model = echo();
    let fixture = Fixture::new(model.addr().port(), MB);
    // Bodies that can never fit: rejected at once, or as soon as the chunks exceed the limit.
    let mut stream = fixture.call("secret", "Content-Length: 2000000\r\n");
    assert!(read_all(&mut stream).starts_with("HTTP/1.1 413 "));
    let mut stream = fixture.call("secret", "Transfer-Encoding: chunked\r\n");
    write!(stream, "{:x}\r\n{}", 2 * MB, " ".repeat(2 << 20)).unwrap();
    assert!(read_all(&mut stream).starts_with("HTTP/1.1 413 "));

    // A body that does not fit together with another one.
    let body = format!("{{\"x\": \"{}\"}}", "y".repeat(700_000));
    let length = format!("Content-Length: {}\r\n", body.len());
    let mut first = fixture.call("secret", &length);
    first.write_all(&body.as_bytes()[..600_000]).unwrap();
    let started = Instant::now();
    loop {
        // It sends no body, so it reserves no memory that the first one needs.
        let mut second = fixture.call("secret", &length);
        let moment = Some(Duration::from_millis(200));
        second.set_read_timeout(moment).unwrap();
        let mut response = [0; 400];
        if let Ok(bytes) = second.read(&mut response) {
            let response = String::from_utf8_lossy(&response[..bytes]);
            assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
            assert!(response.contains("\r\nretry-after: 1\r\n"), "{response}");
            break;
        }
        assert!(started.elapsed() < TIMEOUT, "both bodies fit");
    }
    // Small bodies succeed, and bodies that need not be buffered.
    assert!(fixture.post("secret", "{}").starts_with("HTTP/1.1 200 "));
    assert!(
        fixture
            .post("plain", &"z".repeat(3_000_000))
            .starts_with("HTTP/1.1 200 ")
    );
    first.write_all(&body.as_bytes()[600_000..]).unwrap();
    assert!(read_all(&mut first).starts_with("HTTP/1.1 200 "));
    // All memory has been released.
    assert!(fixture.post("secret", &body).starts_with("HTTP/1.1 200 "));
}

#[cfg(target_os = "linux")]
#[test]
fn one_call_uses_at_most_twice_the_size_of_its_body() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "gateway::tests::bodies::memory_of_one_call",
            "--ignored",
            "--nocapture",
        ])
        .output()
        .unwrap();
    let requests = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && requests.contains("1 passed"),
        "{requests}{stderr}"
    );
    println!("{requests}");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "run by one_call_uses_at_most_twice_the_size_of_its_body, in a separate process"]
fn memory_of_one_call() {
    // The model and the client buffer nothing.
    let model = model(|request| {
        let bytes = std::io::copy(request.body(), &mut std::io::sink()).unwrap_or(0);
        Response::text(200, bytes.to_string())
    });
    let fixture = Fixture::new(model.addr().port(), 64 * MB);
    assert!(fixture.post("secret", "{}").starts_with("HTTP/1.1 200 "));
    let before = status_kb("VmRSS");
    // Bodies that take most memory as a parsed tree: numbers, members, empty lists, escapes, and depth.
    for (open, unit, then, close) in [
        ("{\"inputs\":{\"x\":[1", ",1", "", "]}}"),
        ("{\"a\":1", ",\"a\":1", "", "}"),
        ("{\"dynamic_attributes\":{\"a\":1", ",\"a\":1", "", "}}"),
        ("{\"x\":[1", ",[]", "", "]}"),
        ("{\"", "\\u0041", "", "\":1}"),
        ("{\"x\":", "[", "]", "}"),
    ] {
        let piece = |unit: &str| unit.repeat(65_536 / unit.len().max(1));
        let (first, second) = (piece(unit), piece(then));
        let pieces = || {
            let count = if then.is_empty() { 160 } else { 80 };
            std::iter::repeat_n(&first, count).chain(std::iter::repeat_n(&second, count))
        };
        let length = open.len() + pieces().map(String::len).sum::<usize>() + close.len();
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let mut stream = fixture.call("secret", &format!("Content-Length: {length}\r\n"));
        stream.write_all(open.as_bytes()).unwrap();
        for piece in pieces() {
            stream.write_all(piece.as_bytes()).unwrap();
        }
        stream.write_all(close.as_bytes()).unwrap();
        let response = read_all(&mut stream);
        assert!(response.starts_with("HTTP/1.1 200 "), "{open}: {response}");
        let grown = (status_kb("VmHWM").saturating_sub(before)) * 1024;
        println!("{unit}: {length} bytes of body, {grown} bytes of memory");
        assert!(
            grown <= 2 * length as u64 + MB,
            "{open}: {grown} for {length}"
        );
    }
}

/// A field of /proc/self/status, in kB.
#[cfg(target_os = "linux")]
fn status_kb(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
