//! Faults of the platform and of the network: no task is lost and none runs twice.
//! Time is simulated.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use satellite_sdk::testing::{Fault, ManualClock, MockPlatform, mock_task};
use satellite_sdk::{Builder, Context, Task, done};
use serde_json::json;

/// A worker that counts its runs, with a simulated clock.
pub fn counting(platform: &MockPlatform) -> (Builder, ManualClock, Arc<AtomicUsize>) {
    let clock = ManualClock::default();
    let runs = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&runs);
    let builder =
        platform
            .worker()
            .clock(clock.clone())
            .handler("count", move |task: Task, _: &Context| {
                seen.fetch_add(1, Ordering::Relaxed);
                done(task.payload)
            });
    (builder, clock, runs)
}

fn assert_schedule(waits: &[Duration], expected: &[u64]) {
    assert_eq!(waits.len(), expected.len(), "{waits:?}");
    for (wait, seconds) in waits.iter().zip(expected) {
        let whole = Duration::from_secs(*seconds);
        assert!(
            *wait >= whole / 2 && *wait <= whole,
            "{wait:?} for {seconds} s"
        );
    }
}

#[test]
fn every_poll_fault_is_retried_after_1_2_4_seconds_up_to_the_maximum() {
    let faults = [
        Fault::Status(500),
        Fault::Status(502),
        Fault::Status(503),
        Fault::Status(504),
        Fault::Status(429),
        Fault::Status(404),
        Fault::Reset,
        Fault::Drop,
        Fault::HalfBody,
        Fault::NotJson,
        Fault::Empty,
        Fault::Redirect("http://elsewhere.example/".into()),
    ];
    for fault in faults {
        let platform = MockPlatform::start();
        platform.add_task(mock_task("t", "count", json!({})));
        platform.fault(fault.clone()).on("GET", "/tasks").times(8);
        let (builder, clock, runs) = counting(&platform);
        builder.build().unwrap().run_until_idle().unwrap();
        assert_schedule(&clock.waits(), &[1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(platform.history("t"), ["running", "done"], "{fault:?}");
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn retry_after_is_honoured_up_to_the_maximum() {
    let platform = MockPlatform::start();
    platform
        .fault(Fault::RetryAfter {
            status: 429,
            seconds: 30,
        })
        .times(1);
    platform
        .fault(Fault::RetryAfter {
            status: 503,
            seconds: 3600,
        })
        .times(1);
    let (builder, clock, _) = counting(&platform);
    builder.build().unwrap().run_until_idle().unwrap();
    assert_eq!(
        clock.waits(),
        [Duration::from_secs(30), Duration::from_secs(60)]
    );
}

#[test]
fn every_claim_fault_leads_to_exactly_one_run() {
    for fault in [
        Fault::Status(503),
        Fault::Status(500),
        Fault::Reset,
        Fault::Drop,
        Fault::DoneButNoAnswer,
        Fault::HalfBody,
        Fault::RetryAfter {
            status: 429,
            seconds: 5,
        },
    ] {
        for guarded in [false, true] {
            let platform = MockPlatform::start();
            platform.claim_guard(guarded);
            for id in ["a", "b"] {
                platform.add_task(mock_task(id, "count", json!({})));
            }
            platform
                .fault(fault.clone())
                .on("POST", "/a/status")
                .times(2);
            let (builder, _, runs) = counting(&platform);
            builder.build().unwrap().run_until_idle().unwrap();
            for id in ["a", "b"] {
                assert_eq!(platform.status(id), "done", "{fault:?}, guarded: {guarded}");
            }
            assert_eq!(
                runs.load(Ordering::Relaxed),
                2,
                "{fault:?}, guarded: {guarded}"
            );
        }
    }
}

#[test]
fn every_report_fault_is_retried_until_the_result_is_delivered() {
    for fault in [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Reset,
        Fault::Drop,
        Fault::DoneButNoAnswer,
        Fault::HalfBody,
        Fault::RetryAfter {
            status: 429,
            seconds: 5,
        },
    ] {
        let platform = MockPlatform::start();
        platform.add_task(mock_task("t", "count", json!({ "n": 7 })));
        let (builder, _, runs) = counting(&platform);
        let broken = platform.clone();
        let worker = builder.handler("count", {
            let runs = Arc::clone(&runs);
            let fault = fault.clone();
            move |task: Task, _: &Context| {
                runs.fetch_add(1, Ordering::Relaxed);
                broken.fault(fault.clone()).on("POST", "/status").times(5);
                done(task.payload)
            }
        });
        let stopped = worker.build().unwrap().run_until_idle().unwrap();
        assert_eq!((stopped.done, stopped.undelivered), (1, 0), "{fault:?}");
        assert_eq!(platform.status("t"), "done", "{fault:?}");
        assert_eq!(runs.load(Ordering::Relaxed), 1, "{fault:?}");
        let reported = platform.results_reported("t");
        let contents: Vec<_> = reported.iter().filter(|r| !r.is_null()).collect();
        assert!(!contents.is_empty());
        for result in contents {
            assert_eq!(
                *result,
                json!({ "n": 7 }),
                "{fault:?}: one content, however often"
            );
        }
    }
}

#[test]
fn a_delayed_report_does_not_block_other_tasks() {
    let platform = MockPlatform::start();
    for id in ["a", "b", "c"] {
        platform.add_task(mock_task(id, "count", json!({})));
    }
    let (builder, clock, _) = counting(&platform);
    let broken = platform.clone();
    platform
        .fault(Fault::Status(503))
        .on("POST", "/a/status")
        .times(0);
    let worker = builder.handler("count", move |task: Task, _: &Context| {
        if task.id == "a" {
            broken
                .fault(Fault::Status(503))
                .on("POST", "/a/status")
                .times(4);
        }
        done(())
    });
    worker.build().unwrap().run_until_idle().unwrap();
    let order: Vec<_> = platform
        .requests()
        .into_iter()
        .filter(|r| r.method == "POST" && r.status == 200)
        .map(|r| r.path.split('/').nth(4).unwrap().to_owned())
        .collect();
    assert_eq!(
        order,
        ["a", "b", "b", "c", "c", "a"],
        "claims and reports; a's comes last"
    );
    // Retried at the first successful response, then after about 1 s, 2 s and 4 s.
    assert!(clock.elapsed() > Duration::from_secs(3));
}

#[test]
fn a_result_that_the_platform_rejects_does_not_stop_the_worker() {
    let platform = MockPlatform::start();
    for id in ["a", "b"] {
        platform.add_task(mock_task(id, "count", json!({})));
    }
    let (builder, ..) = counting(&platform);
    let broken = platform.clone();
    let worker = builder.handler("count", move |task: Task, _: &Context| {
        if task.id == "a" {
            broken
                .fault(Fault::Status(422))
                .on("POST", "/a/status")
                .times(1);
        }
        done(())
    });
    worker.build().unwrap().run_until_idle().unwrap();
    assert_eq!(platform.status("b"), "done");
    assert_eq!(
        platform.status("a"),
        "done",
        "the status arrives without the result"
    );
    assert_eq!(platform.result("a")["reason"], "the result was refused");
}

#[test]
fn a_response_of_a_proxy_is_not_mistaken_for_the_platforms() {
    for fault in [
        Fault::Status(521),
        Fault::Status(507),
        Fault::Status(405),
        Fault::Status(404),
        Fault::Redirect("http://portal.example/".into()),
        Fault::NotJson,
        Fault::Empty,
    ] {
        let platform = MockPlatform::start();
        platform.add_task(mock_task("t", "count", json!({ "n": 7 })));
        let (builder, _, runs) = counting(&platform);
        platform.fault(fault.clone()).on("POST", "/status").times(2); // the claim
        let broken = platform.clone();
        let seen = Arc::clone(&runs);
        let again = fault.clone();
        let worker = builder.handler("count", move |task: Task| {
            seen.fetch_add(1, Ordering::Relaxed);
            broken.fault(again.clone()).on("POST", "/status").times(3); // the report
            done(task.payload)
        });
        let stopped = worker.build().unwrap().run_until_idle().unwrap();
        if matches!(fault, Fault::Status(404)) {
            continue; // the platform itself says that the task is gone
        }
        assert_eq!((stopped.done, stopped.undelivered), (1, 0), "{fault:?}");
        assert_eq!(platform.result("t"), json!({ "n": 7 }), "{fault:?}");
        assert_eq!(runs.load(Ordering::Relaxed), 1, "{fault:?}");
    }
}

#[test]
fn a_stalled_response_is_interrupted_by_a_stop() {
    // Real time: the stop interrupts the stall long before the timeout of 30 s.
    let platform = MockPlatform::start();
    platform
        .fault(Fault::Stall(Duration::from_secs(30)))
        .times(1);
    let mut satellite = platform
        .worker()
        .handler("echo", |task: satellite_sdk::Task| {
            satellite_sdk::done(task.payload)
        })
        .build()
        .unwrap();
    let stop = satellite.stop_handle();
    let started = std::time::Instant::now();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        stop.stop();
    });
    satellite.run().unwrap();
    stopper.join().unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
}
