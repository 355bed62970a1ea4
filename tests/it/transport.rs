//! The HTTP transport: its limits and its routing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use satellite_sdk::serve::{Limits, Response, Server};
use satellite_sdk::testing::{Fault, ManualClock, MockPlatform};
use satellite_sdk::{Builder, PlatformClient};

use crate::child;

fn client(url: &str) -> PlatformClient {
    let builder = Builder::new().platform_url(url).token("dfssat_token");
    builder.clock(ManualClock::default()).platform().unwrap()
}

#[test]
fn a_response_that_is_too_large_fails_without_a_retry() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let server = Server::bind("127.0.0.1:0", Limits::default(), move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Response::new(200).reader(std::io::repeat(b'x'), None)
    })
    .unwrap();
    let error = client(&format!("http://{}", server.addr()))
        .poll_tasks()
        .unwrap_err();
    assert!(error.to_string().contains("larger than 32 MiB"), "{error}");
    assert!(!error.is_retryable());
    assert_eq!(requests.load(Ordering::Relaxed), 1);
}

#[test]
fn invalid_or_too_deep_json_is_an_error_with_an_excerpt() {
    for body in [
        "[".repeat(100_000),
        r#"{"tasks": []}"#.to_owned(),
        "\u{1b}[31mred".to_owned(),
    ] {
        let server = Server::bind("127.0.0.1:0", Limits::default(), move |_| {
            Response::json(200, body.clone())
        })
        .unwrap();
        let error = client(&format!("http://{}", server.addr()))
            .poll_tasks()
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("answered 200, but"), "{text}");
        assert!(!text.contains('\u{1b}') && text.len() < 600, "{text}");
    }
}

#[test]
fn a_json_type_error_names_the_expected_type_and_not_the_value() {
    for (body, expected) in [
        (r#"{"id": "s", "value": 4711471147}"#, "expected a string"),
        (
            r#"{"id": "s", "value": "v", "tags": "4711471147"}"#,
            "expected a sequence",
        ),
        (r#"{"id": "4711471147"}"#, "missing field `value`"),
    ] {
        let server = Server::bind("127.0.0.1:0", Limits::default(), move |_| {
            Response::json(200, body)
        })
        .unwrap();
        let error = client(&format!("http://{}", server.addr()))
            .get_secret("s")
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(expected) && text.contains("at line 1"),
            "{text}"
        );
        assert!(!text.contains("4711471147"), "{text}");
    }
}

#[test]
fn a_redirect_target_is_logged_in_one_short_line_without_its_query() {
    let location = format!(
        "http://elsewhere.example/a\tb{}?key=hush",
        "c".repeat(5_000)
    );
    let server = Server::bind("127.0.0.1:0", Limits::default(), move |_| {
        Response::new(307).header("location", location.as_str())
    })
    .unwrap();
    let error = client(&format!("http://{}", server.addr()))
        .poll_tasks()
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("elsewhere.example/a bc") && text.len() < 400,
        "{text}"
    );
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn a_custom_deadline_includes_retries() {
    let platform = MockPlatform::start();
    platform
        .fault(Fault::Stall(Duration::from_secs(20)))
        .forever();
    let started = Instant::now();
    let hasty = platform.client().within(Duration::from_secs(1));
    let error = hasty.list_deployments().unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn the_environments_proxy_is_used_except_for_loopback() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let platform = MockPlatform::start();
    let mut command = child::command(&platform);
    command.envs([
        ("HTTP_PROXY", &address),
        ("HTTPS_PROXY", &address),
        ("ALL_PROXY", &address),
    ]);
    let direct = child::start(command);
    while platform.requests().is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(direct);

    let mut command = child::command(&platform);
    command
        .env("LUML_PLATFORM_URL", "https://platform.invalid")
        .envs([("HTTPS_PROXY", &address), ("ALL_PROXY", &address)]);
    let _through = child::start(command);
    let (stream, _) = proxy.accept().unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(line, "CONNECT platform.invalid:443 HTTP/1.1\r\n");
}

/// A server that answers as soon as it has read the head, and closes the connection if
/// the body has not arrived by then, like servers whose route does not read the body.
/// Counts the connections.
fn early_responder(status: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 16 * 1024];
                while let Ok(n @ 1..) = stream.read(&mut buffer) {
                    let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
                    let (head, body) = text.split_once("\r\n\r\n").unwrap();
                    let length = head
                        .lines()
                        .filter_map(|line| {
                            line.to_ascii_lowercase()
                                .strip_prefix("content-length: ")?
                                .parse()
                                .ok()
                        })
                        .next()
                        .unwrap_or(0);
                    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n[]");
                    if stream.write_all(answer.as_bytes()).is_err() || body.len() < length {
                        return;
                    }
                }
            });
        }
    });
    (url, connections)
}

#[test]
fn head_and_body_of_a_small_request_are_sent_together() {
    let (url, connections) = early_responder("200 OK");
    let client = client(&url);
    for _ in 0..200 {
        let answer = client.post("/anything", &serde_json::json!({})).unwrap();
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1, "it was kept");
}

#[test]
fn a_connection_is_not_reused_after_an_error_response_to_a_request_with_a_body() {
    let (url, connections) = early_responder("404 Not Found");
    let client = client(&url);
    let post = || client.post("/anything", &serde_json::json!({})).unwrap();
    assert_eq!((post().status(), post().status()), (404, 404));
    assert_eq!(connections.load(Ordering::SeqCst), 2);
    // A request without a body was read completely, whatever the response.
    let get = || client.get("/anything").unwrap();
    assert_eq!((get().status(), get().status()), (404, 404));
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[test]
fn a_connection_is_not_reused_after_the_server_closed_it_or_sent_too_much() {
    for surplus in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (ended, has_ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 16 * 1024]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]");
                match surplus {
                    true => {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                        open.push(stream);
                    }
                    false => drop(stream),
                }
                let _ = ended.send(());
            }
        });
        let client = client(&url);
        for _ in 0..20 {
            // A create is not retried: sent on such a connection it would fail.
            let answer = client.post("/anything", &serde_json::json!({})).unwrap();
            assert_eq!(answer.status(), 200);
            has_ended.recv().unwrap();
        }
    }
}
