//! The log: its default level, one line for each record, and no forged lines.

use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use satellite_sdk::extras::temp_directory;
use satellite_sdk::testing::{Fault, ManualClock, MockPlatform, mock_task};
use satellite_sdk::{Builder, Context, Exit, Task, done};
use serde_json::json;

use crate::faulty_proxy::{Call, End, FaultyProxy, Reply};
use crate::{child, recorder};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Unescaped, each part would start a new line, control a terminal, or set a priority.
const FORGERY: &str = "<0>forged\n<0>forged\r\n12:00:00.000Z ERROR forged\u{85}forged\
                       \u{2028}forged\u{1b}[2J\u{9b}2J\u{202e}\u{7}";

/// The program of the README; does nothing in a normal test run.
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
fn the_readme_program_logs_warnings_by_default() {
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
fn rust_log_sets_the_level_of_the_readme_program() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t-1", "nobody's", json!({})));
    let mut command = command(&platform.url(), &platform.token());
    command.env("RUST_LOG", "error");
    let mut satellite = child::start(command);
    assert!(platform.wait_for("t-1", "failed", TIMEOUT));
    satellite.signal("TERM");
    satellite.end();
    assert!(satellite.log.is_empty(), "{:?}", satellite.log);
}

#[test]
fn untrusted_text_cannot_forge_log_lines_or_control_the_terminal() {
    for journal in [false, true] {
        let platform = MockPlatform::start();
        for task_type in ["log", "fail", "panic", "problem"] {
            let payload = json!({ "text": FORGERY });
            platform.add_task(mock_task(task_type, task_type, payload));
        }
        platform.add_task(mock_task("type", format!("type {FORGERY}"), json!({})));
        // The mock finds no task whose id is escaped in the path: it counts as deleted.
        platform.add_task(mock_task(format!("id {FORGERY}"), "echo", json!({})));
        // An error response of the platform itself, or of a proxy.
        let body = json!({ "detail": FORGERY }).to_string();
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 503 Away\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let left = Mutex::new(1);
        let proxy = FaultyProxy::start(&platform, move |call, response| {
            let mut left = left.lock().unwrap();
            if call != Call::Poll || response.is_empty() || *left == 0 {
                return Reply::Complete;
            }
            *left -= 1;
            Reply::Bytes(answer.clone().into_bytes(), End::Close)
        });
        let mut command = command(&proxy.url(), &platform.token());
        if journal {
            command.env("JOURNAL_STREAM", "8:12345");
        }
        let mut satellite = child::start(command);
        for task in ["log", "problem"] {
            assert!(platform.wait_for(task, "done", TIMEOUT), "{task}");
        }
        for task in ["fail", "panic", "type"] {
            assert!(platform.wait_for(task, "failed", TIMEOUT), "{task}");
        }
        satellite.line("task id ");
        satellite.line("task type failed");
        satellite.signal("TERM");
        satellite.end();
        let forged = |line: &&String| line.contains("forged");
        assert!(
            satellite.log.iter().filter(forged).count() > 8,
            "all of them are logged: {:#?}",
            satellite.log
        );
        for line in &satellite.log {
            assert!(is_whole(line, journal), "{line:?}");
        }
    }
}

/// Whether the line starts with the logger's prefix and contains no control characters.
fn is_whole(line: &str, journal: bool) -> bool {
    let has_prefix = match journal {
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
    has_prefix && !line.contains(char::is_control) && !line.contains(separators)
}

#[test]
fn each_wrong_setting_is_logged_on_its_own_line() {
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
fn a_missing_state_folder_is_logged_once() {
    let folder = temp_directory().unwrap();
    for (state_dir, times) in [(None, 1), (Some(folder.path()), 0)] {
        let platform = MockPlatform::start();
        platform.add_task(mock_task("t", "echo", json!({})));
        let mut command = command(&platform.url(), &platform.token());
        command.envs(state_dir.map(|path| ("LUML_STATE_DIR", path)));
        let mut satellite = child::start(command);
        assert!(platform.wait_for("t", "done", TIMEOUT));
        satellite.signal("TERM");
        satellite.end();
        let is_warning = |line: &&String| line.contains("LUML_STATE_DIR") && line.contains("lost");
        let warnings = satellite.log.iter().filter(is_warning).count();
        assert_eq!(warnings, times, "{:#?}", satellite.log);
    }
}

#[test]
fn a_problem_is_logged_when_it_starts_and_when_it_ends() {
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
    // After its end, the problem is logged again.
    health.problem("engine-27", "away again");
    assert_eq!(lines("engine-27").len(), 3);
    health.clear("engine-27");
    satellite.run_for(minute).unwrap();
    assert!(satellite.health().is_ready());
}

#[test]
fn a_successful_start_logs_no_problem() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "echo", json!({})));
    let mut satellite = child::start(command(&platform.url(), &platform.token()));
    assert!(platform.wait_for("t", "done", TIMEOUT));
    satellite.signal("TERM");
    satellite.end();
    let bad = |line: &&String| line.contains("WARN") || line.contains("has ended");
    assert_eq!(satellite.log.iter().find(bad), None, "{:#?}", satellite.log);
}
