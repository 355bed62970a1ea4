//! The known faults of dory-sdk in a stop and at the start, and related promises.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use tempfile::tempdir as temp_directory;

use crate::process::start;
use crate::state_child::{address, command, doing, get, last_count, stored};
use crate::state_faults::AT_ONCE;

#[test]
fn fault_1_the_state_is_saved_after_a_kill_an_error_a_return_and_a_panic() {
    for (does, code) in [("fail", 1), ("return", 0), ("panic", 1)] {
        let folder = temp_directory().unwrap();
        for turn in 1..=3 {
            let mut process = doing(folder.path(), does);
            let (status, _) = process.end();
            assert_eq!(status.code(), Some(code), "{does}: {:#?}", process.log);
            assert_eq!(stored(folder.path()), turn, "{does}");
        }
    }

    let folder = temp_directory().unwrap();
    let mut command = command(folder.path());
    command.env("DORY_CHECKPOINT_SEC", "0.05");
    let mut process = start(command);
    process.line("count 20");
    process.signal("KILL");
    process.end();
    let (counted, stored) = (last_count(&process), stored(folder.path()));
    assert!(
        stored >= 10 && stored <= counted + 1,
        "{stored} of {counted}"
    );
}

#[test]
fn fault_2_twenty_stops_lose_no_changes_of_run() {
    let folder = temp_directory().unwrap();
    let mut before = 0;
    for _ in 0..20 {
        let mut process = doing(folder.path(), "");
        process.line("count ");
        process.signal("TERM");
        let (status, _) = process.end();
        assert_eq!(status.code(), Some(0), "{:#?}", process.log);
        let counted = last_count(&process);
        assert_eq!(stored(folder.path()), counted);
        assert!(counted > before);
        before = counted;
    }
}

#[test]
fn a_duplicate_signal_is_ignored_and_a_later_one_exits() {
    let folder = temp_directory().unwrap();
    for _ in 0..5 {
        let mut process = doing(folder.path(), "");
        process.line("count 3");
        let pid = process.pid().to_string();
        // As `timeout` does: to the process and to its process group.
        let both = Command::new("kill")
            .args(["-s", "TERM", &pid, &pid])
            .status();
        assert!(both.unwrap().success());
        assert_eq!(process.end().0.code(), Some(0), "{:#?}", process.log);
        assert_eq!(stored(folder.path()), last_count(&process));
        fs::remove_dir_all(folder.path().join("counting")).unwrap();
    }
    let mut process = doing(folder.path(), "block");
    process.line("blocking");
    process.signal("TERM");
    process.line("stopping");
    thread::sleep(Duration::from_millis(600));
    process.signal("TERM");
    let (status, took) = process.end();
    assert_eq!(status.code(), Some(1));
    assert!(took < AT_ONCE, "{took:?}");
}

#[test]
fn fault_3_prestop_responds_after_shutdown_and_the_last_save_with_the_result() {
    let folder = temp_directory().unwrap();
    for does in ["count in shutdown", "work after the stop", "return"] {
        let before = generations_or_none(folder.path()).map_or(0, |()| stored(folder.path()));
        let mut process = doing(folder.path(), does);
        let address = address(&mut process);
        process.line("count ");
        if does != "return" {
            let (status, body) = get(&address, "/prestop");
            assert_eq!(status, 200, "{body}");
            assert!(body.contains("ready for termination"), "{body}");
            assert!(
                stored(folder.path()) > before + 99,
                "saved before the response"
            );
        }
        let (status, _) = process.end();
        assert_eq!(status.code(), Some(0), "{:#?}", process.log);
        assert!(process.log.iter().any(|l| l.starts_with("shutdown with")));
        assert!(stored(folder.path()) > before);
    }

    // The folder is removed: saving is not possible.
    let mut command = command(folder.path());
    command.env("DORY_SHUTDOWN_TIMEOUT_SEC", "2");
    let mut process = start(command);
    let address = address(&mut process);
    process.line("count ");
    fs::remove_dir_all(folder.path().join("counting")).unwrap();
    let (status, body) = get(&address, "/prestop");
    assert_eq!(status, 500, "{body}");
    assert!(body.contains("not saved"), "{body}");
    assert_eq!(process.end().0.code(), Some(1));
    assert!(
        !folder.path().join("counting").exists(),
        "nothing is made anew"
    );
}

#[test]
fn fault_4_an_interval_of_an_hour_does_not_delay_the_exit() {
    let folder = temp_directory().unwrap();
    let mut command = command(folder.path());
    command.env("CHILD_INTERVAL_MS", "3600000");
    let mut process = start(command);
    process.line("count 1");
    process.signal("TERM");
    let (status, took) = process.end();
    assert_eq!(status.code(), Some(0));
    assert!(took < AT_ONCE, "{took:?}");
    assert_eq!(stored(folder.path()), 1);
}

#[test]
fn fault_5_a_stop_during_startup_is_handled() {
    let folder = temp_directory().unwrap();
    let mut process = doing(folder.path(), "start slowly");
    process.line("startup with");
    process.signal("TERM");
    let (status, took) = process.end();
    assert_eq!(status.code(), Some(0), "{:#?}", process.log);
    assert!(took < AT_ONCE, "{took:?}");
    assert!(!process.log.iter().any(|line| line.starts_with("count")));

    // A startup that ignores the stop is ended at its timeout, with a log line.
    let mut command = command(folder.path());
    command
        .env("CHILD_DOES", "block in startup")
        .env("DORY_SHUTDOWN_TIMEOUT_SEC", "1");
    let mut process = start(command);
    process.line("startup with");
    process.signal("TERM");
    let (status, took) = process.end();
    assert_eq!(status.code(), Some(1), "{:#?}", process.log);
    assert!(took < Duration::from_secs(1) + AT_ONCE, "{took:?}");
}

#[test]
fn a_startup_past_its_timeout_fails() {
    let folder = temp_directory().unwrap();
    let mut command = command(folder.path());
    command
        .env("CHILD_DOES", "block in startup")
        .env("DORY_STARTUP_TIMEOUT_SEC", "1");
    let mut process = start(command);
    process.line("startup lasted longer than 1s");
    assert_eq!(process.end().0.code(), Some(1));
    let mut next = doing(folder.path(), "return");
    assert_eq!(next.end().0.code(), Some(0), "its state is free");
}

fn generations_or_none(folder: &Path) -> Option<()> {
    folder.join("counting").exists().then_some(())
}
