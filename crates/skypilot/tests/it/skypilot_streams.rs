//! Log streams: followed, broken, resumed, cancelled.

use std::io::Read;
use std::time::{Duration, Instant};

use satellite_core::client::{Cancel, Ended};
use satellite_serve::Response;
use satellite_skypilot::Logs;
use serde_json::json;

use crate::skypilot_server::Fake;

fn all(stream: &mut impl Iterator<Item = satellite_core::Result<String>>) -> Vec<String> {
    stream.by_ref().map(Result::unwrap).collect()
}

/// Sends `text`, then nothing for a long time.
fn stuck(text: &'static str) -> Response {
    struct Stuck;
    impl Read for Stuck {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            std::thread::sleep(Duration::from_secs(10));
            Ok(0)
        }
    }
    Response::new(200).reader(text.as_bytes().chain(Stuck), None)
}

/// A body shorter than its declared length, so that the client notices.
fn cut(text: &str) -> Response {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 9999\r\nx-skypilot-request-id: cut\r\n\r\n";
    Response::raw(format!("{head}{text}"))
}

#[test]
fn a_log_is_requested_with_its_options_and_cleaned() {
    let fake = Fake::start();
    let text =
        "\u{1b}[36m(t, pid=1)\u{1b}[0m hé\r\n10%\r99%\n<sky-payload>\"x\"</sky-payload>\nend";
    fake.streams(move || Response::text(200, text));
    let sky = fake.client();
    let mut log = sky.logs(&Logs::new("c").job(4).tail(100)).unwrap();
    assert_eq!(all(&mut log), ["(t, pid=1) hé", "99%", "end"]);
    assert_eq!(log.ended(), Some(Ended::Complete));
    let expected = json!({ "cluster_name": "c", "job_id": 4, "follow": false, "tail": 100 });
    assert_eq!(fake.calls("POST /logs")[0].body, expected);

    let mut raw = sky.logs(&Logs::new("c").raw(true)).unwrap();
    assert_eq!(all(&mut raw)[0], "\u{1b}[36m(t, pid=1)\u{1b}[0m hé");
    assert_eq!(fake.calls("POST /logs")[1].body["job_id"], json!(null));
}

#[test]
fn a_log_resumes_after_each_break_without_lost_or_duplicate_lines() {
    let fake = Fake::start();
    let text: String = (0..60).map(|n| format!("line {n} €\n")).collect();
    for cut_at in (0..50).map(|n| n * 14 + n * 37 % 50) {
        let text = text.clone();
        fake.streams(move || {
            let head =
                "HTTP/1.1 200 OK\r\ncontent-length: 9999\r\nx-skypilot-request-id: c\r\n\r\n";
            Response::raw([head.as_bytes(), &text.as_bytes()[..cut_at]].concat())
        });
    }
    let whole = text.clone();
    fake.streams(move || Response::text(200, whole.clone()));
    let mut log = fake.client().logs(&Logs::new("c").follow(true)).unwrap();
    assert_eq!(all(&mut log), text.lines().collect::<Vec<_>>());
    assert_eq!(log.ended(), Some(Ended::Complete));
}

#[test]
fn a_log_aborted_by_the_server_is_reopened() {
    let fake = Fake::start();
    fake.streams(|| {
        let end = "[SkyPilot] Log streaming stopped by an internal error; the log is incomplete.";
        Response::text(200, format!("one\n{end}\n"))
    });
    fake.streams(|| Response::text(200, "one\ntwo\n"));
    let mut log = fake.client().logs(&Logs::new("c")).unwrap();
    assert_eq!(all(&mut log), ["one", "two"]);
}

#[test]
fn a_log_with_a_tail_is_not_resumed() {
    let fake = Fake::start();
    fake.streams(|| cut("one\ntwo\nthr"));
    let mut log = fake.client().logs(&Logs::new("c").tail(2)).unwrap();
    let items: Vec<_> = log.by_ref().collect();
    assert_eq!(items.len(), 3);
    assert!(items[2].as_ref().unwrap_err().is_retryable());
    assert_eq!(log.ended(), Some(Ended::Cut));
    assert_eq!(fake.calls("POST /logs").len(), 1);
}

#[test]
fn a_tail_is_reopened_before_its_first_line() {
    let fake = Fake::start();
    fake.streams(|| cut(""));
    fake.streams(|| Response::text(200, "two\nthree\n"));
    let mut log = fake.client().logs(&Logs::new("c").tail(2)).unwrap();
    assert_eq!(all(&mut log), ["two", "three"]);
    assert_eq!(fake.calls("POST /logs")[1].body["tail"], 2);
}

#[test]
fn a_complete_log_has_the_exit_code_of_its_job() {
    for code in [0, 100, 101, 103] {
        let fake = Fake::start();
        fake.streams(|| Response::text(200, "(t, pid=1) hi\n"));
        fake.returns("/logs", json!(code));
        let mut log = fake.client().logs(&Logs::new("c").job(1)).unwrap();
        assert_eq!(log.exit_code(), None);
        assert_eq!(all(&mut log), ["(t, pid=1) hi"]);
        assert_eq!(log.exit_code(), Some(code));
    }
}

#[test]
fn the_log_of_a_job_that_does_not_exist_is_an_error() {
    let fake = Fake::start();
    // The server's response: 200, and a line in the log.
    fake.streams(|| {
        let line = "Job 99 not found (see `sky queue`).";
        Response::text(
            200,
            format!("{line}\nsrun: error: Exited with exit code 102\n"),
        )
    });
    fake.returns("/logs", json!(102));
    let sky = fake.client();
    let mut log = sky.logs(&Logs::new("c").job(99).follow(true)).unwrap();
    let error = log.next().unwrap().unwrap_err();
    assert!(error.is_not_found() && !error.is_retryable(), "{error}");
    assert!(
        error.to_string().contains("job 99 does not exist on c"),
        "{error}"
    );
    assert!(log.next().is_none());

    // The last job of a cluster that has run no jobs.
    let mut log = sky.logs(&Logs::new("c")).unwrap();
    assert!(log.find_map(Result::err).unwrap().is_not_found());
}

#[test]
fn the_empty_log_of_a_missing_cluster_is_not_found() {
    let fake = Fake::start();
    fake.fails("/logs", "ClusterDoesNotExist", "no");
    let mut log = fake
        .client()
        .logs(&Logs::new("nobody").follow(true))
        .unwrap();
    assert!(log.next().unwrap().unwrap_err().is_not_found());
    assert!(log.next().is_none());
}

#[test]
fn since_is_rejected_before_anything_is_sent() {
    let fake = Fake::start();
    let error = fake.client().logs(&Logs::new("c").since("1h")).unwrap_err();
    assert!(error.is_unsupported(), "{error}");
    assert!(fake.calls("POST /logs").is_empty());
}

#[test]
fn silence_ends_a_stream_with_an_error() {
    let fake = Fake::start();
    fake.streams(|| stuck("one\n"));
    let mut limits = satellite_core::client::TimeLimits::default();
    limits.idle = Duration::from_millis(100);
    let sky = fake.builder().limits(limits).build().unwrap();
    let mut log = sky.logs(&Logs::new("c").follow(true).tail(5)).unwrap();
    assert_eq!(log.next().unwrap().unwrap(), "one");
    assert!(log.next().unwrap().unwrap_err().is_timeout());
    assert_eq!(log.ended(), Some(Ended::Idle));
}

#[test]
fn cancelling_from_another_thread_ends_a_stream_in_the_middle_of_a_read() {
    let fake = Fake::start();
    fake.streams(|| stuck("one\n"));
    let cancel = Cancel::new();
    let sky = fake.client();
    let mut log = sky
        .cancelled_by(&cancel)
        .unwrap()
        .logs(&Logs::new("c"))
        .unwrap();
    assert_eq!(log.next().unwrap().unwrap(), "one");
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            cancel.cancel();
        });
        assert!(log.next().unwrap().unwrap_err().is_stopped());
    });
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!(log.ended(), Some(Ended::Cancelled));
    assert!(sky.health().is_ok(), "the original client is not affected");
}

#[test]
fn the_log_of_a_request_omits_waiting_messages() {
    let fake = Fake::start();
    let waits = format!("Waiting for 'sky.launch'{}\n", " ".repeat(4096));
    fake.streams(move || cut(&format!("{waits}one\ntw")));
    fake.streams(|| Response::text(200, "one\ntwo\n"));
    let mut log = fake.client().request_log("id-7", true).unwrap();
    assert_eq!(all(&mut log), ["one", "two"]);
    let query = &fake.calls("GET /api/stream")[0].query;
    assert_eq!(query, "request_id=id-7&format=plain&follow=true");
}
