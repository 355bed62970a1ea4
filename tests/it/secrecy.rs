//! The token is nowhere to be seen: looked for at trace level.

use std::time::Duration;

use satellite_sdk::testing::{Fault, MockPlatform, mock_task};
use satellite_sdk::{Builder, Context, Task, current_task_id, done};
use serde_json::json;

use crate::child::{command, start};
use crate::recorder;

#[test]
fn the_token_is_in_no_log_line_no_debug_output_and_no_error() {
    recorder::record();
    let platform = MockPlatform::start();
    let token = platform.token();
    platform.add_task(mock_task("t", "fail", json!({})));
    let mut shown = Vec::new();
    for fault in [
        Fault::Status(500),
        Fault::Reset,
        Fault::NotJson,
        Fault::HalfBody,
    ] {
        platform.fault(fault).times(1);
        let builder = platform.worker().max_backoff(Duration::from_millis(10));
        let builder = builder.handler("fail", |_: Task, cx: &Context| {
            Err::<(), _>(format!("{cx:?} {:?}", cx.platform()))
        });
        shown.push(format!("{builder:?}"));
        let mut satellite = builder.build().unwrap();
        shown.push(format!("{satellite:?} {:?}", satellite.platform()));
        satellite.run_until_idle().unwrap();
    }
    platform.revoke();
    shown.push(format!(
        "{:?}",
        platform.worker().build().unwrap().run().unwrap_err()
    ));
    let error = Builder::new()
        .token(format!("{token}\u{7}"))
        .build()
        .unwrap_err();
    shown.push(error.to_string());

    assert!(recorder::lines().len() > 50, "trace level is on");
    for text in recorder::lines().iter().chain(&shown) {
        assert!(!text.contains(&token), "{text}");
    }
}

#[test]
fn the_token_is_in_neither_the_arguments_nor_the_log_of_a_process() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "spawn", json!({})));
    let mut command = command(&platform);
    command.env("RUST_LOG", "trace");
    let mut satellite = start(command);
    let line = satellite.line("child ");
    let child = line.rsplit(' ').next().unwrap().to_owned();
    for pid in [satellite.pid().to_string(), child] {
        let arguments = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(!arguments.contains(&platform.token()));
    }
    satellite.signal("TERM");
    satellite.end();
    assert!(
        satellite
            .log
            .iter()
            .all(|line| !line.contains(&platform.token()))
    );
}

#[test]
fn each_log_line_of_a_handler_bears_the_tasks_id_whoever_writes_it() {
    recorder::record();
    let platform = MockPlatform::start();
    platform.add_task(mock_task("task-4711", "talk", json!({})));
    let worker = platform.worker().handler("talk", |_: Task, cx: &Context| {
        log::info!("a marked line");
        let _ = cx.platform().list_deployments(); // ureq logs as well
        done(current_task_id())
    });
    worker.build().unwrap().run_until_idle().unwrap();
    assert_eq!(
        platform.result("task-4711"),
        json!({ "result": "task-4711" })
    );
    let lines = recorder::lines();
    assert!(
        lines
            .iter()
            .any(|l| l.ends_with("[task task-4711] a marked line"))
    );
    assert!(
        lines
            .iter()
            .any(|l| l.contains("ureq") && l.contains("[task task-4711]"))
    );
    assert_eq!(current_task_id(), None);
}

#[test]
fn empty_polls_are_told_at_debug_level_only() {
    recorder::record();
    let platform = MockPlatform::start();
    platform.worker().build().unwrap().run_until_idle().unwrap();
    let about: Vec<_> = recorder::lines()
        .into_iter()
        .filter(|line| line.contains("no task waits"))
        .collect();
    assert!(!about.is_empty() && about.iter().all(|line| line.starts_with("DEBUG")));
}
