//! From the download to the signal.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use satellite_sdk::serve::{Limits, Response, Server};
use serde_json::json;

use crate::program::{PATIENCE, Running, all, command, model};

fn served_from(url: &str) -> Running {
    let mut command = command(&["--host", "127.0.0.1", "--port", "0"]);
    command.env("MODEL_ARTIFACT_URL", url);
    Running::start(command)
}

#[test]
fn a_server_is_healthy_once_its_model_is_downloaded_and_warmed_up() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let artifact = fs::read(model("classifier.fnnx")).unwrap();
    let files = Server::bind("127.0.0.1:0", Limits::default(), move |_| {
        let _ = wait.lock().unwrap().recv_timeout(PATIENCE);
        Response::new(200).body(artifact.clone())
    })
    .unwrap();
    let server = served_from(&format!(
        "http://{}/model.fnnx?signature=secret",
        files.addr()
    ));
    let early = server.get("/healthz");
    assert!(early.error(503).contains("being loaded"));
    assert_eq!(early.retry_after.as_deref(), Some("1"));
    assert_eq!(server.compute(&json!({ "inputs": {} })).status, 503);
    assert_eq!(server.get("/manifest").status, 503);
    assert_eq!(server.figure("luml_model_ready"), 0.0);
    go.send(()).unwrap();
    let log = server.wait_for("ready on");
    assert!(!log.contains("secret"), "{log}");
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.figure("luml_model_ready"), 1.0);
    assert_eq!(server.figure("luml_model_plans_built"), 1.0);
}

/// The first half of a body, then an error.
struct Half(std::io::Cursor<Vec<u8>>);

impl Read for Half {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(std::io::Error::other("cut")),
            read => Ok(read),
        }
    }
}

#[test]
fn a_download_that_is_cut_is_resumed() {
    let artifact = fs::read(model("dtypes.fnnx")).unwrap();
    let ranges = Arc::new(AtomicUsize::new(0));
    let counted = ranges.clone();
    let files = Server::bind("127.0.0.1:0", Limits::default(), move |request| {
        let half = artifact.len() / 2;
        let total = artifact.len();
        let range = request
            .header("range")
            .and_then(|range| range.strip_prefix("bytes="));
        match range.and_then(|range| range.trim_end_matches('-').parse::<usize>().ok()) {
            Some(from) => {
                counted.fetch_add(1, Ordering::SeqCst);
                let rest = artifact[from..].to_vec();
                Response::new(206)
                    .header("etag", "\"1\"")
                    .header(
                        "content-range",
                        format!("bytes {from}-{}/{total}", total - 1),
                    )
                    .body(rest)
            }
            None => {
                let cut = Half(std::io::Cursor::new(artifact[..half].to_vec()));
                let response = Response::new(200).header("etag", "\"1\"");
                response
                    .header("accept-ranges", "bytes")
                    .reader(cut, Some(total as u64))
            }
        }
    })
    .unwrap();
    let server = served_from(&format!("http://{}/model.fnnx", files.addr()));
    server.wait_for("ready on");
    assert_eq!(ranges.load(Ordering::SeqCst), 1);
}

#[test]
fn a_download_that_fails_ends_the_program_with_its_code() {
    let status = Arc::new(AtomicUsize::new(404));
    let own = status.clone();
    let files = Server::bind("127.0.0.1:0", Limits::default(), move |_| {
        match own.load(Ordering::SeqCst) {
            200 => Response::new(200).body("not an archive".repeat(100)),
            201 => Response::new(200).body(vec![0; 3 << 20]),
            status => Response::new(status as u16),
        }
    })
    .unwrap();
    for (answer, code, text) in [
        (404, 66, "cannot be downloaded"),
        (403, 66, "cannot be downloaded"),
        (200, 65, "the downloaded artifact: "),
        (201, 65, "cannot be downloaded"),
    ] {
        status.store(answer, Ordering::SeqCst);
        let mut command = command(&["serve", "--host=127.0.0.1", "--port=0"]);
        command.env("LUML_MODEL_DOWNLOAD_MB", "2").env(
            "MODEL_ARTIFACT_URL",
            format!("http://{}/m?signature=secret", files.addr()),
        );
        let mut server = Running::start(command);
        assert_eq!(server.ended().code(), Some(code), "{answer}");
        let log = server.wait_for(text);
        assert!(!log.contains("signature"), "{log}");
    }
}

#[test]
fn a_request_in_progress_is_answered_after_sigterm() {
    let mut server = Running::serving("external.fnnx", &[("LUML_MODEL_DRAIN_SEC", "100")]);
    let body = r#"{"inputs":{"x":[[1,2,3]]}}"#;
    let mut stream = TcpStream::connect(&server.address).unwrap();
    write!(
        stream,
        "POST /compute HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    )
    .unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    // The server sends it when it reads the body: from then on the request is in progress.
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 100"), "{line}");
    server.signal();
    server.wait_for("stopping");
    while server.get("/healthz").status != 503 {}
    let refused = server.compute(&json!({ "inputs": { "x": [[1, 2, 3]] } }));
    assert!(refused.error(503).contains("stopping"));
    stream.write_all(body.as_bytes()).unwrap();
    let answer = all(reader);
    assert!(answer.contains("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains(r#"{"y":[["#) && answer.ends_with('}'),
        "{answer}"
    );
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn a_signal_during_the_download_ends_the_program_at_once() {
    let (_never, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let files = Server::bind("127.0.0.1:0", Limits::default(), move |_| {
        let _ = wait.lock().unwrap().recv_timeout(PATIENCE);
        Response::new(500)
    })
    .unwrap();
    let mut server = served_from(&format!("http://{}/model.fnnx", files.addr()));
    server.signal();
    assert_eq!(server.ended().code(), Some(0));
}
