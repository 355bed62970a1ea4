//! What is logged: by default, in one line each, and never in another's words.

use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use satellite_sdk::extras::temp_directory;
use satellite_sdk::testing::{Fault, ManualClock, MockPlatform, mock_task};
use satellite_sdk::{Builder, Context, Exit, Task, done};
use serde_json::json;

use crate::door::{Asks, Door, End, Passage};
use crate::{child, recorder};

const PATIENCE: Duration = Duration::from_secs(30);

/// Each part would be a line of its own, or command a terminal, or set a priority.
const FORGERY: &str = "<0>forged\n<0>forged\r\n12:00:00.000Z ERROR forged\u{85}forged\
                       \u{2028}forged\u{1b}[2J\u{9b}2J\u{202e}\u{7}";

/// A program as in the README: does nothing when it is run as a test among others.
#[test]
fn program() {
    if std::env::var_os("LOGS_PROGRAM").is_none() {
        return;
    }
    satellite_sdk::log_to_stderr();
    let exit: Exit = Builder::new()
        .handler("echo", |task: Task| done(task.payload))
        .handler("log", |task: Task| {
            log::info!("{}", task.payload["text"].as_str().unwrap_or_default());
            done(())
        })
        .handler("fail", |task: Task| -> Result<(), String> {
            Err(task.payload["text"].as_str().unwrap_or_default().into())
        })
        .handler("panic", |task: Task| -> Result<(), String> {
            panic!("{}", task.payload["text"].as_str().unwrap_or_default())
        })
        .handler("problem", |task: Task, cx: &Context| {
            let text = task.payload["text"].as_str().unwrap_or_default();
            cx.health().problem(text, text);
            done(())
        })
        .run();
    std::process::exit(exit.code().into());
}

fn command(platform: &str, token: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "logs::program",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("LOGS_PROGRAM", "1")
        .env("LUML_PLATFORM_URL", platform)
        .env("LUML_SATELLITE_TOKEN", token)
        .env("LUML_HEALTH_PORT", "0")
        .env("LUML_POLL_INTERVAL_SEC", "0.05")
        .env("LUML_MAX_BACKOFF_SEC", "0.05");
    for name in [
        "RUST_LOG",
        "RUST_BACKTRACE",
        "JOURNAL_STREAM",
        "LUML_STATE_DIR",
        "STATE_DIRECTORY",
    ] {
        command.env_remove(name);
    }
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

#[test]
fn the_readmes_program_shows_its_warnings_without_being_asked() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t-1", "nobody's", json!({})));
    platform.fault(Fault::Status(503)).times(1);
    let mut satellite = child::start(command(&platform.url(), &platform.token()));
    let line = satellite.line("polling again in");
    assert!(line.contains(" WARN "), "{line}");
    let line = satellite.line("task t-1 failed");
    assert!(line.contains(" WARN "), "{line}");
}

#[test]
fn rust_log_makes_the_readmes_program_quieter() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t-1", "nobody's", json!({})));
    let mut command = command(&platform.url(), &platform.token());
    command.env("RUST_LOG", "error");
    let mut satellite = child::start(command);
    assert!(platform.wait_for("t-1", "failed", PATIENCE));
    satellite.signal("TERM");
    satellite.end();
    assert!(satellite.log.is_empty(), "{:?}", satellite.log);
}

#[test]
fn nobody_forges_a_line_or_commands_the_terminal() {
    for journal in [false, true] {
        let platform = MockPlatform::start();
        for task_type in ["log", "fail", "panic", "problem"] {
            let payload = json!({ "text": FORGERY });
            platform.add_task(mock_task(task_type, task_type, payload));
        }
        platform.add_task(mock_task("type", format!("type {FORGERY}"), json!({})));
        // The mock finds no task whose id is escaped in the path: it is told of as gone.
        platform.add_task(mock_task(format!("id {FORGERY}"), "echo", json!({})));
        // And the platform itself, or a box on the way.
        let body = json!({ "detail": FORGERY }).to_string();
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 503 Away\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let left = Mutex::new(1);
        let door = Door::before(&platform, move |asks, answered| {
            let mut left = left.lock().unwrap();
            if asks != Asks::Tasks || answered.is_empty() || *left == 0 {
                return Passage::Whole;
            }
            *left -= 1;
            Passage::Then(answer.clone().into_bytes(), End::Close)
        });
        let mut command = command(&door.url(), &platform.token());
        if journal {
            command.env("JOURNAL_STREAM", "8:12345");
        }
        let mut satellite = child::start(command);
        for task in ["log", "problem"] {
            assert!(platform.wait_for(task, "done", PATIENCE), "{task}");
        }
        for task in ["fail", "panic", "type"] {
            assert!(platform.wait_for(task, "failed", PATIENCE), "{task}");
        }
        satellite.line("task id ");
        satellite.line("task type failed");
        satellite.signal("TERM");
        satellite.end();
        let forged = |line: &&String| line.contains("forged");
        assert!(
            satellite.log.iter().filter(forged).count() > 8,
            "all of them are told: {:#?}",
            satellite.log
        );
        for line in &satellite.log {
            assert!(is_whole(line, journal), "{line:?}");
        }
    }
}

/// Begins as the logger begins a line, and holds nothing that a terminal obeys.
fn is_whole(line: &str, journal: bool) -> bool {
    let begins = match journal {
        true => {
            ["<3>", "<4>", "<6>"].iter().any(|p| line.starts_with(p)) && !line[3..].starts_with('<')
        }
        false => {
            let (time, rest) = line.split_at_checked(14).unwrap_or_default();
            let level = rest.split(' ').next().unwrap_or_default();
            time.ends_with("Z ") && ["ERROR", "WARN", "INFO"].contains(&level)
        }
    };
    let separators = ['\u{2028}', '\u{2029}', '\u{202e}'];
    begins && !line.contains(char::is_control) && !line.contains(separators)
}

#[test]
fn wrong_settings_have_a_line_each() {
    let mut command = command("platform", "t");
    command.env("LUML_HEALTH_PORT", "99999");
    let mut satellite = child::start(command);
    let (status, _) = satellite.end();
    assert_eq!(status.code(), Some(78));
    for name in ["LUML_PLATFORM_URL", "LUML_HEALTH_PORT"] {
        let lines = satellite.log.iter().filter(|line| line.contains(name));
        assert_eq!(lines.count(), 1, "{:#?}", satellite.log);
    }
    assert!(satellite.log.iter().all(|line| !line.contains("\\n")));
}

#[test]
fn a_worker_without_a_state_folder_says_once_what_that_costs() {
    let folder = temp_directory().unwrap();
    for (state_dir, times) in [(None, 1), (Some(folder.path()), 0)] {
        let platform = MockPlatform::start();
        platform.add_task(mock_task("t", "echo", json!({})));
        let mut command = command(&platform.url(), &platform.token());
        command.envs(state_dir.map(|path| ("LUML_STATE_DIR", path)));
        let mut satellite = child::start(command);
        assert!(platform.wait_for("t", "done", PATIENCE));
        satellite.signal("TERM");
        satellite.end();
        let is_told = |line: &&String| line.contains("LUML_STATE_DIR") && line.contains("lost");
        let told = satellite.log.iter().filter(is_told).count();
        assert_eq!(told, times, "{:#?}", satellite.log);
    }
}

#[test]
fn a_problem_is_logged_when_it_begins_and_when_it_ends() {
    crate::secrecy::record();
    let platform = MockPlatform::start();
    let clock = ManualClock::default();
    let minute = Duration::from_secs(60);
    let mut satellite = platform
        .worker()
        .clock(clock.clone())
        .poll_interval(Duration::from_secs(2))
        .handler("echo", |task: Task| done(task.payload))
        .build()
        .unwrap();
    let lines = |text: &str| {
        let lines = recorder::lines();
        lines
            .into_iter()
            .filter(|line| line.contains(text))
            .collect::<Vec<_>>()
    };
    let health = satellite.health().clone();
    for n in 0..3 {
        health.problem("engine-27", format_args!("docker is away ({n})"));
        health.warning("disk-27", "nearly full");
    }
    assert!(
        lines("engine-27")[0].starts_with("WARN"),
        "{:?}",
        lines("engine-27")
    );
    assert!(
        lines("disk-27")[0].starts_with("WARN"),
        "{:?}",
        lines("disk-27")
    );
    for name in ["engine-27", "disk-27"] {
        assert_eq!(lines(name).len(), 1, "once, however long it lasts");
        health.clear(name);
        health.clear(name);
        assert_eq!(lines(name).len(), 2, "{:?}", lines(name));
        assert!(lines(name)[1].starts_with("INFO"), "{:?}", lines(name));
    }
    // It begins anew after its end.
    health.problem("engine-27", "away again");
    assert_eq!(lines("engine-27").len(), 3);
    health.clear("engine-27");
    satellite.run_for(minute).unwrap();
    assert!(satellite.health().is_ready());
}

#[test]
fn a_start_that_goes_well_tells_of_no_problem() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "echo", json!({})));
    let mut satellite = child::start(command(&platform.url(), &platform.token()));
    assert!(platform.wait_for("t", "done", PATIENCE));
    satellite.signal("TERM");
    satellite.end();
    let bad = |line: &&String| line.contains("WARN") || line.contains("has ended");
    assert_eq!(satellite.log.iter().find(bad), None, "{:#?}", satellite.log);
}
