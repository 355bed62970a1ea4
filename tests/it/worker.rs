//! The worker loop: handlers, their results, and the order of tasks.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use satellite_sdk::testing::{Fault, ManualClock, MockPlatform, mock_task};
use satellite_sdk::{
    Builder, Context, DeployCapability, Failure, Later, OnOrphan, Task, TaskStatus, done,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{child, recorder};

fn run(builder: Builder) -> satellite_sdk::Stopped {
    builder.build().unwrap().run_until_idle().unwrap()
}

#[derive(Deserialize)]
struct Nested {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    layers: Vec<u32>,
}

#[test]
fn a_handler_in_five_lines() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "greet", json!({ "name": "Ada" })));
    run(platform
        .worker()
        .handler("greet", |task: Task, _: &Context| done(task.payload)));
    assert_eq!(platform.status("t"), "done");
    assert_eq!(platform.result("t"), json!({ "name": "Ada" }));
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
fn an_unknown_type_fails_unless_it_is_filtered_out() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "teleport", json!({})));
    let worker = || {
        platform
            .worker()
            .handler("walk", |_: Task, _: &Context| done(()))
    };
    run(worker().supported_task_types(["walk"]));
    assert_eq!(platform.status("t"), "pending");
    run(worker());
    assert_eq!(platform.status("t"), "failed");
    let error = platform.result("t")["error"].as_str().unwrap().to_owned();
    assert!(
        error.contains("teleport") && error.contains("walk"),
        "{error}"
    );
}

#[test]
fn tasks_run_in_creation_order() {
    let platform = MockPlatform::start();
    for (id, created) in [("c", "3"), ("a", "1"), ("b", "2"), ("b0", "2")] {
        platform.add_task(json!({ "id": id, "type": "t", "payload": {}, "created_at": created }));
    }
    let order: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&order);
    run(platform
        .worker()
        .handler("t", move |task: Task, _: &Context| {
            seen.lock().unwrap().push(task.id);
            done(())
        }));
    assert_eq!(*order.lock().unwrap(), ["a", "b", "b0", "c"]);
}

#[test]
fn polls_at_once_after_a_task_and_otherwise_at_the_interval() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "echo", json!({})));
    let clock = ManualClock::default();
    let interval = Duration::from_secs(2);
    let mut satellite = platform
        .worker()
        .clock(clock.clone())
        .poll_interval(interval)
        .handler("echo", |_: Task, _: &Context| done(()))
        .build()
        .unwrap();
    let stop = satellite.stop_handle();
    clock.at(Duration::from_secs(60), move || stop.stop());
    satellite.run().unwrap();
    // Poll, claim, report, poll: no wait before the first empty one.
    let polls = platform
        .requests()
        .iter()
        .filter(|r| r.method == "GET")
        .count();
    assert!((29..=36).contains(&polls), "{polls} polls in a minute");
    for wait in clock.waits() {
        assert!(
            wait >= interval.mul_f64(0.9) && wait <= interval.mul_f64(1.1),
            "{wait:?}"
        );
    }
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
fn an_async_handler_runs_on_the_users_own_block_on() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "greet", json!({ "name": "Ada" })));
    run(platform.worker().async_handler(
        "greet",
        pollster::block_on,
        async |task: Task<Value>, cx: Context| {
            let id = cx.task_id().unwrap().to_owned();
            std::future::ready(()).await;
            done(json!({ "id": id, "name": task.payload["name"] }))
        },
    ));
    assert_eq!(platform.result("t"), json!({ "id": "t", "name": "Ada" }));
}

#[test]
fn two_thousand_tasks_in_one_poll_each_run_once() {
    let platform = MockPlatform::start();
    platform.claim_guard(true);
    for n in 0..2000 {
        platform.add_task(mock_task(format!("t{n}"), "count", json!({ "n": n })));
    }
    let runs = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&runs);
    let stopped = run(platform
        .worker()
        .handler("count", move |_: Task, _: &Context| {
            seen.fetch_add(1, Ordering::Relaxed);
            done(())
        }));
    assert_eq!(
        (stopped.done, stopped.failed, stopped.undelivered),
        (2000, 0, 0)
    );
    assert_eq!(runs.load(Ordering::Relaxed), 2000);
    assert_eq!(platform.connections(), 1);
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
fn one_connection_serves_a_hundred_polls() {
    let platform = MockPlatform::start();
    let clock = ManualClock::default();
    let mut satellite = platform
        .worker()
        .handler("echo", |task: satellite_sdk::Task| {
            satellite_sdk::done(task.payload)
        })
        .clock(clock.clone())
        .build()
        .unwrap();
    let stop = satellite.stop_handle();
    clock.at(Duration::from_millis(1100), move || stop.stop());
    satellite.run().unwrap();
    let polls = platform.requests().len();
    assert!(polls >= 100, "{polls}");
    assert_eq!(platform.connections(), 1);
}

#[test]
fn polls_start_no_threads() {
    let platform = MockPlatform::start();
    let mut command = child::command(&platform);
    // A host name, so that it must be resolved.
    let url = platform.url().replace("127.0.0.1", "localhost");
    command
        .env("LUML_PLATFORM_URL", url)
        .env("LUML_POLL_INTERVAL_SEC", "0.01");
    let satellite = child::start(command);
    let polls = |n: usize| {
        while platform.requests().len() < n {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    polls(10);
    let threads = threads(satellite.pid());
    let mut new: BTreeSet<u32> = BTreeSet::new();
    for n in 11..=110 {
        polls(n);
        new.extend(self::threads(satellite.pid()).difference(&threads));
    }
    assert_eq!(new, BTreeSet::new(), "threads that came during 100 polls");
}

fn threads(pid: u32) -> BTreeSet<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let ids = tasks.map(|task| task.unwrap().file_name().into_string().unwrap());
    ids.map(|id| id.parse().unwrap()).collect()
}

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

#[test]
fn registration_sends_the_handlers_capabilities_and_requires_a_base_url() {
    let platform = MockPlatform::start();
    let worker = || {
        platform
            .worker()
            .handler("deploy", |_: Task, _: &Context| done(()))
    };
    run(worker());
    assert!(platform.satellite().is_null());
    run(worker().base_url("http://edge.example:8000").slug("edge"));
    let satellite = platform.satellite();
    assert_eq!(satellite["paired"], true);
    assert_eq!(
        satellite["capabilities"],
        json!({ "deploy": { "version": 1 } })
    );
    assert!(!platform.choosable_for("pyfunc"));
    let deploy = DeployCapability::new(["pyfunc"]);
    run(worker()
        .base_url("http://edge.example:8000")
        .capability("deploy", deploy));
    assert!(platform.choosable_for("pyfunc") && !platform.choosable_for("pipeline"));
    assert_eq!(
        satellite["base_url"]
            .as_str()
            .unwrap()
            .trim_end_matches('/'),
        "http://edge.example:8000"
    );
}

#[test]
fn periodic_work_runs_again_after_an_error_or_a_panic() {
    let platform = MockPlatform::start();
    let clock = ManualClock::default();
    let rounds = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&rounds);
    let mut satellite = platform
        .worker()
        .clock(clock.clone())
        .poll_interval(Duration::from_secs(3600))
        .handler("echo", |task: satellite_sdk::Task| {
            satellite_sdk::done(task.payload)
        })
        .every(Duration::from_secs(60), move |_: &Context| {
            match seen.fetch_add(1, Ordering::Relaxed) {
                0 => Err("the first time it fails"),
                1 => panic!("the second run panics"),
                _ => Ok(()),
            }
        })
        .build()
        .unwrap();
    let stop = satellite.stop_handle();
    clock.at(Duration::from_secs(600), move || stop.stop());
    satellite.run().unwrap();
    assert_eq!(rounds.load(Ordering::Relaxed), 10);
}

#[test]
fn a_long_task_list_does_not_starve_periodic_work() {
    let platform = MockPlatform::start();
    for n in 0..50 {
        platform.add_task(mock_task(format!("t{n}"), "echo", json!({})));
    }
    let rounds = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&rounds);
    run(platform
        .worker()
        .handler("echo", |_: Task, _: &Context| done(()))
        .every(Duration::ZERO, move |_: &Context| {
            seen.fetch_add(1, Ordering::Relaxed);
            done(())
        }));
    assert!(rounds.load(Ordering::Relaxed) >= 50);
}

#[test]
fn tasks_claimed_by_another_satellite_are_skipped() {
    let platform = MockPlatform::start();
    platform.claim_guard(true);
    platform.add_task(mock_task("t", "echo", json!({})));
    platform
        .fault(Fault::Status(409))
        .on("POST", "/status")
        .times(1);
    let stopped = run(platform
        .worker()
        .handler("echo", |_: Task, _: &Context| done(())));
    assert_eq!(stopped.done + stopped.failed, 0);
    assert_eq!(platform.status("t"), "pending");
}

#[test]
fn orphaned_tasks_are_left_failed_or_rerun() {
    for (on_orphan, expected) in [
        (OnOrphan::Leave, "running"),
        (OnOrphan::Fail, "failed"),
        (OnOrphan::Rerun, "done"),
    ] {
        let platform = MockPlatform::start();
        platform.add_task(mock_task("t", "echo", json!({ "a": 1 })));
        platform.client().claim_task("t").unwrap(); // and then it was killed
        platform
            .fault(Fault::Status(503))
            .on("GET", "/tasks")
            .times(1);
        let worker = platform.worker().clock(ManualClock::default());
        run(worker
            .on_orphan(on_orphan)
            .handler("echo", |task: Task, _: &Context| done(task.payload)));
        assert_eq!(platform.status("t"), expected);
    }
}

#[test]
fn the_readme_program_handles_existing_task_types() {
    let readme = include_str!("../../README.md");
    let program = readme.split("```rust,no_run").nth(1).unwrap();
    let program = program.split("```").next().unwrap();
    let handlers = program.split("handler(\"").skip(1);
    let types: Vec<&str> = handlers.filter_map(|h| h.split('"').next()).collect();
    assert_eq!(types, ["deploy", "undeploy"]);
}
