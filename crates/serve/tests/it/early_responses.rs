//! Responses that are sent before the request body was read.

use std::io::Write;
use std::sync::{Arc, Barrier};

use satellite_serve::{Limits, Response, Server};

use super::support::{HOST, connect, read_rest};

const LARGE: usize = 20 * 1024 * 1024;

/// A server that responds to every request without reading the body.
fn rejecting_server() -> Server {
    Server::bind("127.0.0.1:0", Limits::default(), |request| {
        match request.path() {
            "/401" => Response::text(401, "unauthorized"),
            _ => Response::text(503, "unavailable"),
        }
    })
    .unwrap()
}

#[test]
fn an_early_response_reaches_a_client_that_sends_everything_first() {
    let server = rejecting_server();
    let body = vec![b'x'; LARGE];
    for n in 0..20 {
        // A body over the limit, a body that the service does not read, and the same chunked.
        let (framing, status) = match n % 3 {
            0 => (format!("Content-Length: {LARGE}"), "413"),
            1 => ("Content-Length: 9999999".into(), "503"),
            _ => ("Transfer-Encoding: chunked".into(), "503"),
        };
        let mut stream = connect(server.addr());
        write!(stream, "POST /{n} HTTP/1.1\r\n{HOST}{framing}\r\n\r\n").unwrap();
        match n % 3 {
            0 => stream.write_all(&body).unwrap(),
            1 => stream.write_all(&body[..9_999_999]).unwrap(),
            _ => {
                for piece in body.chunks(1 << 20) {
                    write!(stream, "{:x}\r\n", piece.len()).unwrap();
                    stream.write_all(piece).unwrap();
                    stream.write_all(b"\r\n").unwrap();
                }
            }
        }
        let answer = read_rest(&mut stream);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{n}: {answer}"
        );
    }
}

#[test]
fn an_early_response_reaches_python_and_curl() {
    let server = rejecting_server();
    let addr = server.addr();
    let python = format!(
        "import http.client\n\
         for n in range(20):\n \
           c = http.client.HTTPConnection('127.0.0.1', {port}, timeout=60)\n \
           c.request('POST', '/401', body=b'x' * {LARGE} if n % 2 else b'x' * 9999999)\n \
           print(c.getresponse().status)\n",
        port = addr.port()
    );
    let statuses = |mut command: std::process::Command| match command.output() {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(_) => {
            println!("{command:?} is not installed: skipped");
            None
        }
    };
    let mut command = std::process::Command::new("python3");
    command.args(["-c", &python]);
    if let Some(output) = statuses(command) {
        assert_eq!(output, "401\n413\n".repeat(10));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(LARGE as u64).unwrap();
    for _ in 0..20 {
        let mut command = std::process::Command::new("curl");
        command
            .args([
                "--silent",
                "--output",
                "/dev/null",
                "--write-out",
                "%{http_code}",
            ])
            .args([
                "--header",
                "Expect:",
                "--header",
                "Transfer-Encoding: chunked",
            ])
            .args(["--request", "POST", "--upload-file"])
            .arg(file.path())
            .arg(format!("http://{addr}/401"));
        if let Some(output) = statuses(command) {
            assert_eq!(output, "401");
        }
    }
}

#[test]
fn a_rejected_connection_with_a_large_body_gets_its_503() {
    let (inside, resume) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (entered, leave) = (inside.clone(), resume.clone());
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let server = Server::bind("127.0.0.1:0", limits, move |_| {
        entered.wait();
        leave.wait();
        Response::new(204)
    })
    .unwrap();
    let mut busy = connect(server.addr());
    write!(busy, "GET / HTTP/1.1\r\n{HOST}\r\n").unwrap();
    inside.wait();
    let mut stream = connect(server.addr());
    write!(
        stream,
        "POST / HTTP/1.1\r\n{HOST}Content-Length: {LARGE}\r\n\r\n"
    )
    .unwrap();
    stream.write_all(&vec![b'x'; LARGE]).unwrap();
    assert!(read_rest(&mut stream).starts_with("HTTP/1.1 503 "));
    resume.wait();
}
