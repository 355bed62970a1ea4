//! The server over real connections: what it answers, what it refuses, what it withstands.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use satellite_serve::{Limits, Request, Response, Server};

const HOST: &str = "Host: a\r\n";

/// Answers with what it understood.
fn echo(request: &mut Request<'_>) -> Response {
    match request.path() {
        "/panic" => panic!("a panic on purpose"),
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

fn server(limits: Limits) -> Server {
    Server::bind("127.0.0.1:0", limits, echo).unwrap()
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

/// Sends these bytes and reads until the server closes.
fn talk(server: &Server, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = connect(server.addr());
    stream.write_all(bytes.as_ref()).unwrap();
    rest(&mut stream)
}

fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    undated(String::from_utf8(answer).unwrap())
}

/// The same without its dates, of which each answer has to have one.
fn undated(mut answers: String) -> String {
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

/// Closed without an answer; with a reset if it had sent what nobody read.
#[track_caller]
fn assert_closed(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let is_reset = |error: io::Error| error.kind() == io::ErrorKind::ConnectionReset;
    assert!(answer.is_empty() && read.err().is_none_or(is_reset));
}

/// Reads one answer with a `content-length`, and leaves what follows.
fn one(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    let head = undated(String::from_utf8(answer).unwrap());
    let length = head.split("content-length: ").nth(1).unwrap();
    let mut body = vec![0; length.split("\r\n").next().unwrap().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

#[track_caller]
fn assert_refused(status: u16, bytes: impl AsRef<[u8]>) {
    let limits = Limits {
        head_bytes: 1024,
        headers: 8,
        body_bytes: 100,
        ..Limits::default()
    };
    let answer = talk(&server(limits), bytes.as_ref());
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

#[test]
fn answers_a_request() {
    let answer = talk(
        &server(Limits::default()),
        "GET /a?b=c HTTP/1.1\r\nHost: a:1\r\nConnection: close\r\n\r\n",
    );
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n";
    assert_eq!(
        answer,
        format!("{head}content-length: 19\r\n\r\nGET /a?b=c Some(0) ")
    );
}

#[test]
fn refuses_lengths_that_can_be_read_in_two_ways() {
    for fields in [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: 1\r\ncontent-length: 1",
        "Content-Length: 1, 1",
        "Content-Length: +1",
        "Content-Length: -1",
        "Content-Length: 0x1",
        "Content-Length: 1 1",
        "Content-Length:",
        "Content-Length: 00000000000000000001",
        "Content-Length: 99999999999999999999999",
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip chunked",
        "Transfer-Encoding: , chunked",
        "Transfer-Encoding: gzip,",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Content-Length: 1\r\nTransfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding:",
        "Transfer-Encoding: chunked\x0b",
    ] {
        assert_refused(
            400,
            format!("POST / HTTP/1.1\r\n{HOST}{fields}\r\n\r\n0\r\n\r\n"),
        );
    }
    assert_refused(
        400,
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    );
}

#[test]
fn refuses_malformed_fields() {
    for fields in [
        "X : a",
        " X: a",
        "X: a\r\n b",
        "X: a\r\n\tb",
        ": a",
        "X",
        "X(: a",
        "X\t: a",
        "\"X\": a",
        "X: a\0",
        "X: \x01",
        "X: \x7f",
        "X: a\rb",
        "X: a\nY: b",
        "X: a\r\r\nY: b",
        "\0: a",
    ] {
        assert_refused(400, format!("GET / HTTP/1.1\r\n{HOST}{fields}\r\n\r\n"));
    }
    assert_refused(400, "GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n");
}

#[test]
fn refuses_bare_line_feeds() {
    assert_refused(400, "GET / HTTP/1.1\nHost: a\n\n");
    assert_refused(400, "GET / HTTP/1.1\r\nHost: a\n\r\n");
    assert_refused(400, "GET / HTTP/1.1\r\nHost: a\r\n\n");
    assert_refused(400, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_refused(400, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_refused(400, "\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn refuses_a_missing_repeated_or_malformed_host() {
    for host in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: u@a\r\n",
        "Host: \u{e9}\r\n",
    ] {
        assert_refused(400, format!("GET / HTTP/1.1\r\n{host}\r\n"));
    }
    assert!(
        talk(&server(Limits::default()), "GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 ")
    );
}

#[test]
fn refuses_bad_request_lines() {
    for line in [
        "GET",
        "GET /",
        "GET / ",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "G(T / HTTP/1.1",
        "GET a HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "GET http:/a HTTP/1.1",
        "GET http:///b HTTP/1.1",
        "GET http://:1/b HTTP/1.1",
        "GET http://u@a/ HTTP/1.1",
        "GET http://a/#b HTTP/1.1",
        "GET http://a\\b/ HTTP/1.1",
        "CONNECT a:1 HTTP/1.1",
        "GET * HTTP/1.1",
        "GET /#a HTTP/1.1",
        "GET /\x01 HTTP/1.1",
        "GET /é HTTP/1.1",
        "GET / HTTPS/1.1",
        "GET / HTTP/1",
        "GET / HTTP/11",
        "GET / HTTP/1.1.1",
        "GET / http/1.1",
        "GET\t/ HTTP/1.1",
        "/ HTTP/1.1",
    ] {
        assert_refused(400, format!("{line}\r\n{HOST}\r\n"));
    }
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.0"] {
        assert_refused(505, format!("GET / {version}\r\n{HOST}\r\n"));
    }
    let options = talk(
        &server(Limits::default()),
        format!("OPTIONS * HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"),
    );
    assert!(options.contains("OPTIONS * "));
}

#[test]
fn an_absolute_target_names_the_host() {
    let server = Server::bind("127.0.0.1:0", Limits::default(), |request| {
        let (target, host) = (request.target(), request.header("host"));
        Response::text(200, format!("{target} of {}", host.unwrap_or_default()))
    })
    .unwrap();
    for (line, understood) in [
        ("GET http://b:81/c?d=e HTTP/1.1", "/c?d=e of b:81"),
        ("GET HTTPS://b HTTP/1.1", "/ of b"),
        ("GET http://[::1]:80?d HTTP/1.1", "/?d of [::1]:80"),
        ("OPTIONS http://b HTTP/1.1", "* of b"),
        ("GET /http://b/ HTTP/1.1", "/http://b/ of a"),
    ] {
        let answer = talk(
            &server,
            format!("{line}\r\n{HOST}Connection: close\r\n\r\n"),
        );
        assert!(
            answer.ends_with(&format!("\r\n\r\n{understood}")),
            "{answer}"
        );
    }
    let without_host = "GET http://b/ HTTP/1.1\r\n\r\n";
    assert!(talk(&server, without_host).starts_with("HTTP/1.1 400 "));
}

#[test]
fn an_empty_line_before_a_request_is_ignored() {
    let server = server(Limits::default());
    let mut stream = connect(server.addr());
    for n in 0..3 {
        write!(stream, "\r\nGET /{n} HTTP/1.1\r\n{HOST}\r\n").unwrap();
        assert!(one(&mut stream).ends_with(&format!("GET /{n} Some(0) ")));
    }
}

#[test]
fn an_empty_line_alone_is_not_answered() {
    let server = server(Limits {
        head_time: Duration::from_millis(50),
        idle_time: Duration::from_millis(300),
        ..Limits::default()
    });
    assert_eq!(talk(&server, "\r\n"), "");
}

#[test]
fn keeps_bytes_above_ascii_in_field_values() {
    let server = Server::bind("127.0.0.1:0", Limits::default(), |request| {
        let (_, bytes) = request.headers_bytes().last().unwrap();
        let text = request.header("x").unwrap();
        Response::text(200, text).header_bytes("x", bytes)
    })
    .unwrap();
    for (sent, text) in [
        (&b"\xff\xfe"[..], "\u{ff}\u{fe}"),
        (b"K\xf6ln", "K\u{f6}ln"),
        ("K\u{f6}ln".as_bytes(), "K\u{f6}ln"),
    ] {
        let mut stream = connect(server.addr());
        let request = [b"GET / HTTP/1.0\r\nX: \t", sent, b" \r\n\r\n"].concat();
        stream.write_all(&request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let field = [b"\r\nx: ", sent, b"\r\n"].concat();
        assert!(answer.windows(field.len()).any(|window| window == field));
        assert!(answer.ends_with(text.as_bytes()));
    }
}

#[test]
fn a_later_minor_version_is_answered_as_http_11() {
    for version in ["HTTP/1.2", "HTTP/1.9"] {
        let answer = talk(
            &server(Limits::default()),
            format!("GET /a {version}\r\n{HOST}Connection: close\r\n\r\n"),
        );
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("GET /a Some(0) "), "{answer}");
        assert_refused(400, format!("GET /a {version}\r\n\r\n"));
    }
}

#[test]
fn a_transfer_coding_that_is_unknown_is_not_implemented() {
    for codings in ["gzip, chunked", "x;a=b , gzip,Chunked", "br,\tchunked"] {
        assert_refused(
            501,
            format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: {codings}\r\n\r\n0\r\n\r\n"),
        );
    }
}

#[test]
fn a_host_takes_all_that_a_name_may_hold() {
    for byte in "-._~!$&'()*+,;=%:".chars() {
        let answer = talk(
            &server(Limits::default()),
            format!("GET /a HTTP/1.1\r\nHost: a{byte}41\r\nConnection: close\r\n\r\n"),
        );
        assert!(answer.starts_with("HTTP/1.1 200 "), "{byte}: {answer}");
    }
}

#[test]
fn refuses_malformed_chunks() {
    for body in [
        "\r\n",
        "z\r\n",
        "-1\r\n",
        "+1\r\na\r\n0\r\n\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
        " 1\r\na\r\n0\r\n\r\n",
        "1 \r\na\r\n0\r\n\r\n",
        "1\na\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "1\r\na0\r\n\r\n",
        "1\r\na\r0\r\n\r\n",
        "1;\0\r\na\r\n0\r\n\r\n",
        "1;a\nb\r\na\r\n0\r\n\r\n",
        ";a\r\n",
        "00000000000000001\r\na\r\n0\r\n\r\n",
        "1\r\na\r\n0\r\n\n",
        "0\r\nX : a\r\n\r\n",
        "0\r\nX\r\n\r\n",
        "0\r\n x: a\r\n\r\n",
        "0\r\nX: a\n\r\n",
    ] {
        assert_refused(
            400,
            format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{body}"),
        );
    }
    let endless = "a".repeat(300);
    assert_refused(
        400,
        format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n1;{endless}"),
    );
}

#[test]
fn refuses_what_is_too_large() {
    assert_refused(
        413,
        format!("POST / HTTP/1.1\r\n{HOST}Content-Length: 101\r\n\r\n"),
    );
    for size in ["65", "ffffffffffffffff", "7fffffffffffffff"] {
        assert_refused(
            413,
            format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{size}\r\na"),
        );
    }
    let chunk = format!("32\r\n{}\r\n", "a".repeat(50));
    assert_refused(
        413,
        format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}{chunk}"),
    );
    assert_refused(
        431,
        format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", "a".repeat(1000)),
    );
    assert_refused(431, "a".repeat(5000));
    assert_refused(
        431,
        format!("GET / HTTP/1.1\r\n{HOST}{}\r\n", "X: a\r\n".repeat(8)),
    );
    let trailers = "X: a\r\n".repeat(17);
    assert_refused(
        431,
        format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n{trailers}\r\n"),
    );
}

#[test]
fn refuses_unknown_expectations() {
    assert_refused(417, format!("POST / HTTP/1.1\r\n{HOST}Expect: tea\r\n\r\n"));
}

#[test]
fn a_refusal_repeats_nothing_and_ends_the_connection() {
    let answer = talk(
        &server(Limits::default()),
        format!("GET /secret HTTP/1.1\r\n{HOST}X : secret\r\n\r\nGET / HTTP/1.1\r\n{HOST}\r\n"),
    );
    assert_eq!(
        answer,
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
}

#[test]
fn keeps_a_connection() {
    let server = server(Limits::default());
    let mut stream = connect(server.addr());
    for n in 0..10 {
        write!(
            stream,
            "POST /{n} HTTP/1.1\r\n{HOST}Content-Length: 3\r\n\r\nabc"
        )
        .unwrap();
        assert!(one(&mut stream).ends_with(&format!("POST /{n} Some(3) abc")));
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn answers_pipelined_requests_in_their_order() {
    let mut requests = String::new();
    for n in 0..100 {
        requests += &format!("POST /{n} HTTP/1.1\r\n{HOST}Content-Length: 3\r\n\r\nabc");
        requests += &format!(
            "POST /{n}c HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n"
        );
    }
    requests += &format!(
        "GET /end HTTP/1.1\r\n{HOST}Connection: x, Close\r\n\r\nGET /after HTTP/1.1\r\n{HOST}\r\n"
    );
    let answer = talk(&server(Limits::default()), requests);
    let bodies: Vec<&str> = answer
        .split("HTTP/1.1 200 OK")
        .skip(1)
        .filter_map(|answer| answer.split("\r\n\r\n").nth(1))
        .collect();
    let mut targets: Vec<String> = (0..100)
        .flat_map(|n| [format!("/{n}"), format!("/{n}c")])
        .collect();
    targets.push("/end".into());
    assert_eq!(bodies.len(), targets.len());
    for (body, target) in bodies.iter().zip(&targets) {
        assert!(body.contains(&format!(" {target} ")), "{body} for {target}");
    }
}

#[test]
fn reads_chunks_with_extensions_and_trailers() {
    let answer = talk(
        &server(Limits::default()),
        format!(
            "POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: Chunked\r\nConnection: close\r\n\r\n\
             3;a=b\r\nabc\r\n00A\r\n0123456789\r\n0\r\nX: y\r\n\r\n"
        ),
    );
    assert!(answer.ends_with("POST / None abc0123456789"), "{answer}");
}

#[test]
fn streams_in_chunks_or_to_the_end_or_counted() {
    let server = server(Limits::default());
    let answer = talk(
        &server,
        format!("GET /stream HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"),
    );
    assert!(answer.contains("transfer-encoding: chunked\r\n"));
    assert!(answer.ends_with("\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"));
    let answer = talk(&server, "GET /stream HTTP/1.0\r\n\r\n");
    assert!(answer.ends_with("connection: close\r\n\r\n0123456789"));
    let answer = talk(
        &server,
        format!("GET /counted HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"),
    );
    assert!(answer.contains("content-length: 20000\r\n") && answer.ends_with(&"x".repeat(20_000)));
}

#[test]
fn a_stream_that_ends_early_cuts_the_connection() {
    let answer = talk(
        &server(Limits::default()),
        format!("GET /short HTTP/1.1\r\n{HOST}\r\n"),
    );
    assert!(answer.contains("content-length: 20000\r\n") && answer.ends_with("short"));
}

#[test]
fn head_and_204_have_no_body() {
    let server = server(Limits::default());
    for path in ["/a", "/stream", "/counted", "/short", "/empty"] {
        let request = format!(
            "HEAD {path} HTTP/1.1\r\n{HOST}\r\nGET /empty HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"
        );
        let answer = talk(&server, request);
        let (_, after) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(
            after,
            "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"
        );
    }
    assert!(
        talk(
            &server,
            format!("HEAD /a HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")
        )
        .contains("content-length: 16\r\n")
    );
}

#[test]
fn a_panic_is_a_500_and_the_server_goes_on() {
    let server = server(Limits::default());
    let mut stream = connect(server.addr());
    write!(
        stream,
        "GET /panic HTTP/1.1\r\n{HOST}\r\nGET /a HTTP/1.1\r\n{HOST}\r\n"
    )
    .unwrap();
    assert_eq!(
        one(&mut stream),
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"
    );
    assert!(one(&mut stream).ends_with("GET /a Some(0) "));
}

#[test]
fn a_response_is_never_split() {
    let answer = talk(
        &server(Limits::default()),
        format!("GET /split HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"),
    );
    assert!(answer.starts_with("HTTP/1.1 500 ") && !answer.contains("Cookie"));
}

#[test]
fn says_continue_when_the_body_is_read() {
    let server = server(Limits::default());
    let mut stream = connect(server.addr());
    write!(
        stream,
        "POST / HTTP/1.1\r\n{HOST}Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n"
    )
    .unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ok").unwrap();
    assert!(one(&mut stream).ends_with("Some(2) ok"));
    // Not read, not asked for: whether the body follows is unknown, so the connection ends.
    write!(
        stream,
        "POST /unread HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    )
    .unwrap();
    let answer = rest(&mut stream);
    assert!(
        answer.contains("connection: close") && answer.ends_with("unread"),
        "{answer}"
    );
}

#[test]
fn reads_over_a_short_unread_body_and_closes_on_a_long_one() {
    let server = server(Limits::default());
    let mut stream = connect(server.addr());
    for length in [1, 60_000] {
        write!(
            stream,
            "POST /unread HTTP/1.1\r\n{HOST}Content-Length: {length}\r\n\r\n{}",
            "x".repeat(length)
        )
        .unwrap();
        assert!(one(&mut stream).ends_with("unread"));
    }
    write!(
        stream,
        "POST /unread HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    )
    .unwrap();
    assert!(one(&mut stream).ends_with("unread"));
    write!(
        stream,
        "POST /unread HTTP/1.1\r\n{HOST}Content-Length: 1000000\r\n\r\n"
    )
    .unwrap();
    assert!(rest(&mut stream).contains("connection: close"));
}

/// Sends a byte each 20 ms until the server has had enough; gives its answer and the time.
fn drip(server: &Server, first: &str, byte: &[u8]) -> (String, Duration) {
    let mut stream = connect(server.addr());
    stream.write_all(first.as_bytes()).unwrap();
    let mut dripping = stream.try_clone().unwrap();
    let byte = byte.to_vec();
    let begun = Instant::now();
    let drip = thread::spawn(move || {
        while dripping.write_all(&byte).is_ok() && begun.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    let took = begun.elapsed();
    stream.shutdown(Shutdown::Both).unwrap();
    drip.join().unwrap();
    (String::from_utf8_lossy(&head).into(), took)
}

#[test]
fn a_slow_drip_does_not_extend_the_deadline() {
    let short = Duration::from_millis(300);
    let server = server(Limits {
        head_time: short,
        body_time: short,
        ..Limits::default()
    });
    let length = format!("POST / HTTP/1.1\r\n{HOST}Content-Length: 1000\r\n\r\n");
    let chunked = format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n");
    for (first, byte) in [
        ("GET /", "a"),
        (&length, "a"),
        (&chunked, "1\r\na\r\n"),
        (&chunked, "0"),
    ] {
        let (answer, took) = drip(&server, first, byte.as_bytes());
        assert_eq!(answer, "HTTP/1.1 408", "{first}");
        assert!((short..short * 10).contains(&took), "{first}: {took:?}");
    }
}

#[test]
fn a_silent_connection_ends_without_an_answer() {
    let server = server(Limits {
        idle_time: Duration::from_millis(100),
        ..Limits::default()
    });
    assert_eq!(rest(&mut connect(server.addr())), "");
    let mut kept = connect(server.addr());
    write!(kept, "GET / HTTP/1.1\r\n{HOST}\r\n").unwrap();
    assert!(one(&mut kept).starts_with("HTTP/1.1 200"));
    assert_eq!(rest(&mut kept), "");
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    let limits = Limits {
        connections: 1,
        write_time: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = Server::bind("127.0.0.1:0", limits, |request| match request.path() {
        "/big" => Response::new(200).reader(io::repeat(0), None),
        _ => Response::text(200, "free"),
    })
    .unwrap();
    let mut stuck = connect(server.addr());
    write!(stuck, "GET /big HTTP/1.1\r\n{HOST}\r\n").unwrap();
    let begun = Instant::now();
    while !talk(
        &server,
        format!("GET / HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"),
    )
    .ends_with("free")
    {
        assert!(begun.elapsed() < Duration::from_secs(5));
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_longest_waiting_connection_makes_room() {
    let server = server(Limits {
        connections: 3,
        ..Limits::default()
    });
    let mut held: Vec<TcpStream> = (0..3).map(|_| connect(server.addr())).collect();
    held[0].write_all(b"GET / HT").unwrap();
    for stream in &mut held[1..] {
        write!(stream, "GET / HTTP/1.1\r\n{HOST}\r\n").unwrap();
        one(stream);
    }
    assert!(
        talk(
            &server,
            format!("GET / HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")
        )
        .starts_with("HTTP/1.1 200")
    );
    assert_closed(&mut held[0]);
    write!(held[2], "GET / HTTP/1.1\r\n{HOST}\r\n").unwrap();
    assert!(one(&mut held[2]).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_newcomer_is_turned_away_when_all_are_busy() {
    let (inside, go_on) = (Arc::new(Barrier::new(3)), Arc::new(Barrier::new(3)));
    let (entered, leave) = (inside.clone(), go_on.clone());
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let server = Server::bind("127.0.0.1:0", limits, move |_| {
        entered.wait();
        leave.wait();
        Response::text(200, "done")
    })
    .unwrap();
    let mut busy: Vec<TcpStream> = (0..2).map(|_| connect(server.addr())).collect();
    for stream in &mut busy {
        write!(stream, "GET / HTTP/1.1\r\n{HOST}\r\n").unwrap();
    }
    inside.wait();
    let begun = Instant::now();
    assert!(rest(&mut connect(server.addr())).starts_with("HTTP/1.1 503 "));
    assert!(begun.elapsed() < Duration::from_secs(10));
    go_on.wait();
    for stream in &mut busy {
        assert!(one(stream).ends_with("done"));
    }
}

#[test]
fn a_body_that_never_comes_makes_room_too() {
    let server = server(Limits {
        connections: 1,
        ..Limits::default()
    });
    let mut held = connect(server.addr());
    write!(
        held,
        "POST / HTTP/1.1\r\n{HOST}Content-Length: 9\r\n\r\nabc"
    )
    .unwrap();
    thread::sleep(Duration::from_millis(50));
    assert!(
        talk(
            &server,
            format!("GET / HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")
        )
        .starts_with("HTTP/1.1 200")
    );
    assert_closed(&mut held);
}

const LARGE: usize = 20 * 1024 * 1024;

/// Refuses every body without reading it.
fn refusing() -> Server {
    Server::bind("127.0.0.1:0", Limits::default(), |request| {
        match request.path() {
            "/401" => Response::text(401, "who are you?"),
            _ => Response::text(503, "not now"),
        }
    })
    .unwrap()
}

#[test]
fn an_early_answer_reaches_a_client_that_sends_all_before_it_reads() {
    let server = refusing();
    let body = vec![b'x'; LARGE];
    for n in 0..20 {
        // A body that is too large for the server, one that the service does not read, the same
        // in chunks.
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
        let answer = rest(&mut stream);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{n}: {answer}"
        );
    }
}

#[test]
fn an_early_answer_reaches_pythons_http_client_and_curl() {
    let server = refusing();
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
    if let Some(told) = statuses(command) {
        assert_eq!(told, "401\n413\n".repeat(10));
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
        if let Some(told) = statuses(command) {
            assert_eq!(told, "401");
        }
    }
}

#[test]
fn a_connection_whose_rest_is_discarded_makes_room_first() {
    let server = Server::bind(
        "127.0.0.1:0",
        Limits {
            connections: 2,
            ..Limits::default()
        },
        |request| Response::text(200, request.path()),
    )
    .unwrap();
    let mut kept = connect(server.addr());
    write!(kept, "GET /kept HTTP/1.1\r\n{HOST}\r\n").unwrap();
    assert!(one(&mut kept).ends_with("/kept"));
    // Answered long after the other, but it is owed nothing any more.
    let mut sending = connect(server.addr());
    write!(
        sending,
        "POST / HTTP/1.1\r\n{HOST}Content-Length: 9999999\r\n\r\nx"
    )
    .unwrap();
    assert!(rest(&mut sending).starts_with("HTTP/1.1 200 "));
    let close = format!("GET /new HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n");
    assert!(talk(&server, close).ends_with("/new"));
    write!(kept, "GET /kept HTTP/1.1\r\n{HOST}\r\n").unwrap();
    assert!(one(&mut kept).ends_with("/kept"));
}

#[test]
fn a_newcomer_that_is_turned_away_with_a_large_body_reads_why() {
    let (inside, go_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (entered, leave) = (inside.clone(), go_on.clone());
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
    assert!(rest(&mut stream).starts_with("HTTP/1.1 503 "));
    go_on.wait();
}

#[test]
fn stopping_is_prompt_and_closes_everything() {
    let server = server(Limits::default());
    let addr = server.addr();
    let mut held: Vec<TcpStream> = (0..50).map(|_| connect(addr)).collect();
    for stream in &mut held[..10] {
        stream.write_all(b"GET / HT").unwrap();
    }
    write!(
        held[20],
        "POST / HTTP/1.1\r\n{HOST}Content-Length: 9\r\n\r\nabc"
    )
    .unwrap();
    thread::sleep(Duration::from_millis(50));
    let begun = Instant::now();
    drop(server);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    for stream in &mut held {
        assert_closed(stream);
    }
    assert!(TcpStream::connect(addr).is_err());
    assert!(Server::bind(addr, Limits::default(), echo).is_ok());
}

#[test]
fn stopping_does_not_wait_for_a_service() {
    let server = Server::bind("127.0.0.1:0", Limits::default(), |_| {
        thread::sleep(Duration::from_secs(30));
        Response::new(204)
    })
    .unwrap();
    let mut stream = connect(server.addr());
    write!(stream, "GET / HTTP/1.1\r\n{HOST}\r\n").unwrap();
    thread::sleep(Duration::from_millis(50));
    let begun = Instant::now();
    drop(server);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(rest(&mut stream), "");
}

#[test]
fn a_service_may_parse_deep_json() {
    let deep = "[".repeat(127) + &"]".repeat(127);
    let server = Server::bind("127.0.0.1:0", Limits::default(), |request| {
        let value: serde_json::Value =
            serde_json::from_slice(&request.read_body().unwrap()).unwrap();
        Response::json(200, value.to_string())
    })
    .unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\n{HOST}Content-Length: {}\r\nConnection: close\r\n\r\n{deep}",
        deep.len()
    );
    assert!(talk(&server, request).ends_with(&deep));
}

#[cfg(target_os = "linux")]
#[test]
fn hostile_connections_leave_it_answering_and_its_threads_return() {
    in_a_process_of_its_own("serve::hostile_connections", 4096);
}

#[cfg(target_os = "linux")]
#[test]
fn it_outlives_a_lack_of_file_descriptors() {
    in_a_process_of_its_own("serve::no_file_descriptors", 64);
}

/// Runs an ignored test where threads, memory and files can be counted.
#[cfg(target_os = "linux")]
fn in_a_process_of_its_own(test: &str, files: u32) {
    let output = std::process::Command::new("sh")
        .args(["-c", &format!("ulimit -S -n {files}; exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}{complaint}"
    );
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "run by it_outlives_a_lack_of_file_descriptors"]
fn no_file_descriptors() {
    let server = server(Limits {
        connections: 1000,
        ..Limits::default()
    });
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect(server.addr()) {
        held.push(stream);
    }
    // More than the server can take: its thread meets the lack again and again.
    thread::sleep(Duration::from_millis(100));
    assert!(held.len() > 20, "{}", held.len());
    held.truncate(10);
    thread::sleep(Duration::from_millis(100));
    let request = format!("GET / HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n");
    assert!(talk(&server, request).starts_with("HTTP/1.1 200"));
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "run by hostile_connections_leave_it_answering_and_its_threads_return"]
fn hostile_connections() {
    let server = server(Limits {
        connections: 32,
        head_time: Duration::from_millis(500),
        ..Limits::default()
    });
    let answers = || {
        talk(
            &server,
            format!("GET / HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"),
        )
        .starts_with("HTTP/1.1 200")
    };
    assert!(answers());
    let (threads, resident) = (process("Threads"), process("VmRSS"));

    let mut held = Vec::new();
    for n in 0..1000 {
        let mut stream = connect(server.addr());
        let sent: &[u8] = match n % 5 {
            0 => b"GET / HTTP/1.1\r\nHost: ",
            1 => b"\x16\x03\x01\x02\x00garbage\r\n\r\n",
            2 => b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc",
            3 => b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n",
            _ => b"",
        };
        let _ = stream.write_all(sent);
        if n % 7 != 0 {
            held.push(stream);
        }
        // Twice as many: a thread has given its place back a moment before it is gone.
        assert!(process("Threads") <= threads + 64);
        if n % 50 == 0 {
            assert!(answers(), "after {n}");
        }
    }
    for stream in &mut held {
        let _ = stream.write_all(b"a");
    }
    assert!(answers());
    drop(held);
    let begun = Instant::now();
    while process("Threads") > threads {
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{} threads",
            process("Threads")
        );
        thread::sleep(Duration::from_millis(10));
    }
    let grown = process("VmRSS").saturating_sub(resident);
    assert!(grown < 4 * 1024, "{grown} kB more than before");
    assert!(answers());
}

/// A figure of /proc/self/status.
#[cfg(target_os = "linux")]
fn process(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Bytes with a taste for what matters to HTTP.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        prop::sample::select(vec![
            "GET / HTTP/1.1\r\n",
            "POST /a HTTP/1.1\r\n",
            "Host: a\r\n",
            "\r\n",
            "\n",
            "\r",
            "0\r\n\r\n",
            "5\r\nhello\r\n",
            "Content-Length: 3\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Expect: 100-continue\r\n",
            " ",
            ":",
            "\0",
            "HTTP/1.0\r\n",
        ])
        .prop_map(|text: &str| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes_are_answered_or_closed(bytes in hostile()) {
        let server = server(Limits::default());
        let mut stream = connect(server.addr());
        stream.write_all(&bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let answer = rest(&mut stream);
        prop_assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 "));
        prop_assert!(!answer.contains(" 500 "));
        let after = talk(&server, format!("GET / HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"));
        prop_assert!(after.starts_with("HTTP/1.1 200 "));
    }

    #[test]
    fn cuts_do_not_change_an_answer(
        body in "[a-z]{1,40}",
        is_chunked in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let framed = if is_chunked {
            let (a, b) = body.split_at(body.len() / 2);
            let chunk = |part: &str| if part.is_empty() { String::new() } else { format!("{:x}\r\n{part}\r\n", part.len()) };
            format!("Transfer-Encoding: chunked\r\n\r\n{}{}0\r\n\r\n", chunk(a), chunk(b))
        } else {
            format!("Content-Length: {}\r\n\r\n{body}", body.len())
        };
        let request = format!("POST /a HTTP/1.1\r\n{HOST}{framed}GET /b HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n");
        let server = server(Limits::default());
        let whole = talk(&server, &request);
        prop_assert!(whole.contains(&body) && whole.ends_with("GET /b Some(0) "));

        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(request.len())).collect();
        cuts.extend([0, request.len()]);
        cuts.sort_unstable();
        let mut stream = connect(server.addr());
        stream.set_nodelay(true).unwrap();
        for piece in cuts.windows(2) {
            stream.write_all(&request.as_bytes()[piece[0]..piece[1]]).unwrap();
            thread::sleep(Duration::from_micros(300));
        }
        prop_assert_eq!(rest(&mut stream), whole);
    }
}
