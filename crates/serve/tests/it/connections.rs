//! Connections: keep-alive, pipelining, eviction, stopping.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use satellite_serve::{Limits, Response, Server};

use super::support::{HOST, assert_closed, connect, echo, exchange, read_one, read_rest, server};

#[test]
fn a_connection_is_kept_alive() {
    let server = server(Limits::default());
    let mut stream = connect(server.addr());
    for n in 0..10 {
        write!(
            stream,
            "POST /{n} HTTP/1.1\r\n{HOST}Content-Length: 3\r\n\r\nabc"
        )
        .unwrap();
        assert!(read_one(&mut stream).ends_with(&format!("POST /{n} Some(3) abc")));
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
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
    let answer = exchange(&server(Limits::default()), requests);
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
fn the_longest_waiting_connection_is_evicted() {
    let server = server(Limits {
        connections: 3,
        ..Limits::default()
    });
    let mut held: Vec<TcpStream> = (0..3).map(|_| connect(server.addr())).collect();
    held[0].write_all(b"GET / HT").unwrap();
    for stream in &mut held[1..] {
        write!(stream, "GET / HTTP/1.1\r\n{HOST}\r\n").unwrap();
        read_one(stream);
    }
    assert!(
        exchange(
            &server,
            format!("GET / HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")
        )
        .starts_with("HTTP/1.1 200")
    );
    assert_closed(&mut held[0]);
    write!(held[2], "GET / HTTP/1.1\r\n{HOST}\r\n").unwrap();
    assert!(read_one(&mut held[2]).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_new_connection_gets_a_503_when_all_are_busy() {
    let (inside, resume) = (Arc::new(Barrier::new(3)), Arc::new(Barrier::new(3)));
    let (entered, leave) = (inside.clone(), resume.clone());
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
    assert!(read_rest(&mut connect(server.addr())).starts_with("HTTP/1.1 503 "));
    assert!(begun.elapsed() < Duration::from_secs(10));
    resume.wait();
    for stream in &mut busy {
        assert!(read_one(stream).ends_with("done"));
    }
}

#[test]
fn a_connection_that_waits_for_a_body_is_evicted() {
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
        exchange(
            &server,
            format!("GET / HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")
        )
        .starts_with("HTTP/1.1 200")
    );
    assert_closed(&mut held);
}

#[test]
fn a_connection_with_discarded_data_is_evicted_first() {
    let server = Server::bind(
        "127.0.0.1:0",
        Limits {
            connections: 2,
            ..Limits::default()
        },
        |request| Response::text(200, request.path()),
    )
    .unwrap();
    let mut idle = connect(server.addr());
    write!(idle, "GET /kept HTTP/1.1\r\n{HOST}\r\n").unwrap();
    assert!(read_one(&mut idle).ends_with("/kept"));
    // Idle for a shorter time than the other, but its response was already sent.
    let mut sending = connect(server.addr());
    write!(
        sending,
        "POST / HTTP/1.1\r\n{HOST}Content-Length: 9999999\r\n\r\nx"
    )
    .unwrap();
    assert!(read_rest(&mut sending).starts_with("HTTP/1.1 200 "));
    let close = format!("GET /new HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n");
    assert!(exchange(&server, close).ends_with("/new"));
    write!(idle, "GET /kept HTTP/1.1\r\n{HOST}\r\n").unwrap();
    assert!(read_one(&mut idle).ends_with("/kept"));
}

#[test]
fn stopping_closes_all_connections_promptly() {
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
        begun.elapsed() < Duration::from_secs(15),
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
    assert_eq!(read_rest(&mut stream), "");
}
