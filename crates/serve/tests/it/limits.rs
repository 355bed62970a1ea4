//! Limits on size and time.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use satellite_serve::{Limits, Response, Server};

use super::support::{HOST, assert_rejected, connect, exchange, read_one, read_rest, server};

#[test]
fn heads_and_bodies_over_the_limit_are_rejected() {
    assert_rejected(
        413,
        format!("POST / HTTP/1.1\r\n{HOST}Content-Length: 101\r\n\r\n"),
    );
    for size in ["65", "ffffffffffffffff", "7fffffffffffffff"] {
        assert_rejected(
            413,
            format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{size}\r\na"),
        );
    }
    let chunk = format!("32\r\n{}\r\n", "a".repeat(50));
    assert_rejected(
        413,
        format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}{chunk}"),
    );
    assert_rejected(
        431,
        format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", "a".repeat(1000)),
    );
    assert_rejected(431, "a".repeat(5000));
    assert_rejected(
        431,
        format!("GET / HTTP/1.1\r\n{HOST}{}\r\n", "X: a\r\n".repeat(8)),
    );
    let trailers = "X: a\r\n".repeat(17);
    assert_rejected(
        431,
        format!("POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n{trailers}\r\n"),
    );
}

/// Sends `byte` every 20 ms until the server closes; returns the start of the response and the
/// time until it arrived.
fn send_slowly(server: &Server, first: &str, byte: &[u8]) -> (String, Duration) {
    let mut stream = connect(server.addr());
    stream.write_all(first.as_bytes()).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let byte = byte.to_vec();
    let begun = Instant::now();
    let sender = thread::spawn(move || {
        while writer.write_all(&byte).is_ok() && begun.elapsed() < Duration::from_secs(15) {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    let took = begun.elapsed();
    stream.shutdown(Shutdown::Both).unwrap();
    sender.join().unwrap();
    (String::from_utf8_lossy(&head).into(), took)
}

#[test]
fn sending_slowly_does_not_extend_the_time_limit() {
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
        let (answer, took) = send_slowly(&server, first, byte.as_bytes());
        assert_eq!(answer, "HTTP/1.1 408", "{first}");
        assert!((short..short * 10).contains(&took), "{first}: {took:?}");
    }
}

#[test]
fn an_idle_connection_is_closed_without_a_response() {
    let server = server(Limits {
        idle_time: Duration::from_millis(100),
        ..Limits::default()
    });
    assert_eq!(read_rest(&mut connect(server.addr())), "");
    let mut idle = connect(server.addr());
    write!(idle, "GET / HTTP/1.1\r\n{HOST}\r\n").unwrap();
    assert!(read_one(&mut idle).starts_with("HTTP/1.1 200"));
    assert_eq!(read_rest(&mut idle), "");
}

#[test]
fn a_client_that_does_not_read_is_disconnected() {
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
    while !exchange(
        &server,
        format!("GET / HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"),
    )
    .ends_with("free")
    {
        assert!(begun.elapsed() < Duration::from_secs(15));
        thread::sleep(Duration::from_millis(20));
    }
}
