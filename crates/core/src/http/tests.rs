//! Tests over real HTTP: token renewal, cancellation, streams, polling.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::error::Error;
use crate::manual_clock::ManualClock;
use crate::wake::Waiter;
use satellite_serve::{Limits, Request, Response as Answer, Server as Http};

static PLAIN: Dialect = Dialect {
    token: (ureq::http::header::AUTHORIZATION, "Bearer "),
    headers: &[("x-version", "7")],
    explain: |status, body| Problem::of_status(status, excerpt(body), !body.is_empty()),
};

const SECOND: Duration = Duration::from_secs(1);

fn http(answer: impl Fn(&mut Request<'_>) -> Answer + Send + Sync + 'static) -> Http {
    Http::bind("127.0.0.1:0", Limits::default(), answer).unwrap()
}

/// A transport with a simulated clock.
fn transport(http: &Http, credentials: Credentials) -> Arc<Transport> {
    let server = Server {
        base: format!("http://{}", http.addr()),
        dialect: &PLAIN,
        credentials,
        trust: Trust::default(),
        retries: Retries::up_to(SECOND),
        connect: SECOND,
    };
    let waiter = Waiter {
        clock: Arc::new(ManualClock::default()),
        ..Waiter::default()
    };
    Arc::new(Transport::new(server, waiter).unwrap())
}

fn token(text: &str) -> Credentials {
    Credentials::Token(text.into())
}

fn get(transport: &Transport, path: &str) -> crate::Result<String> {
    let answer = transport.send(&Call::new(Method::GET, path))?;
    Ok(answer.ok()?.text())
}

/// Renews to `token-1`, `token-2`, …; the server accepts the tokens for which `good` is true.
fn renewing(
    good: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> (Http, Credentials, Arc<AtomicUsize>) {
    let server = http(move |request| match request.header("authorization") {
        Some(bearer) if good(bearer) => Answer::text(200, bearer),
        _ => Answer::text(401, "no"),
    });
    let renewals = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&renewals);
    let first = Grant {
        token: "token-0".into(),
        refresh: "refresh-0".into(),
        expires: None,
    };
    let renewal = Renewal::new(first, move |grant, _| {
        std::thread::sleep(Duration::from_millis(20));
        let n = counted.fetch_add(1, Ordering::SeqCst) + 1;
        assert_eq!(grant.refresh.expose(), format!("refresh-{}", n - 1));
        Ok(Grant {
            token: format!("token-{n}").into(),
            refresh: format!("refresh-{n}").into(),
            expires: None,
        })
    });
    (server, Credentials::Renewed(Arc::new(renewal)), renewals)
}

#[test]
fn a_rejected_token_is_renewed_once_for_all_threads_and_the_call_is_repeated() {
    let (server, credentials, renewals) = renewing(|bearer| bearer != "Bearer token-0");
    let transport = transport(&server, credentials);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_eq!(get(&transport, "/").unwrap(), "Bearer token-1"));
        }
    });
    assert_eq!(renewals.load(Ordering::SeqCst), 1);
}

#[test]
fn a_call_is_repeated_only_once_if_the_renewed_token_is_rejected_too() {
    let (server, credentials, renewals) = renewing(|_| false);
    let transport = transport(&server, credentials);
    let error = get(&transport, "/token-0").unwrap_err();
    assert!(error.is_unauthorized(), "{error}");
    assert_eq!(renewals.load(Ordering::SeqCst), 1);
}

#[test]
fn both_tokens_are_redacted() {
    let (server, credentials, _) = renewing(|_| true);
    let transport = transport(&server, credentials);
    let path = "/token-0/refresh-0";
    let error = transport.send(&Call::new(Method::GET, path)).unwrap();
    assert_eq!(format!("{error:?}").matches("***").count(), 2, "{error:?}");
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    let server = http(|request| Answer::text(200, request.header("authorization").unwrap()));
    let grant = |token: &str, left| Grant {
        token: token.into(),
        refresh: "r".into(),
        expires: Some(Instant::now() + left),
    };
    let next = grant("new", 3600 * SECOND);
    let renewal = Renewal::new(grant("old", 30 * SECOND), move |_, _| Ok(next.clone()));
    let transport = transport(&server, Credentials::Renewed(Arc::new(renewal)));
    assert_eq!(get(&transport, "/").unwrap(), "Bearer new");
}

#[test]
fn an_empty_token_is_not_sent_but_the_headers_of_the_dialect_are() {
    let server = http(|request| {
        assert_eq!(request.header("authorization"), None);
        Answer::text(200, request.header("x-version").unwrap())
    });
    assert_eq!(get(&transport(&server, token("")), "/").unwrap(), "7");
}

#[test]
fn a_create_is_retried_only_if_the_server_confirms_that_it_had_no_effect() {
    for gateways in [502, 503, 504] {
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let server = http(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
            0 => Answer::new(429),
            1 => Answer::text(503, "shutting down"),
            2 => Answer::new(gateways),
            _ => Answer::new(200),
        });
        let transport = transport(&server, token("t"));
        let answer = transport.send(&Call::new(Method::POST, "/")).unwrap();
        let error = answer.ok().unwrap_err();
        assert_eq!(error.status(), Some(gateways));
        assert!(error.is_outcome_unknown(), "{error}");
        assert!(!error.is_retryable(), "{error}");
        assert_eq!(requests.load(Ordering::SeqCst), 3);
    }
}

#[test]
fn a_lost_response_makes_a_read_retryable_but_not_a_create() {
    let server = http(|_| Answer::reset());
    let transport = transport(&server, token("t"));
    let lost = transport.send(&Call::new(Method::POST, "/")).unwrap_err();
    assert!(lost.is_outcome_unknown() && !lost.is_retryable(), "{lost}");
    let read = Call::new(Method::GET, "/").effort(Effort::Once);
    let lost = transport.send(&read).unwrap_err();
    assert!(lost.is_retryable(), "{lost}");
}

#[test]
fn cancelling_aborts_a_blocked_call_with_an_unknown_outcome() {
    let server = http(|_| {
        std::thread::sleep(10 * SECOND);
        Answer::new(200)
    });
    let cancel = Cancel::new();
    let transport = transport(&server, token("t"))
        .cancelled_by(&cancel)
        .unwrap();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            cancel.cancel();
        });
        let error = transport.send(&Call::new(Method::POST, "/")).unwrap_err();
        assert!(error.is_stopped() && error.is_outcome_unknown(), "{error}");
        assert!(!error.is_retryable());
    });
    assert!(begun.elapsed() < 5 * SECOND);
    let error = transport.send(&Call::new(Method::POST, "/")).unwrap_err();
    assert!(error.is_stopped() && !error.is_outcome_unknown(), "{error}");
}

/// A body that sends `text`, then nothing for a long time.
fn stuck(text: &'static str) -> impl Read + Send {
    struct Stuck;
    impl Read for Stuck {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            std::thread::sleep(10 * SECOND);
            Ok(0)
        }
    }
    text.as_bytes().chain(Stuck)
}

fn stream(transport: &Arc<Transport>, idle: Duration, resumes: bool) -> Stream<String> {
    fn open(transport: &Transport, idle: Duration, from: u64) -> crate::Result<Source<String>> {
        let path = with_query("/", &[("from", &from.to_string())]);
        let answer = transport.send(&Call::new(Method::GET, &path).streamed(idle))?;
        Ok(Box::new(answer.into_lines()?))
    }
    let source = open(transport, idle, 0).unwrap();
    let again = Arc::clone(transport);
    Stream::new(
        Arc::clone(transport),
        source,
        move |broke, delivered| match broke.is_some() && resumes {
            true => open(&again, idle, delivered).map(Some),
            false => Ok(None),
        },
    )
}

#[test]
fn cancelling_aborts_a_stream_during_a_read() {
    let server = http(|_| Answer::new(200).reader(stuck("one\n"), None));
    let cancel = Cancel::new();
    let transport = transport(&server, token("t"))
        .cancelled_by(&cancel)
        .unwrap();
    let mut lines = stream(&transport, 20 * SECOND, true);
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    assert_eq!(lines.ended(), None);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            cancel.cancel();
        });
        assert!(lines.next().unwrap().unwrap_err().is_stopped());
    });
    assert!(begun.elapsed() < 5 * SECOND);
    assert_eq!(lines.ended(), Some(Ended::Cancelled));
    assert!(lines.next().is_none());
}

#[test]
fn the_idle_timeout_ends_a_stream_that_cannot_be_resumed() {
    let server = http(|_| Answer::new(200).reader(stuck("one\n"), None));
    let transport = transport(&server, token("t"));
    let mut lines = stream(&transport, Duration::from_millis(100), false);
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    assert!(lines.next().unwrap().unwrap_err().is_timeout());
    assert_eq!(lines.ended(), Some(Ended::Idle));
}

#[test]
fn an_interrupted_stream_resumes_without_lost_or_repeated_items() {
    let requests = AtomicUsize::new(1);
    let server = http(move |request| {
        let from: usize = request.query().unwrap()[5..].parse().unwrap();
        let text: String = (from..100).map(|n| format!("line {n} €\n")).collect();
        let cut = text
            .len()
            .min(17 * requests.fetch_add(1, Ordering::SeqCst) % 61);
        match cut == text.len() {
            true => Answer::text(200, text),
            false => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
                Answer::raw([head.as_bytes(), &text.as_bytes()[..cut]].concat())
            }
        }
    });
    let transport = transport(&server, token("t"));
    let mut lines = stream(&transport, SECOND, true);
    let got: Vec<_> = lines.by_ref().map(Result::unwrap).collect();
    let expected: Vec<_> = (0..100).map(|n| format!("line {n} €")).collect();
    assert_eq!(got, expected);
    assert_eq!(lines.ended(), Some(Ended::Complete));
}

#[test]
fn a_stream_without_progress_ends_after_some_retries() {
    let server = http(|_| Answer::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"));
    let transport = transport(&server, token("t"));
    let mut lines = stream(&transport, SECOND, true);
    assert!(lines.next().unwrap().unwrap_err().is_retryable());
    assert_eq!(lines.ended(), Some(Ended::Cut));
    assert!(server.connections() < 20);
}

#[test]
fn polling_retries_transient_errors_and_stops_at_others() {
    let requests = AtomicUsize::new(0);
    let server = http(|_| Answer::new(204));
    let transport = transport(&server, token("t"));
    let pace = Pace {
        first: SECOND,
        max: 5 * SECOND,
    };
    let wait = |last: fn() -> crate::Result<Option<u8>>| {
        requests.store(0, Ordering::SeqCst);
        transport.poll_until("work", 3600 * SECOND, pace, |_| {
            match requests.fetch_add(1, Ordering::SeqCst) {
                0 => Ok(None),
                1 => Err(Error::from_fault(
                    "GET /".into(),
                    Fault::Broken,
                    "broke".into(),
                )),
                2 => Ok(None),
                _ => last(),
            }
        })
    };
    assert_eq!(wait(|| Ok(Some(7))).unwrap(), 7);
    assert_eq!(
        wait(|| Err(Error::new("bad"))).unwrap_err().to_string(),
        "bad"
    );
    let late = wait(|| Ok(None)).unwrap_err();
    assert!(late.is_timeout() && late.is_outcome_unknown(), "{late}");
    assert!(late.to_string().contains("may still be running"), "{late}");
}

/// Reads a part of each request, responds, and closes with unread bytes, which resets the
/// connection: the client's write fails.
fn closes_early() -> std::net::SocketAddr {
    use std::io::Write;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\n\r\nlarge");
        }
    });
    address
}

#[test]
fn a_response_is_read_even_if_the_write_failed() {
    let server = Server {
        base: format!("http://{}", closes_early()),
        dialect: &PLAIN,
        credentials: token("t"),
        trust: Trust::default(),
        retries: Retries::up_to(SECOND),
        connect: 10 * SECOND,
    };
    let transport = Transport::new(server, Waiter::default()).unwrap();
    for _ in 0..20 {
        let body = serde_json::Value::String("x".repeat(8 * 1024 * 1024));
        let call = Call::new(Method::PUT, "/").json(&body).unwrap();
        let answer = transport.send(&call).unwrap();
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (413, &b"large"[..])
        );
    }
}
