//! The request line and the header fields: what is accepted and what is rejected.

use std::io::{Read, Write};
use std::time::Duration;

use satellite_serve::{Limits, Response, Server};

use super::support::{HOST, assert_rejected, connect, exchange, read_one, server};

#[test]
fn answers_a_request() {
    let answer = exchange(
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
fn ambiguous_body_lengths_are_rejected() {
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
        assert_rejected(
            400,
            format!("POST / HTTP/1.1\r\n{HOST}{fields}\r\n\r\n0\r\n\r\n"),
        );
    }
    assert_rejected(
        400,
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    );
}

#[test]
fn malformed_fields_are_rejected() {
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
        assert_rejected(400, format!("GET / HTTP/1.1\r\n{HOST}{fields}\r\n\r\n"));
    }
    assert_rejected(400, "GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n");
}

#[test]
fn bare_line_feeds_are_rejected() {
    assert_rejected(400, "GET / HTTP/1.1\nHost: a\n\n");
    assert_rejected(400, "GET / HTTP/1.1\r\nHost: a\n\r\n");
    assert_rejected(400, "GET / HTTP/1.1\r\nHost: a\r\n\n");
    assert_rejected(400, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_rejected(400, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_rejected(400, "\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn a_missing_repeated_or_malformed_host_is_rejected() {
    for host in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: u@a\r\n",
        "Host: \u{e9}\r\n",
    ] {
        assert_rejected(400, format!("GET / HTTP/1.1\r\n{host}\r\n"));
    }
    assert!(
        exchange(&server(Limits::default()), "GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 ")
    );
}

#[test]
fn malformed_request_lines_are_rejected() {
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
        assert_rejected(400, format!("{line}\r\n{HOST}\r\n"));
    }
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.0"] {
        assert_rejected(505, format!("GET / {version}\r\n{HOST}\r\n"));
    }
    let options = exchange(
        &server(Limits::default()),
        format!("OPTIONS * HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"),
    );
    assert!(options.contains("OPTIONS * "));
}

#[test]
fn the_host_is_taken_from_an_absolute_target() {
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
        let answer = exchange(
            &server,
            format!("{line}\r\n{HOST}Connection: close\r\n\r\n"),
        );
        assert!(
            answer.ends_with(&format!("\r\n\r\n{understood}")),
            "{answer}"
        );
    }
    let without_host = "GET http://b/ HTTP/1.1\r\n\r\n";
    assert!(exchange(&server, without_host).starts_with("HTTP/1.1 400 "));
}

#[test]
fn an_empty_line_before_a_request_is_ignored() {
    let server = server(Limits::default());
    let mut stream = connect(server.addr());
    for n in 0..3 {
        write!(stream, "\r\nGET /{n} HTTP/1.1\r\n{HOST}\r\n").unwrap();
        assert!(read_one(&mut stream).ends_with(&format!("GET /{n} Some(0) ")));
    }
}

#[test]
fn a_single_empty_line_gets_no_response() {
    let server = server(Limits {
        head_time: Duration::from_millis(50),
        idle_time: Duration::from_millis(300),
        ..Limits::default()
    });
    assert_eq!(exchange(&server, "\r\n"), "");
}

#[test]
fn non_ascii_bytes_in_field_values_are_kept() {
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
fn a_later_minor_version_is_treated_as_http_11() {
    for version in ["HTTP/1.2", "HTTP/1.9"] {
        let answer = exchange(
            &server(Limits::default()),
            format!("GET /a {version}\r\n{HOST}Connection: close\r\n\r\n"),
        );
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("GET /a Some(0) "), "{answer}");
        assert_rejected(400, format!("GET /a {version}\r\n\r\n"));
    }
}

#[test]
fn an_unknown_transfer_coding_gets_a_501() {
    for codings in ["gzip, chunked", "x;a=b , gzip,Chunked", "br,\tchunked"] {
        assert_rejected(
            501,
            format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: {codings}\r\n\r\n0\r\n\r\n"),
        );
    }
}

#[test]
fn a_host_may_contain_all_valid_characters() {
    for byte in "-._~!$&'()*+,;=%:".chars() {
        let answer = exchange(
            &server(Limits::default()),
            format!("GET /a HTTP/1.1\r\nHost: a{byte}41\r\nConnection: close\r\n\r\n"),
        );
        assert!(answer.starts_with("HTTP/1.1 200 "), "{byte}: {answer}");
    }
}

#[test]
fn unknown_expectations_are_rejected() {
    assert_rejected(417, format!("POST / HTTP/1.1\r\n{HOST}Expect: tea\r\n\r\n"));
}

#[test]
fn an_error_response_repeats_nothing_and_closes_the_connection() {
    let answer = exchange(
        &server(Limits::default()),
        format!("GET /secret HTTP/1.1\r\n{HOST}X : secret\r\n\r\nGET / HTTP/1.1\r\n{HOST}\r\n"),
    );
    assert_eq!(
        answer,
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
}
