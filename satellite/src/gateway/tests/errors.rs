//! Clients and models that fail or misbehave.

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Instant;

use super::*;

/// Messages at WARN and above, of this process.
struct Log(Mutex<Vec<String>>);

static LOG: Log = Log(Mutex::new(Vec::new()));

impl log::Log for Log {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

#[test]
fn a_client_that_disconnects_is_not_reported_as_a_model_failure() {
    let _ = log::set_logger(&LOG);
    log::set_max_level(log::LevelFilter::Warn);
    let (sender, requests) = channel();
    let sender = Mutex::new(sender);
    let model = model(move |request| {
        let sender = sender.lock().unwrap().clone();
        let _ = sender.send("started");
        let read = request.read_body();
        let _ = sender.send(if read.is_ok() { "whole" } else { "cut" });
        Response::new(200)
    });
    let fixture = Fixture::new(model.addr().port(), MB);
    for name in ["plain", "secret"] {
        let mut stream = fixture.call(name, "Content-Length: 900000\r\n");
        stream.write_all(&vec![b' '; 400_000]).unwrap();
        if name == "plain" {
            assert_eq!(requests.recv_timeout(TIMEOUT), Ok("started"));
        }
        stream.shutdown(Shutdown::Both).unwrap();
    }
    assert_eq!(requests.recv_timeout(TIMEOUT), Ok("cut"));
    assert!(!fixture.routes.get("plain").unwrap().is_closed());
    assert!(fixture.post("plain", "{}").starts_with("HTTP/1.1 200 "));
    assert!(fixture.post("secret", "{}").starts_with("HTTP/1.1 200 "));
    let log = LOG.0.lock().unwrap().join("\n");
    for message in [
        "deployment plain: the model",
        "deployment secret: the model",
    ] {
        assert!(!log.contains(message), "{log}");
    }
}

#[test]
fn a_model_that_does_not_listen_closes_its_route() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let fixture = Fixture::new(port, MB);
    // A separate deployment id: another test asserts what is logged.
    let gone = Route {
        deployment_id: "gone".into(),
        ..Route::clone(&fixture.routes.get("plain").unwrap())
    };
    fixture.routes.insert(gone);
    assert!(fixture.post("gone", "{}").starts_with("HTTP/1.1 503 "));
    assert!(fixture.routes.get("gone").unwrap().is_closed());
}

#[test]
fn platform_requests_for_unknown_keys_are_rate_limited() {
    let model = echo();
    let fixture = Fixture::new(model.addr().port(), MB);
    assert!(fixture.post("plain", "{}").starts_with("HTTP/1.1 200 "));
    fixture.platform.clear_requests();
    let started = Instant::now();
    let (mut refused, mut later) = (0, 0);
    for n in 0..300 {
        let mut stream =
            fixture.call_by(&format!("dfs_guess_{n}"), "plain", "Content-Length: 0\r\n");
        let response = read_all(&mut stream);
        if response.starts_with("HTTP/1.1 429 ") {
            assert!(response.contains("\r\nretry-after: 1\r\n"), "{response}");
            later += 1;
        } else {
            assert!(response.starts_with("HTTP/1.1 401 "), "{response}");
            refused += 1;
        }
    }
    let sent = fixture.platform.requests().len();
    let allowed = 21 + 5 * started.elapsed().as_secs() as usize + 5;
    assert_eq!(sent, refused);
    assert!(
        sent <= allowed.min(299),
        "{sent} requests, {allowed} allowed"
    );
    assert!(later > 0);
    assert!(
        fixture.post("plain", "{}").starts_with("HTTP/1.1 200 "),
        "a known key still works"
    );
}

#[test]
fn an_error_405_lists_the_allowed_methods() {
    let fixture = Fixture::new(1, MB);
    for (request, allowed) in [
        ("POST /healthz", "GET, HEAD"),
        ("DELETE /deployments", "GET, HEAD"),
        ("GET /deployments/plain/compute", "POST"),
        ("PUT /satellites/deployments/inference-access", "POST"),
    ] {
        let mut stream = TcpStream::connect(fixture.gateway.addr()).unwrap();
        write!(
            stream,
            "{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let response = read_all(&mut stream);
        assert!(response.starts_with("HTTP/1.1 405 "), "{response}");
        assert!(
            response.contains(&format!("\r\nallow: {allowed}\r\n")),
            "{response}"
        );
    }
}
