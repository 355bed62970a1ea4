//! Request bodies: chunks, `100 Continue`, and bodies that the service does not read.

use std::io::{Read, Write};

use satellite_serve::{Limits, Response, Server};

use super::support::{HOST, assert_rejected, connect, exchange, read_one, read_rest, server};

#[test]
fn malformed_chunks_are_rejected() {
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
        assert_rejected(
            400,
            format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{body}"),
        );
    }
    let endless = "a".repeat(300);
    assert_rejected(
        400,
        format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n1;{endless}"),
    );
}

#[test]
fn chunks_with_extensions_and_trailers_are_read() {
    let answer = exchange(
        &server(Limits::default()),
        format!(
            "POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: Chunked\r\nConnection: close\r\n\r\n\
             3;a=b\r\nabc\r\n00A\r\n0123456789\r\n0\r\nX: y\r\n\r\n"
        ),
    );
    assert!(answer.ends_with("POST / None abc0123456789"), "{answer}");
}

#[test]
fn continue_is_sent_when_the_body_is_read() {
    let server = server(Limits::default());
    let mut stream = connect(server.addr());
    write!(
        stream,
        "POST / HTTP/1.1\r\n{HOST}Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n"
    )
    .unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ok").unwrap();
    assert!(read_one(&mut stream).ends_with("Some(2) ok"));
    // Neither read nor requested: the server cannot know whether the body follows, so it closes.
    write!(
        stream,
        "POST /unread HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    )
    .unwrap();
    let answer = read_rest(&mut stream);
    assert!(
        answer.contains("connection: close") && answer.ends_with("unread"),
        "{answer}"
    );
}

#[test]
fn a_short_unread_body_is_discarded_and_a_long_one_closes_the_connection() {
    let server = server(Limits::default());
    let mut stream = connect(server.addr());
    for length in [1, 60_000] {
        write!(
            stream,
            "POST /unread HTTP/1.1\r\n{HOST}Content-Length: {length}\r\n\r\n{}",
            "x".repeat(length)
        )
        .unwrap();
        assert!(read_one(&mut stream).ends_with("unread"));
    }
    write!(
        stream,
        "POST /unread HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    )
    .unwrap();
    assert!(read_one(&mut stream).ends_with("unread"));
    write!(
        stream,
        "POST /unread HTTP/1.1\r\n{HOST}Content-Length: 1000000\r\n\r\n"
    )
    .unwrap();
    assert!(read_rest(&mut stream).contains("connection: close"));
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
    assert!(exchange(&server, request).ends_with(&deep));
}
