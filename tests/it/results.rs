//! Results of handlers: conversion, deferral, limits, and reports of the outcome.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use satellite_sdk::testing::{MockPlatform, mock_task};
use satellite_sdk::{Context, Failure, Later, Task, TaskStatus, done};
use serde::Deserialize;
use serde_json::json;

use crate::recorder;
use crate::worker::run;

#[derive(Deserialize)]
struct Nested {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    layers: Vec<u32>,
}

#[test]
fn results_of_any_type_are_sent_as_an_object() {
    let platform = MockPlatform::start();
    for (id, payload) in [
        ("number", json!(7)),
        ("null", json!(null)),
        ("list", json!([1, 2])),
    ] {
        platform.add_task(mock_task(id, "echo", payload));
    }
    let stopped = run(platform
        .worker()
        .handler("echo", |t: Task, _: &Context| done(t.payload)));
    assert_eq!((stopped.done, stopped.failed), (3, 0));
    assert_eq!(platform.result("number"), json!({ "result": 7 }));
    assert_eq!(platform.result("list"), json!({ "result": [1, 2] }));
}

#[test]
fn a_mismatched_payload_fails_with_its_path_and_the_handler_does_not_run() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task(
        "t",
        "train",
        json!({ "model": { "layers": [1, 2, "three"] } }),
    ));
    platform.add_task(mock_task("u", "train", json!({})));
    let runs = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&runs);
    run(platform
        .worker()
        .handler("train", move |task: Task<Nested>, _: &Context| {
            seen.fetch_add(1, Ordering::Relaxed);
            done(task.payload.model.layers)
        }));
    assert_eq!(runs.load(Ordering::Relaxed), 0);
    let result = platform.result("t");
    assert_eq!(result["reason"], "the payload does not fit");
    assert!(
        result["error"]
            .as_str()
            .unwrap()
            .starts_with("payload.model.layers[2]: "),
        "{result}"
    );
    assert!(
        platform.result("u")["error"]
            .as_str()
            .unwrap()
            .starts_with("payload: missing field")
    );
}

#[test]
fn errors_and_panics_fail_the_task_and_the_loop_continues() {
    let platform = MockPlatform::start();
    for (id, task_type) in [
        ("1", "error"),
        ("2", "panic"),
        ("3", "reason"),
        ("4", "good"),
    ] {
        platform.add_task(mock_task(id, task_type, json!({})));
    }
    let stopped = run(platform
        .worker()
        .handler("error", |_: Task, _: &Context| {
            Err::<(), _>("the disk is full")
        })
        .handler("panic", |_: Task, _: &Context| -> Result<(), String> {
            panic!("number {}", 7)
        })
        .handler("reason", |_: Task, _: &Context| {
            Err::<(), _>(Failure::new("healthcheck timeout", "no answer in 30 s"))
        })
        .handler("good", |_: Task, _: &Context| done(())));
    assert_eq!((stopped.done, stopped.failed), (1, 3));
    assert_eq!(platform.result("1")["error"], "the disk is full");
    assert_eq!(
        platform.result("2"),
        json!({ "reason": "the handler panicked", "error": "number 7" })
    );
    assert_eq!(platform.result("3")["reason"], "healthcheck timeout");
    assert_eq!(platform.status("4"), "done");
}

#[test]
fn a_deferred_result_does_not_block_other_tasks() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("1-slow", "slow", json!({})));
    platform.add_task(mock_task("2-quick", "quick", json!({})));
    let open: Arc<Mutex<Vec<Later>>> = Arc::default();
    let (started, polled) = (Arc::clone(&open), platform.clone());
    run(platform
        .worker()
        .handler("slow", move |_: Task, cx: &Context| {
            started.lock().unwrap().extend(cx.later());
            done("this is not the answer")
        })
        .handler("quick", |_: Task, _: &Context| done(()))
        .every(Duration::from_millis(1), move |cx: &Context| {
            assert_eq!(cx.task_id(), None);
            if polled.status("2-quick") == "done" {
                open.lock()
                    .unwrap()
                    .drain(..)
                    .for_each(|later| later.done("warm"));
            }
            done(())
        }));
    assert_eq!(platform.result("1-slow"), json!({ "result": "warm" }));
    assert_eq!(platform.history("1-slow"), ["running", "done"]);
}

#[test]
fn a_dropped_later_fails_its_task() {
    let platform = MockPlatform::start();
    for id in ["dropped", "errs", "fails"] {
        platform.add_task(mock_task(id, id, json!({})));
    }
    run(platform
        .worker()
        .handler("dropped", |_: Task, cx: &Context| {
            drop(cx.later());
            done(())
        })
        .handler("errs", |_: Task, cx: &Context| {
            let _later = cx.later();
            Err::<(), _>("the process did not start")
        })
        .handler("fails", |_: Task, cx: &Context| {
            cx.later().unwrap().fail("the model never came up");
            done(())
        }));
    assert_eq!(platform.result("dropped")["reason"], "no answer");
    assert_eq!(
        platform.result("errs")["reason"],
        "the process did not start"
    );
    assert_eq!(
        platform.result("fails")["reason"],
        "the model never came up"
    );
    for id in ["dropped", "errs", "fails"] {
        assert_eq!(platform.history(id), ["running", "failed"]);
    }
}

#[test]
fn a_deferred_result_can_come_from_another_thread() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "slow", json!({})));
    run(platform
        .worker()
        .poll_interval(Duration::from_secs(3600)) // only the result wakes it
        .handler("slow", |_: Task, cx: &Context| {
            let later = cx.later().unwrap();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(50));
                later.done("from another thread");
            });
            done(())
        })
        .every(Duration::from_millis(20), |_: &Context| done(())));
    assert_eq!(
        platform.result("t"),
        json!({ "result": "from another thread" })
    );
}

#[test]
fn a_task_reported_by_its_handler_is_not_reported_again() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "own", json!({})));
    run(platform
        .worker()
        .handler("own", |task: Task, cx: &Context| {
            cx.platform()
                .update_task_status(&task.id, "completed", "by myself")?;
            done("not this")
        }));
    assert_eq!(platform.history("t"), ["running", "done"]);
    assert_eq!(platform.result("t")["reason"], "by myself");
}

#[test]
fn a_result_over_the_limit_is_truncated_with_a_warning() {
    crate::secrecy::record();
    let platform = MockPlatform::start();
    for id in ["just-fits", "one-too-many", "ten-megabytes", "long-failure"] {
        platform.add_task(mock_task(id, "big", json!({})));
    }
    // {"result":"xx…"}
    let fits = LIMIT - json!({ "result": "" }).to_string().len();
    run(platform
        .worker()
        .handler("big", move |task: Task| match task.id.as_str() {
            "just-fits" => done("x".repeat(fits)),
            "one-too-many" => done("x".repeat(fits + 1)),
            "ten-megabytes" => done("\u{1b}\"".repeat(5 << 20)),
            _ => Err("y".repeat(300 << 10).into()),
        }));
    let warned = |id: &str| {
        let lines = recorder::lines();
        let text = format!("task {id}: its result of ");
        let is_warning = |line: &&String| line.starts_with("WARN") && line.contains(&text);
        lines.iter().filter(is_warning).count()
    };
    assert_eq!(
        platform.result("just-fits"),
        json!({ "result": "x".repeat(fits) })
    );
    assert_eq!(warned("just-fits"), 0);
    for (id, bytes) in [("one-too-many", LIMIT + 1), ("ten-megabytes", 0)] {
        let result = platform.result(id);
        assert_eq!(result["truncated"], true, "{id}");
        assert!(bytes == 0 || result["bytes"] == bytes, "{id}");
        assert!(result["head"].as_str().unwrap().starts_with("{\"result\":"));
        let length = result.to_string().len();
        assert!((LIMIT - 6..=LIMIT).contains(&length), "{id}: {length}");
        assert_eq!(warned(id), 1, "{id}");
    }
    let failure = platform.result("long-failure");
    assert_eq!(platform.status("long-failure"), "failed");
    assert!(failure["error"].as_str().unwrap().starts_with("yyy"));
    assert!(failure["bytes"].as_u64().unwrap() > 600 << 10, "both texts");
    assert_eq!(failure.to_string().len(), LIMIT);
    assert_eq!(warned("long-failure"), 1);
}

/// The largest result that is sent without truncation, in bytes of JSON.
const LIMIT: usize = 256 * 1024;

#[test]
fn on_report_receives_every_report() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "echo", json!({ "a": 1 })));
    let reports = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&reports);
    run(platform
        .worker()
        .handler("echo", |t: Task, _: &Context| done(t.payload))
        .on_report(move |report| seen.lock().unwrap().push(report.clone())));
    let reports = reports.lock().unwrap();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].status, TaskStatus::Done);
    assert_eq!(reports[0].result, Some(json!({ "a": 1 })));
}
