//! Outages of the platform and rejected tokens.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use satellite_sdk::testing::{Fault, MockPlatform, mock_task};
use satellite_sdk::{Context, Task, done};
use serde_json::json;

use crate::faults::counting;

#[test]
fn an_outage_of_an_hour_only_delays_tasks() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "count", json!({})));
    let (builder, clock, runs) = counting(&platform);
    platform.pause();
    let back = platform.clone();
    let hour = Duration::from_secs(3600);
    clock.at(hour, move || back.resume());
    let mut satellite = builder.build().unwrap();
    satellite.run_until_idle().unwrap();
    assert_eq!(platform.status("t"), "done");
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert!(clock.elapsed() < hour + Duration::from_secs(60));
    let tries = clock.waits().len();
    assert!((60..=130).contains(&tries), "{tries} tries in an hour");
}

#[test]
fn a_result_is_delivered_after_an_outage_during_the_task() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "count", json!({})));
    let (builder, clock, runs) = counting(&platform);
    let gone = platform.clone();
    let back = platform.clone();
    clock.at(Duration::from_secs(600), move || back.resume());
    let seen = Arc::clone(&runs);
    let worker = builder.handler("count", move |_: Task, _: &Context| {
        seen.fetch_add(1, Ordering::Relaxed);
        gone.pause();
        done("kept")
    });
    worker.build().unwrap().run_until_idle().unwrap();
    assert_eq!(platform.result("t"), json!({ "result": "kept" }));
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

#[test]
fn a_rejected_token_ends_the_worker_after_one_request() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "count", json!({})));
    platform.revoke();
    let (builder, ..) = counting(&platform);
    let error = builder.build().unwrap().run().unwrap_err();
    assert!(error.is_unauthorized(), "{error}");
    assert_eq!(platform.requests().len(), 1);
}

#[test]
fn a_token_rejected_when_registering_ends_the_worker_after_one_request() {
    let platform = MockPlatform::start();
    platform.revoke();
    let (builder, ..) = counting(&platform);
    let builder = builder
        .base_url("http://edge.example")
        .capability("deploy", json!({}));
    assert!(
        builder
            .build()
            .unwrap()
            .run()
            .unwrap_err()
            .is_unauthorized()
    );
    assert_eq!(platform.requests().len(), 1);
}

#[test]
fn a_user_key_ends_the_worker_too() {
    let platform = MockPlatform::start();
    platform.add_user_key("user");
    let error = platform
        .worker()
        .token("user")
        .handler("echo", |task: satellite_sdk::Task| {
            satellite_sdk::done(task.payload)
        })
        .build()
        .unwrap()
        .run()
        .unwrap_err();
    assert!(error.is_forbidden(), "{error}");
    assert_eq!(platform.requests().len(), 1);
}

#[test]
fn a_failing_registration_is_retried_while_tasks_run() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "count", json!({})));
    platform
        .fault(Fault::Status(422))
        .on("POST", "/pair")
        .times(2);
    let (builder, clock, _) = counting(&platform);
    let mut satellite = builder
        .base_url("http://edge.example")
        .capability("deploy", json!({}))
        .build()
        .unwrap();
    let stop = satellite.stop_handle();
    clock.at(Duration::from_secs(10), move || stop.stop());
    satellite.run().unwrap();
    assert_eq!(platform.status("t"), "done");
    assert_eq!(platform.satellite()["paired"], true);
}
