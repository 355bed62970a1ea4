//! Injects every network fault into each of the three calls of a task. Measures the
//! recovery time and the requests, and checks that no task is lost.
//!
//! `SATELLITE_FAULTS=all cargo test --test it fault_matrix -- --nocapture` also cuts
//! responses at every byte and waits for the long timeouts; the table is the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::testing::{MockPlatform, mock_task};
use satellite_sdk::{Context, Task, done};
use serde_json::json;

use crate::faulty_proxy::{Call, End, FaultyProxy, Reply};

const TASKS: [&str; 3] = ["t1", "t2", "t3"];
const CALLS: [Call; 3] = [Call::Poll, Call::Claim, Call::Report];
/// Longer than any response, in bytes.
const LONGER_THAN_ANY: usize = 2_000;
const TIMEOUT: Duration = Duration::from_secs(150);

/// A row of the table: one fault in all its variants.
struct Row {
    fault: &'static str,
    forms: Vec<Reply>,
}

/// The effect of a fault.
struct Cost {
    recovered: Duration,
    requests: usize,
    lost: usize,
}

#[test]
fn network_faults_lose_no_task() {
    let all = std::env::var("SATELLITE_FAULTS").is_ok_and(|v| v == "all");
    let usual = cost_of(Call::Other, Reply::Complete);
    let mut table = format!(
        "| fault | cases | recovered after, at most | requests, at most ({} without) | tasks lost |\n\
         |---|--:|--:|--:|--:|\n",
        usual.requests
    );
    let mut lost = 0;
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    for row in rows(all, elsewhere.local_addr().unwrap()) {
        let cases: Vec<(Call, Reply)> = CALLS
            .into_iter()
            .flat_map(|call| row.forms.iter().map(move |form| (call, form.clone())))
            .collect();
        let costs = in_parallel(cases);
        let slowest = costs.iter().map(|c| c.recovered).max().unwrap();
        let most = costs.iter().map(|c| c.requests).max().unwrap();
        let gone: usize = costs.iter().map(|c| c.lost).sum();
        let (fault, cases) = (row.fault, costs.len());
        writeln!(
            table,
            "| {fault} | {cases} | {slowest:.2?} | {most} | {gone} |"
        )
        .unwrap();
        lost += gone;
    }
    println!("{table}");
    elsewhere.set_nonblocking(true).unwrap();
    assert!(elsewhere.accept().is_err(), "a redirect was followed");
    assert_eq!(lost, 0, "{table}");
}

fn rows(all: bool, elsewhere: SocketAddr) -> Vec<Row> {
    let row = |fault, forms| Row { fault, forms };
    let close = |bytes: &[u8]| Reply::Bytes(bytes.to_vec(), End::Close);
    let with_status = |statuses: &[u16]| {
        let page = "<html><body>a page of another server</body></html>";
        let answer = |status: &u16| {
            let length = page.len();
            close(
                format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {length}\r\n\r\n{page}")
                    .as_bytes(),
            )
        };
        statuses.iter().map(answer).collect::<Vec<_>>()
    };
    let cuts = |end: End| {
        let step = if all { 1 } else { 37 };
        (0..LONGER_THAN_ANY)
            .step_by(step)
            .map(|n| Reply::Bytes(vec![0xFE; n], end))
            .collect::<Vec<_>>()
    };
    let json_200 = |fields: &str, body: &str| {
        let length = body.len();
        close(
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{fields}\r\n{body}").as_bytes(),
        )
    };
    let mut rows =
        vec![
            row(
                "status 2xx with another server's body",
                with_status(&[200, 201, 202, 204, 206]),
            ),
            row(
                "status 3xx to another host",
                vec![301, 302, 303, 307, 308]
                    .into_iter()
                    .map(|status| redirect(status, elsewhere))
                    .collect(),
            ),
            row(
                "status 4xx of a proxy",
                with_status(&[
                    400, 402, 403, 404, 405, 406, 407, 408, 409, 410, 415, 422, 425, 429, 431, 451,
                ]),
            ),
            row(
                "status 4xx with a redirect to a portal",
                vec![400, 403, 404, 409, 422]
                    .into_iter()
                    .map(|status| redirect(status, elsewhere))
                    .collect(),
            ),
            row("status 413 of a proxy", with_status(&[413])),
            row(
                "status 5xx",
                with_status(&[500, 501, 502, 503, 504, 507, 511, 520, 599]),
            ),
            row(
                "status 1xx and invalid statuses",
                with_status(&[102, 199, 600, 999]),
            ),
            row("closed at each byte of the response", cuts(End::Close)),
            row("reset at each byte of the response", cuts(End::Reset)),
            row(
                "closed or reset before the request is forwarded",
                vec![Reply::Disconnect(End::Close), Reply::Disconnect(End::Reset)],
            ),
            row(
                "wrong lengths",
                vec![
            close(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n[]"),
            close(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n[]"),
            close(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n[]"),
            close(b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n[]"),
            close(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n[]"),
            close(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 7\r\n\r\n[]"),
            close(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[]\r\n0\r\n\r\n"),
            close(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n[]"),
            close(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]"),
        ],
            ),
            row(
                "garbage",
                vec![
                    close(b"\0\x01\x02\x03\xff\xfe"),
                    close(b"SSH-2.0-OpenSSH_9.2\r\n"),
                    close(b"HTTP/9.9 200 OK\r\n\r\n"),
                    close(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
                    close("HTTP/1.1 200 OK\r\nX: \u{1F6F0}\r\n\r\n".as_bytes()),
                    close(&[b'A'; 100_000]),
                ],
            ),
            row(
                "heads without an end",
                vec![
                    close(
                        [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &[b'x'; 300_000]]
                            .concat()
                            .as_slice(),
                    ),
                    close(format!("HTTP/1.1 200 OK\r\n{}", "X: y\r\n".repeat(5_000)).as_bytes()),
                ],
            ),
            row(
                "unexpected JSON",
                vec![
                    json_200("", "{}"),
                    json_200("", "[]"),
                    json_200("", "[1,2"),
                    json_200("", "null"),
                    json_200("", "[{}]"),
                    json_200("", r#"[{"id":7}]"#),
                    json_200("", "\u{feff}[]"),
                    json_200("", r#"{"id":"another"}"#),
                    json_200("", ""),
                    json_200("Content-Encoding: gzip\r\n", "\x1f"),
                    json_200("Content-Type: text/html\r\n", "<html>"),
                ],
            ),
            row(
                "deep JSON",
                vec![
                    json_200("", &"[".repeat(200_000)),
                    json_200("", &r#"{"a":"#.repeat(100_000)),
                ],
            ),
            row(
                "a slow drip",
                vec![Reply::Drip(1, Duration::from_micros(300))],
            ),
            row(
                "short stalls",
                vec![
                    Reply::Stall(0, Duration::from_millis(700)),
                    Reply::Stall(30, Duration::from_millis(700)),
                    Reply::Stall(250, Duration::from_millis(700)),
                ],
            ),
        ];
    if all {
        rows.push(row(
            "stalls longer than every timeout",
            vec![
                Reply::Stall(0, Duration::from_secs(80)),
                Reply::Stall(30, Duration::from_secs(80)),
                Reply::Stall(250, Duration::from_secs(80)),
            ],
        ));
        rows.push(row(
            "a drip longer than every timeout",
            vec![Reply::Drip(1, Duration::from_secs(1))],
        ));
        rows.push(row(
            "huge JSON",
            vec![json_200("", &format!("[{}1]", "1,".repeat(20_000_000)))],
        ));
    }
    rows
}

fn redirect(status: u16, target: SocketAddr) -> Reply {
    let answer = format!(
        "HTTP/1.1 {status} Elsewhere\r\nLocation: http://{target}/\r\nContent-Length: 0\r\n\r\n"
    );
    Reply::Bytes(answer.into_bytes(), End::Close)
}

/// Replaces 0xFE bytes with the same number of bytes of the real response.
fn with_real_bytes(reply: Reply, answer: &[u8]) -> Reply {
    assert!(answer.len() < LONGER_THAN_ANY, "{} bytes", answer.len());
    match reply {
        Reply::Bytes(bytes, end) if bytes.first().is_none_or(|b| *b == 0xFE) => {
            Reply::Bytes(answer[..bytes.len().min(answer.len())].to_vec(), end)
        }
        other => other,
    }
}

/// Runs a worker with three tasks, with this fault at the first such call and, if
/// that succeeds, at the second.
fn cost_of(call: Call, reply: Reply) -> Cost {
    let platform = MockPlatform::start();
    for id in TASKS {
        platform.add_task(mock_task(id, "count", json!({ "id": id })));
    }
    // A result that is too large is replaced by a note, which is delivered.
    let is_too_large =
        matches!(&reply, Reply::Bytes(bytes, _) if bytes.starts_with(b"HTTP/1.1 413"));
    let is_replaced = is_too_large && call == Call::Report;
    let mut left = 2;
    let proxy = FaultyProxy::start(&platform, move |received, answer| {
        let before = answer.is_empty();
        let is_not_asked = matches!(reply, Reply::Disconnect(_));
        if received != call || left == 0 || before != is_not_asked {
            return Reply::Complete;
        }
        left -= 1;
        with_real_bytes(reply.clone(), answer)
    });
    let runs: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let counts = Arc::clone(&runs);
    let mut satellite = platform
        .worker()
        .platform_url(proxy.url())
        .poll_interval(Duration::from_millis(20))
        .max_backoff(Duration::from_millis(20))
        .no_health()
        .handler("count", move |task: Task, _: &Context| {
            *counts.lock().unwrap().entry(task.id).or_default() += 1;
            done(task.payload)
        })
        .build()
        .unwrap();
    let stop = satellite.stop_handle();
    let started = Instant::now();
    let run = thread::spawn(move || satellite.run().is_ok());
    let ended = |id: &str| platform.wait_for(id, "done", TIMEOUT.saturating_sub(started.elapsed()));
    let mut lost = TASKS.iter().filter(|id| !ended(id)).count();
    let recovered = started.elapsed();
    stop.stop();
    assert!(run.join().unwrap(), "the worker ended by itself");
    let runs = runs.lock().unwrap();
    for id in TASKS {
        // A task also counts as lost if it ran twice, or has another task's result.
        let result = platform.result(id);
        let noted = is_replaced && result["reason"] == "the result was refused";
        let correct = (result == json!({ "id": id }) || noted) && runs.get(id) == Some(&1);
        lost += usize::from(!correct && ended(id));
    }
    Cost {
        recovered,
        requests: proxy.requests(),
        lost,
    }
}

fn in_parallel(cases: Vec<(Call, Reply)>) -> Vec<Cost> {
    let cases = Mutex::new(cases);
    let costs = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let case = cases.lock().unwrap().pop();
                    let Some((call, reply)) = case else { return };
                    let cost = cost_of(call, reply.clone());
                    if cost.lost > 0 {
                        eprintln!("lost {} at {call:?} with {reply:?}", cost.lost);
                    }
                    costs.lock().unwrap().push(cost);
                }
            });
        }
    });
    costs.into_inner().unwrap()
}
