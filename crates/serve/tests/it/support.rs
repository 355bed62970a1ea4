//! Helpers for tests over real connections.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use satellite_serve::{Limits, Request, Response, Server};

pub const HOST: &str = "Host: a\r\n";

/// Responds with the parsed request.
pub fn echo(request: &mut Request<'_>) -> Response {
    match request.path() {
        "/panic" => panic!("an intended panic"),
        "/unread" => return Response::text(200, "unread"),
        "/empty" => return Response::new(204).body("never sent"),
        "/split" => return Response::new(200).header("x", "a\r\nSet-Cookie: b"),
        "/stream" => return Response::new(200).reader(&b"0123456789"[..], None),
        "/counted" => return Response::new(200).reader(io::repeat(b'x'), Some(20_000)),
        "/short" => return Response::new(200).reader(&b"short"[..], Some(20_000)),
        _ => {}
    }
    let (method, target) = (request.method(), request.target());
    let length = request.content_length();
    match request.read_body() {
        Ok(body) => {
            let body = String::from_utf8_lossy(&body);
            Response::text(200, format!("{method} {target} {length:?} {body}"))
        }
        Err(error) => Response::text(200, error.to_string()),
    }
}

pub fn server(limits: Limits) -> Server {
    Server::bind("127.0.0.1:0", limits, echo).unwrap()
}

pub fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

/// Sends these bytes and reads until the server closes the connection.
pub fn exchange(server: &Server, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = connect(server.addr());
    stream.write_all(bytes.as_ref()).unwrap();
    read_rest(&mut stream)
}

pub fn read_rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    without_dates(String::from_utf8(answer).unwrap())
}

/// Removes the dates; every final response must have one.
pub fn without_dates(mut answers: String) -> String {
    let finals = answers.matches("HTTP/1.1 ").count() - answers.matches("HTTP/1.1 100 ").count();
    let mut dates = 0;
    while let Some(at) = answers.find("\r\ndate: ") {
        let end = at + "\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT".len();
        assert!(answers[..end].ends_with(" GMT"), "{answers}");
        answers.replace_range(at..end, "");
        dates += 1;
    }
    assert_eq!(dates, finals, "{answers}");
    answers
}

/// Asserts that the connection was closed without a response, possibly with a reset if there
/// was unread data.
#[track_caller]
pub fn assert_closed(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let is_reset = |error: io::Error| error.kind() == io::ErrorKind::ConnectionReset;
    assert!(answer.is_empty() && read.err().is_none_or(is_reset));
}

/// Reads one response with a `content-length` and nothing after it.
pub fn read_one(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    let head = without_dates(String::from_utf8(answer).unwrap());
    let length = head.split("content-length: ").nth(1).unwrap();
    let mut body = vec![0; length.split("\r\n").next().unwrap().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

#[track_caller]
pub fn assert_rejected(status: u16, bytes: impl AsRef<[u8]>) {
    let limits = Limits {
        head_bytes: 1024,
        headers: 8,
        body_bytes: 100,
        ..Limits::default()
    };
    let answer = exchange(&server(limits), bytes.as_ref());
    let asked = bytes.as_ref().escape_ascii();
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{asked} got {answer}"
    );
    assert!(
        answer.ends_with("content-length: 0\r\nconnection: close\r\n\r\n"),
        "{answer}"
    );
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
}
