//! Requests and responses that pass the gateway.

use std::io::Write;

use super::*;

const TOO_LARGE: &str =
    "HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\nRetry-After: 7\r\n\r\ntoo large";

#[test]
fn an_early_response_is_forwarded_while_the_client_still_sends() {
    let (port, _told) = responds_immediately(TOO_LARGE);
    let fixture = Fixture::new(port, MB);
    for lines in [
        "Content-Length: 20000000\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        let mut stream = fixture.call("plain", lines);
        let piece = vec![b'x'; 0x10000];
        if lines.starts_with('T') {
            stream.write_all(b"10000\r\n").unwrap();
        }
        stream.write_all(&piece).unwrap();
        // It pauses, although it has more to send.
        let response = read_all(&mut stream);
        assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
        assert!(response.contains("\r\nRetry-After: 7\r\n"), "{response}");
        assert!(response.ends_with("\r\n\r\ntoo large"), "{response}");
    }
}

#[test]
fn an_early_response_reaches_a_client_that_sends_everything_before_it_reads() {
    let (port, _told) = responds_immediately(TOO_LARGE);
    let fixture = Fixture::new(port, MB);
    let body = vec![b'x'; 20_000_000];
    for _ in 0..20 {
        let mut stream = fixture.call("plain", "Content-Length: 20000000\r\n");
        stream.write_all(&body).unwrap();
        assert!(read_all(&mut stream).starts_with("HTTP/1.1 413 "));
    }
}

#[test]
fn end_to_end_header_fields_are_forwarded_and_hop_by_hop_fields_are_not() {
    let (port, requests) = responds_immediately(
        "HTTP/1.1 201 Made\r\nContent-Length: 4\r\nContent-Type: text/x\r\nContent-Encoding: gzip\r\n\
         Location: /there\r\nRetry-After: 3\r\nCache-Control: no-store\r\nSet-Cookie: a=1\r\n\
         Set-Cookie: b=2\r\nX-City: K\u{f6}ln\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         Connection: close, X-Own\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: b\r\n\
         Trailer: x\r\nUpgrade: h2c\r\n\r\n\x1f\u{b}zz",
    );
    let fixture = Fixture::new(port, MB);
    let lines = "Content-Length: 2\r\nContent-Type: text/y\r\nAccept-Encoding: br\r\nX-Trace: 7\r\n\
                 traceparent: 00-1\r\nConnection: X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\n\
                 Keep-Alive: 9\r\nProxy-Authorization: p\r\nUpgrade: h2c\r\nExpect: 100-continue\r\n";
    let mut stream = fixture.call("plain", lines);
    stream.write_all(b"{}").unwrap();
    let response = read_all(&mut stream);
    let response = response.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
    let sent = requests.recv_timeout(TIMEOUT).unwrap().to_lowercase();

    assert!(response.starts_with("HTTP/1.1 201 "), "{response}");
    for field in [
        "Content-Type: text/x",
        "Content-Encoding: gzip",
        "Location: /there",
        "Retry-After: 3",
        "Cache-Control: no-store",
        "Set-Cookie: a=1",
        "Set-Cookie: b=2",
        "X-City: K\u{f6}ln",
        "Date: Sun, 06 Nov 1994 08:49:37 GMT",
        "content-length: 4",
    ] {
        assert_eq!(
            response.matches(&format!("\r\n{field}\r\n")).count(),
            1,
            "{field}: {response}"
        );
    }
    for field in [
        "x-own",
        "keep-alive",
        "proxy-authenticate",
        "trailer",
        "upgrade",
    ] {
        assert!(
            !response.to_lowercase().contains(&format!("\r\n{field}:")),
            "{field}: {response}"
        );
    }
    assert_eq!(
        response.to_lowercase().matches("\r\ndate:").count(),
        1,
        "{response}"
    );
    assert!(response.ends_with("\r\n\r\n\x1f\u{b}zz"), "{response}");

    for field in [
        "content-type: text/y",
        "accept-encoding: br",
        "x-trace: 7",
        "traceparent: 00-1",
        "content-length: 2",
    ] {
        assert_eq!(
            sent.matches(&format!("\r\n{field}\r\n")).count(),
            1,
            "{field}: {sent}"
        );
    }
    let not_forwarded = [
        "connection",
        "x-mine",
        "te",
        "keep-alive",
        "proxy-authorization",
        "upgrade",
        "expect",
        "authorization",
        "user-agent",
        "accept",
    ];
    for field in not_forwarded {
        assert!(!sent.contains(&format!("\r\n{field}:")), "{field}: {sent}");
    }
}

#[test]
fn chunked_bodies_are_forwarded_both_ways() {
    let model = model(|request| {
        let body = request.read_body().unwrap_or_default();
        Response::new(200).reader(std::io::Cursor::new(body), None)
    });
    let fixture = Fixture::new(model.addr().port(), MB);
    let mut stream = fixture.call("plain", "Transfer-Encoding: chunked\r\n");
    let piece = "y".repeat(50_000);
    for _ in 0..10 {
        write!(stream, "{:x}\r\n{piece}\r\n", piece.len()).unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let response = read_all(&mut stream);
    assert!(
        response.starts_with("HTTP/1.1 200 "),
        "{}",
        &response[..200]
    );
    assert_eq!(response.matches('y').count(), 500_000);
}
