//! Every fault on the way to the platform and back, at each of the three calls that a
//! task needs: what it costs, and that it costs no task.
//!
//! `SATELLITE_FAULTS=all cargo test --test it fault_matrix -- --nocapture` cuts at
//! every byte and waits for the long time limits as well; the table is the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::testing::{MockPlatform, mock_task};
use satellite_sdk::{Context, Task, done};
use serde_json::json;

use crate::door::{Asks, Door, End, Passage};

const TASKS: [&str; 3] = ["t1", "t2", "t3"];
const CALLS: [Asks; 3] = [Asks::Tasks, Asks::Claim, Asks::Report];
/// So long an answer is cut: whole, and then the connection ends.
const LONGER_THAN_ANY: usize = 2_000;
const PATIENCE: Duration = Duration::from_secs(150);

/// A row of the table: one fault, in as many forms as it has.
struct Row {
    fault: &'static str,
    forms: Vec<Passage>,
}

/// What a fault cost.
struct Cost {
    recovered: Duration,
    requests: usize,
    lost: usize,
}

#[test]
fn no_fault_between_worker_and_platform_loses_a_task() {
    let all = std::env::var("SATELLITE_FAULTS").is_ok_and(|v| v == "all");
    let usual = cost_of(Asks::Else, Passage::Whole);
    let mut table = format!(
        "| fault | cases | recovered after, at most | requests, at most ({} without) | tasks lost |\n\
         |---|--:|--:|--:|--:|\n",
        usual.requests
    );
    let mut lost = 0;
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    for row in rows(all, elsewhere.local_addr().unwrap()) {
        let cases: Vec<(Asks, Passage)> = CALLS
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
    let close = |bytes: &[u8]| Passage::Then(bytes.to_vec(), End::Close);
    let with_status = |statuses: &[u16]| {
        let page = "<html><body>a page of somebody's</body></html>";
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
            .map(|n| Passage::Then(vec![0xFE; n], end))
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
                "status 2xx without a word of the platform",
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
                "status 4xx of a box on the way",
                with_status(&[
                    400, 402, 403, 404, 405, 406, 407, 408, 409, 410, 415, 422, 425, 429, 431, 451,
                ]),
            ),
            row(
                "status 4xx and another place, of a portal",
                vec![400, 403, 404, 409, 422]
                    .into_iter()
                    .map(|status| redirect(status, elsewhere))
                    .collect(),
            ),
            row("status 413 of a box on the way", with_status(&[413])),
            row(
                "status 5xx",
                with_status(&[500, 501, 502, 503, 504, 507, 511, 520, 599]),
            ),
            row(
                "status 1xx, and one that there is not",
                with_status(&[102, 199, 600, 999]),
            ),
            row("closed at each byte of the answer", cuts(End::Close)),
            row("reset at each byte of the answer", cuts(End::Reset)),
            row(
                "closed or reset before it arrives",
                vec![Passage::NotAsked(End::Close), Passage::NotAsked(End::Reset)],
            ),
            row(
                "lengths that are wrong",
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
                "JSON that is not what was asked for",
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
                "a drip that takes its time",
                vec![Passage::Drip(1, Duration::from_micros(300))],
            ),
            row(
                "stalls for a moment",
                vec![
                    Passage::Stall(0, Duration::from_millis(700)),
                    Passage::Stall(30, Duration::from_millis(700)),
                    Passage::Stall(250, Duration::from_millis(700)),
                ],
            ),
        ];
    if all {
        rows.push(row(
            "stalls past every time limit",
            vec![
                Passage::Stall(0, Duration::from_secs(80)),
                Passage::Stall(30, Duration::from_secs(80)),
                Passage::Stall(250, Duration::from_secs(80)),
            ],
        ));
        rows.push(row(
            "a drip past every time limit",
            vec![Passage::Drip(1, Duration::from_secs(1))],
        ));
        rows.push(row(
            "huge JSON",
            vec![json_200("", &format!("[{}1]", "1,".repeat(20_000_000)))],
        ));
    }
    rows
}

fn redirect(status: u16, target: SocketAddr) -> Passage {
    let answer = format!(
        "HTTP/1.1 {status} Elsewhere\r\nLocation: http://{target}/\r\nContent-Length: 0\r\n\r\n"
    );
    Passage::Then(answer.into_bytes(), End::Close)
}

/// Bytes of 0xFE stand for as many of the true answer's.
fn true_bytes(passage: Passage, answer: &[u8]) -> Passage {
    assert!(answer.len() < LONGER_THAN_ANY, "{} bytes", answer.len());
    match passage {
        Passage::Then(bytes, end) if bytes.first().is_none_or(|b| *b == 0xFE) => {
            Passage::Then(answer[..bytes.len().min(answer.len())].to_vec(), end)
        }
        other => other,
    }
}

/// A worker and its three tasks, with this fault at the first such call and, where
/// that lets it through, at the second.
fn cost_of(call: Asks, passage: Passage) -> Cost {
    let platform = MockPlatform::start();
    for id in TASKS {
        platform.add_task(mock_task(id, "count", json!({ "id": id })));
    }
    // A result that is too large for the way is replaced by a note, and arrives.
    let is_too_large =
        matches!(&passage, Passage::Then(bytes, _) if bytes.starts_with(b"HTTP/1.1 413"));
    let is_replaced = is_too_large && call == Asks::Report;
    let mut left = 2;
    let door = Door::before(&platform, move |asks, answer| {
        let before = answer.is_empty();
        let is_not_asked = matches!(passage, Passage::NotAsked(_));
        if asks != call || left == 0 || before != is_not_asked {
            return Passage::Whole;
        }
        left -= 1;
        true_bytes(passage.clone(), answer)
    });
    let runs: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let counts = Arc::clone(&runs);
    let mut satellite = platform
        .worker()
        .platform_url(door.url())
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
    let begun = Instant::now();
    let run = thread::spawn(move || satellite.run().is_ok());
    let ended = |id: &str| platform.wait_for(id, "done", PATIENCE.saturating_sub(begun.elapsed()));
    let mut lost = TASKS.iter().filter(|id| !ended(id)).count();
    let recovered = begun.elapsed();
    stop.stop();
    assert!(run.join().unwrap(), "the worker ended by itself");
    let runs = runs.lock().unwrap();
    for id in TASKS {
        // A task is lost as well when it ran twice, or with another's result.
        let result = platform.result(id);
        let noted = is_replaced && result["reason"] == "the result was refused";
        let right = (result == json!({ "id": id }) || noted) && runs.get(id) == Some(&1);
        lost += usize::from(!right && ended(id));
    }
    Cost {
        recovered,
        requests: door.requests(),
        lost,
    }
}

fn in_parallel(cases: Vec<(Asks, Passage)>) -> Vec<Cost> {
    let cases = Mutex::new(cases);
    let costs = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let case = cases.lock().unwrap().pop();
                    let Some((call, passage)) = case else { return };
                    let cost = cost_of(call, passage.clone());
                    if cost.lost > 0 {
                        eprintln!("lost {} at {call:?} with {passage:?}", cost.lost);
                    }
                    costs.lock().unwrap().push(cost);
                }
            });
        }
    });
    costs.into_inner().unwrap()
}
