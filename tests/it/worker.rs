//! The worker loop: polls, the order of tasks, periodic work and registration.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use satellite_sdk::testing::{Fault, ManualClock, MockPlatform, mock_task};
use satellite_sdk::{Builder, Context, DeployCapability, OnOrphan, Task, done};
use serde_json::{Value, json};

use crate::child;

pub fn run(builder: Builder) -> satellite_sdk::Stopped {
    builder.build().unwrap().run_until_idle().unwrap()
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
