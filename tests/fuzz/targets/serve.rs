//! What a client sends to the health port or the gateway, on one connection.

#![no_main]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use satellite_sdk::fuzzing::serve;
use satellite_sdk::serve::{Limits, Request, Response};

static LISTENER: LazyLock<TcpListener> =
    LazyLock::new(|| TcpListener::bind("127.0.0.1:0").expect("loopback"));

const BODY_BYTES: u64 = 2048;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits {
        head_bytes: 1024,
        headers: 8,
        body_bytes: BODY_BYTES,
        head_time: Duration::from_secs(1),
        idle_time: Duration::from_secs(1),
        body_time: Duration::from_secs(1),
        write_time: Duration::from_secs(1),
        ..Limits::default()
    };
    let mut client = TcpStream::connect(LISTENER.local_addr().unwrap()).unwrap();
    // Closed by a reset: no port is kept from the next one.
    rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    let (server, _) = LISTENER.accept().unwrap();
    client.write_all(bytes).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    serve(server, &limits, service);
    let mut answers = Vec::new();
    if client.read_to_end(&mut answers).is_ok() {
        whole(&answers);
    }
});

fn service(request: &mut Request<'_>) -> Response {
    assert!(!request.method().is_empty() && !request.method().contains([' ', '\r', '\n']));
    assert!(request.target().starts_with('/') || request.target() == "*");
    assert!(request.headers().count() <= 8);
    for (name, value) in request.headers() {
        assert!(!name.is_empty() && !value.contains(['\r', '\n', '\0']));
    }
    let announced = request.content_length();
    match request.query() {
        Some("none") => return Response::new(204),
        Some("some") => drop(request.body().read(&mut [0; 7])),
        _ => match request.read_body() {
            Ok(body) => {
                assert!(body.len() as u64 <= BODY_BYTES);
                assert!(announced.is_none_or(|length| length == body.len() as u64));
                let length = (request.query() == Some("long")).then_some(body.len() as u64);
                return Response::new(200).reader(std::io::Cursor::new(body), length);
            }
            Err(_) => return Response::new(200), // must not be heard of
        },
    }
    Response::json(200, "{}")
}

/// Answers follow each other without anything between them.
fn whole(mut answers: &[u8]) {
    while !answers.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut answer = httparse::Response::new(&mut fields);
        let Ok(httparse::Status::Complete(head)) = answer.parse(answers) else {
            panic!("not an answer: {:?}", String::from_utf8_lossy(answers));
        };
        let field = |name: &str| {
            let field = answer
                .headers
                .iter()
                .find(|f| f.name.eq_ignore_ascii_case(name));
            field.map(|field| std::str::from_utf8(field.value).unwrap())
        };
        let Some(length) = field("content-length") else {
            return; // in chunks, to the end of the connection, or without a body
        };
        let length: usize = length.parse().unwrap();
        let rest = &answers[head..];
        // The answer to a HEAD has none of what it announces.
        if rest.len() < length || rest.starts_with(b"HTTP/1.1 ") {
            return;
        }
        answers = &rest[length..];
    }
}
