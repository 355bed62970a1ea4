//! The closures that can be handlers and periodic work.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use satellite_sdk::testing::{MockPlatform, mock_task};
use satellite_sdk::{Context, Task, done};
use serde_json::json;

#[test]
fn a_handler_keeps_its_state_between_tasks() {
    let platform = MockPlatform::start();
    for id in ["t-1", "t-2", "t-3"] {
        platform.add_task(mock_task(id, "count", json!({})));
    }
    let mut count = 0;
    let worker = platform.worker().handler("count", move |_: Task| {
        count += 1;
        done(count)
    });
    worker.build().unwrap().run_until_idle().unwrap();
    let results = ["t-1", "t-2", "t-3"].map(|id| platform.result(id)["result"].clone());
    assert_eq!(results, [json!(1), json!(2), json!(3)]);
}

#[test]
fn an_async_handler_keeps_its_state_between_tasks() {
    let platform = MockPlatform::start();
    for id in ["t-1", "t-2"] {
        platform.add_task(mock_task(id, "count", json!({})));
    }
    let mut count = 0;
    let worker =
        platform
            .worker()
            .async_handler("count", pollster::block_on, move |_: Task, _: Context| {
                count += 1;
                let now = count;
                async move { done(now) }
            });
    worker.build().unwrap().run_until_idle().unwrap();
    assert_eq!(platform.result("t-2"), json!({ "result": 2 }));
}

#[test]
fn a_handler_keeps_its_state_after_a_panic() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t-1", "once", json!({})));
    platform.add_task(mock_task("t-2", "once", json!({})));
    let mut calls = 0;
    let worker = platform.worker().handler("once", move |_: Task| {
        calls += 1;
        assert!(calls > 1, "the first call");
        done(calls)
    });
    worker.build().unwrap().run_until_idle().unwrap();
    assert_eq!(platform.status("t-1"), "failed");
    assert_eq!(platform.result("t-2"), json!({ "result": 2 }));
}

#[test]
fn periodic_work_may_return_nothing_or_a_result() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t-1", "echo", json!({})));
    let plain = Arc::new(AtomicU32::new(0));
    let checked = Arc::new(Mutex::new(Vec::new()));
    let (counts, sees) = (Arc::clone(&plain), Arc::clone(&checked));
    let interval = Duration::from_secs(3600);
    let worker = platform
        .worker()
        .handler("echo", |task: Task| done(task.payload))
        .every(interval, move |_: &Context| {
            counts.fetch_add(1, Ordering::Relaxed);
        })
        .every(interval, move |cx: &Context| {
            let deployments = cx.platform().list_deployments()?;
            sees.lock().unwrap().push(deployments.len());
            done(())
        });
    worker.build().unwrap().run_until_idle().unwrap();
    assert_eq!(plain.load(Ordering::Relaxed), 1);
    assert_eq!(*checked.lock().unwrap(), [0]);
}
