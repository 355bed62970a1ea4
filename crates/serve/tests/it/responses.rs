//! Responses: framing, streams, panics.

use std::io::Write;

use satellite_serve::Limits;

use super::support::{HOST, connect, exchange, read_one, server};

#[test]
fn a_reader_is_sent_chunked_with_a_length_or_until_close() {
    let server = server(Limits::default());
    let answer = exchange(
        &server,
        format!("GET /stream HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"),
    );
    assert!(answer.contains("transfer-encoding: chunked\r\n"));
    assert!(answer.ends_with("\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"));
    let answer = exchange(&server, "GET /stream HTTP/1.0\r\n\r\n");
    assert!(answer.ends_with("connection: close\r\n\r\n0123456789"));
    let answer = exchange(
        &server,
        format!("GET /counted HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"),
    );
    assert!(answer.contains("content-length: 20000\r\n") && answer.ends_with(&"x".repeat(20_000)));
}

#[test]
fn a_reader_that_ends_early_aborts_the_connection() {
    let answer = exchange(
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
        let answer = exchange(&server, request);
        let (_, after) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(
            after,
            "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"
        );
    }
    assert!(
        exchange(
            &server,
            format!("HEAD /a HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")
        )
        .contains("content-length: 16\r\n")
    );
}

#[test]
fn a_panic_becomes_a_500_and_the_server_continues() {
    let server = server(Limits::default());
    let mut stream = connect(server.addr());
    write!(
        stream,
        "GET /panic HTTP/1.1\r\n{HOST}\r\nGET /a HTTP/1.1\r\n{HOST}\r\n"
    )
    .unwrap();
    assert_eq!(
        read_one(&mut stream),
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"
    );
    assert!(read_one(&mut stream).ends_with("GET /a Some(0) "));
}

#[test]
fn a_response_is_never_split() {
    let answer = exchange(
        &server(Limits::default()),
        format!("GET /split HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"),
    );
    assert!(answer.starts_with("HTTP/1.1 500 ") && !answer.contains("Cookie"));
}
