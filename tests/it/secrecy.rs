//! The token does not leak: searches the log at trace level, the arguments, every file
//! that is written, and the memory after it is dropped.

use std::fs;
use std::path::Path;
use std::time::Duration;

use satellite_sdk::extras::temp_directory;
use satellite_sdk::testing::{Fault, MockPlatform, mock_task};
use satellite_sdk::{Builder, Context, Task, TaskLog, current_task_id, done};
use serde_json::json;

use crate::child::{alone, command, start};
use crate::recorder;

#[test]
fn the_token_is_in_no_log_line_no_debug_output_and_no_error() {
    record();
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
        platform
            .worker()
            .handler("echo", |task: satellite_sdk::Task| satellite_sdk::done(
                task.payload
            ))
            .build()
            .unwrap()
            .run()
            .unwrap_err()
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
fn the_token_is_in_no_file_that_a_process_writes() {
    let platform = MockPlatform::start();
    let tasks = [
        ("a", "echo"),
        ("b", "nobody's"),
        ("c", "later"),
        ("d", "count"),
    ];
    for (id, task_type) in tasks {
        platform.add_task(mock_task(id, task_type, json!({ "id": id, "ms": 0 })));
    }
    let folder = temp_directory().unwrap();
    let place = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let mut command = command(&platform);
    // All places where a process may write files.
    command
        .current_dir(place("work"))
        .env("HOME", place("home"))
        .env("TMPDIR", place("tmp"))
        .env("LUML_STATE_DIR", place("state"))
        .env("CHILD_RUNS", place("work").join("runs"))
        .env("CHILD_KILL_IN_HANDLER", "1") // so that it cannot clean up
        .env("RUST_LOG", "trace");
    start(command).end();
    let mut searched = Vec::new();
    each_file(folder.path(), &mut |path, bytes| {
        let text = String::from_utf8_lossy(bytes);
        assert!(!text.contains(&platform.token()), "{}", path.display());
        searched.push(path.file_name().unwrap().to_owned());
    });
    let journal = fs::read_to_string(folder.path().join("state/journal")).unwrap();
    assert!(journal.contains("finished") && journal.contains("\"begun\":\"d\""));
    assert!(searched.iter().any(|name| name == "journal"));
    assert!(searched.iter().any(|name| name == "runs"));
}

fn each_file(folder: &Path, look: &mut dyn FnMut(&Path, &[u8])) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => each_file(&path, look),
            false => look(&path, &fs::read(&path).unwrap()),
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_dropped_secret_is_wiped_from_memory() {
    // In its own process, since all of its memory is searched.
    if !alone("secrecy::a_dropped_secret_is_wiped_from_memory") {
        return;
    }
    // The pattern is stored inverted, so that the search does not find the pattern itself.
    // Freed memory is soon overwritten from its start, so the search looks for the middle.
    let turned: Vec<u8> = (0..48).map(|n| !(b'a' + n % 26)).collect();
    let mut text = String::with_capacity(100_000);
    text.extend(std::iter::repeat_n('.', 40_000));
    text.extend(turned.iter().rev().map(|byte| char::from(!byte)));
    text.extend(std::iter::repeat_n('.', 40_000));
    let secret = satellite_sdk::Secret::new(text);
    assert_eq!(in_memory(&turned), 1);
    let again = secret.clone();
    assert_eq!(in_memory(&turned), 2);
    drop(secret);
    assert_eq!(in_memory(&turned), 1);
    drop(again);
    assert_eq!(in_memory(&turned), 0);
}

/// Counts the occurrences of the reverse of these bytes, each inverted, in this
/// process's writable memory.
#[cfg(target_os = "linux")]
fn in_memory(turned: &[u8]) -> usize {
    use std::os::unix::fs::FileExt;

    let memory = fs::File::open("/proc/self/mem").unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut buffer = vec![0; 1 << 20];
    let own = buffer.as_ptr().addr()..buffer.as_ptr().addr() + buffer.len();
    let step = buffer.len() - turned.len() + 1;
    let mut found = 0;
    for map in maps.lines().filter(|map| map.contains(" rw")) {
        let (range, _) = map.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|at| usize::from_str_radix(at, 16).unwrap());
        // Skip the buffer that the memory is read into.
        let around = [from..to.min(own.start), from.max(own.end)..to];
        let whole = [from..to, 0..0];
        let parts = if from < own.end && own.start < to {
            around
        } else {
            whole
        };
        for part in parts {
            for at in part.clone().step_by(step) {
                let bytes = part.end.saturating_sub(at).min(buffer.len());
                let read = memory.read_at(&mut buffer[..bytes], at as u64).unwrap_or(0);
                found += buffer[..read]
                    .windows(turned.len())
                    .filter(|window| window[0] == !turned[turned.len() - 1])
                    .filter(|window| window.iter().rev().zip(turned).all(|(a, b)| *a == !b))
                    .count();
                buffer.fill(0);
            }
        }
    }
    found
}

#[test]
fn every_log_line_of_a_handler_has_the_task_id() {
    record();
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
fn empty_polls_are_logged_at_debug_level_only() {
    record();
    let platform = MockPlatform::start();
    platform
        .worker()
        .handler("echo", |task: satellite_sdk::Task| {
            satellite_sdk::done(task.payload)
        })
        .build()
        .unwrap()
        .run_until_idle()
        .unwrap();
    let about: Vec<_> = recorder::lines()
        .into_iter()
        .filter(|line| line.contains("no pending tasks"))
        .collect();
    assert!(!about.is_empty() && about.iter().all(|line| line.starts_with("DEBUG")));
}

/// Records every line at trace level, with the task's id.
pub fn record() {
    TaskLog::new(recorder::recorder()).install(log::LevelFilter::Trace);
}
