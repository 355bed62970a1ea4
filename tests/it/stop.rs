//! Sends real signals to a real process.

use std::path::Path;
use std::time::Duration;

use satellite_sdk::testing::{Fault, MockPlatform, mock_task};
use serde_json::json;

use crate::child::{bare_command, command, satellite, start};

/// Generous for a busy machine; the benchmark measures the real time.
const AT_ONCE: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(20);

#[test]
fn sigterm_when_idle_exits_at_once_with_0() {
    for signal in ["TERM", "INT"] {
        let platform = MockPlatform::start();
        let mut command = command(&platform);
        command.env("LUML_POLL_INTERVAL_SEC", "3600");
        let mut satellite = start(command);
        satellite.line("polls");
        while platform.requests().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(50));
        satellite.signal(signal);
        let (status, took) = satellite.end();
        assert_eq!(status.code(), Some(0));
        assert!(took < AT_ONCE, "{took:?}");
        let text = format!("SIG{signal}: stopping");
        let lines = satellite.log.iter().filter(|line| line.contains(&text));
        assert_eq!(lines.count(), 1, "{:#?}", satellite.log);
    }
}

#[test]
fn sigterm_interrupts_a_poll() {
    for drain in [None, Some("10000")] {
        let platform = MockPlatform::start();
        platform.fault(Fault::Stall(TIMEOUT)).times(1);
        let mut command = command(&platform);
        command.envs(drain.map(|ms| ("CHILD_DRAIN_MS", ms)));
        let mut satellite = start(command);
        satellite.line("polls");
        std::thread::sleep(Duration::from_millis(300));
        satellite.signal("TERM");
        let (status, took) = satellite.end();
        assert_eq!(status.code(), Some(0));
        assert!(took < AT_ONCE, "{took:?}");
    }
}

#[test]
fn sigterm_in_a_handler_ends_the_process_and_its_children_at_once() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "spawn", json!({})));
    let mut satellite = satellite(&platform);
    let line = satellite.line("child ");
    let child = line.rsplit(' ').next().unwrap().to_owned();
    assert!(Path::new("/proc").join(&child).exists());
    satellite.signal("TERM");
    let (status, took) = satellite.end();
    assert_eq!(status.code(), Some(0));
    assert!(took < AT_ONCE, "{took:?}");
    assert!(!Path::new("/proc").join(&child).exists(), "{child} lives");
    assert_eq!(platform.status("t"), "running", "the spec's default");
}

#[test]
fn a_drain_finishes_and_reports_the_running_task_and_claims_no_more() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("first", "sleep", json!({ "ms": 700 })));
    platform.add_task(mock_task("second", "sleep", json!({ "ms": 1 })));
    let mut command = command(&platform);
    command.env("CHILD_DRAIN_MS", "15000");
    let mut satellite = start(command);
    satellite.line("task first (sleep) started");
    satellite.signal("TERM");
    let (status, _) = satellite.end();
    assert_eq!(status.code(), Some(0), "{:#?}", satellite.log);
    assert_eq!(platform.status("first"), "done");
    assert_eq!(platform.status("second"), "pending");
}

#[test]
fn a_drain_waits_for_deferred_results() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "later", json!({ "ms": 500 })));
    let mut command = command(&platform);
    command.env("CHILD_DRAIN_MS", "20000");
    let mut satellite = start(command);
    satellite.line("task t (later) started");
    satellite.signal("TERM");
    let (status, took) = satellite.end();
    assert_eq!(status.code(), Some(0));
    assert_eq!(platform.status("t"), "done");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_drain_delivers_results_after_an_outage() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "sleep", json!({ "ms": 300 })));
    let mut command = command(&platform);
    command.env("CHILD_DRAIN_MS", "20000");
    let mut satellite = start(command);
    satellite.line("task t (sleep) started");
    platform
        .fault(Fault::Status(503))
        .on("POST", "/status")
        .times(2);
    satellite.signal("TERM");
    let (status, _) = satellite.end();
    assert_eq!(status.code(), Some(0));
    assert_eq!(platform.status("t"), "done");
}

#[test]
fn a_drain_ends_at_its_deadline() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "spawn", json!({})));
    let mut command = command(&platform);
    command.env("CHILD_DRAIN_MS", "300");
    let mut satellite = start(command);
    satellite.line("child ");
    satellite.signal("TERM");
    let (status, took) = satellite.end();
    assert_eq!(status.code(), Some(0));
    assert!(took > Duration::from_millis(250) && took < Duration::from_millis(300) + AT_ONCE);
}

#[test]
fn two_signals_in_quick_succession_count_as_one() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "sleep", json!({ "ms": 400 })));
    let mut command = command(&platform);
    command.env("CHILD_DRAIN_MS", "60000");
    let mut satellite = start(command);
    satellite.line("task t (sleep) started");
    satellite.signal("TERM");
    satellite.signal("TERM");
    assert_eq!(satellite.end().0.code(), Some(0));
    assert_eq!(platform.status("t"), "done");
}

#[test]
fn the_second_signal_ends_a_drain_at_once() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "sleep", json!({ "ms": 60_000 })));
    let mut command = command(&platform);
    command.env("CHILD_DRAIN_MS", "60000");
    let mut satellite = start(command);
    satellite.line("task t (sleep) started");
    satellite.signal("TERM");
    std::thread::sleep(Duration::from_millis(300));
    satellite.signal("TERM");
    let (status, took) = satellite.end();
    assert_eq!(status.code(), Some(0));
    assert!(took < AT_ONCE, "{took:?}");
    assert_eq!(platform.status("t"), "running");
    let log = satellite.log.join("\n");
    assert!(
        log.contains("SIGTERM: stopping; running tasks have 60.0s to finish"),
        "{log}"
    );
    assert!(
        log.contains("a second signal (SIGTERM) ends the process"),
        "{log}"
    );
}

#[test]
fn a_rejected_token_exits_with_77_after_exactly_one_request() {
    let platform = MockPlatform::start();
    platform.revoke();
    let mut satellite = satellite(&platform);
    let (status, _) = satellite.end();
    assert_eq!(status.code(), Some(77));
    assert_eq!(platform.requests().len(), 1);
    let log = satellite.log.join("\n");
    assert!(log.contains("401: Not authenticated"), "{log}");
}

#[test]
fn wrong_settings_exit_with_78_and_all_are_named() {
    let wrong = [
        ("LUML_PLATFORM_URL", "platform"),
        ("LUML_POLL_INTERVAL_SEC", "soon"),
        ("LUML_HEALTH_PORT", "99999"),
    ];
    let mut command = bare_command();
    command.env_remove("LUML_SATELLITE_TOKEN").envs(wrong);
    let mut satellite = start(command);
    let (status, _) = satellite.end();
    assert_eq!(status.code(), Some(78));
    let log = satellite.log.join("\n");
    assert!(log.contains("4 settings are wrong"), "{log}");
    for name in wrong
        .map(|(name, _)| name)
        .iter()
        .chain(&["LUML_SATELLITE_TOKEN"])
    {
        assert!(log.contains(name), "{name} is missing in {log}");
    }
}

#[test]
fn a_token_from_a_file_or_a_systemd_credential_works_too() {
    let folder = satellite_sdk::extras::temp_directory().unwrap();
    for (variable, path) in [
        ("LUML_SATELLITE_TOKEN_FILE", folder.path().join("token")),
        ("CREDENTIALS_DIRECTORY", folder.path().to_owned()),
    ] {
        let platform = MockPlatform::start();
        for name in ["token", "LUML_SATELLITE_TOKEN"] {
            std::fs::write(folder.path().join(name), format!("{}\n", platform.token())).unwrap();
        }
        platform.add_task(mock_task("t", "echo", json!({ "a": 1 })));
        let mut command = command(&platform);
        command
            .env_remove("LUML_SATELLITE_TOKEN")
            .env(variable, path);
        let _satellite = start(command);
        assert!(platform.wait_for("t", "done", TIMEOUT));
    }
}
