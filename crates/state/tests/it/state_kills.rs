//! The stored state after a process is killed, and when two processes compete for it.

use std::fs;
use std::thread;
use std::time::Duration;

use tempfile::tempdir as temp_directory;

use crate::process::start;
use crate::state_child::{
    command, counts, doing, eventually, generations, last_count, now_ms, started_with, stored,
    stored_state,
};

const CHECKPOINT: Duration = Duration::from_millis(20);
/// Extra time for a save on a busy machine; most killed processes live shorter than
/// this, some longer.
const SLACK: Duration = Duration::from_millis(2500);

#[test]
fn two_hundred_random_kills_lose_at_most_one_interval_and_damage_nothing() {
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| kill(50));
        }
    });
}

fn kill(times: u32) {
    let folder = temp_directory().unwrap();
    let mut before = 0;
    for turn in 0..times {
        let mut command = command(folder.path());
        command
            .env("CHILD_DOES", "store the time")
            .env("CHILD_INTERVAL_MS", "1")
            .env("DORY_CHECKPOINT_SEC", CHECKPOINT.as_secs_f64().to_string());
        let mut process = start(command);
        let life = match turn % 25 {
            24 => 4000,
            _ => random(120),
        };
        thread::sleep(Duration::from_millis(life));
        process.signal("KILL");
        let killed = now_ms();
        process.end();
        let output = process.log.join("\n");
        assert!(!output.contains("ERROR"), "turn {turn}: {output}");
        if let Some(line) = process
            .log
            .iter()
            .find(|line| line.starts_with("startup with"))
        {
            let restored = line
                .split([' ', ','])
                .nth(2)
                .and_then(|n| n.parse::<u64>().ok());
            assert!(
                restored.is_none_or(|n| n == before),
                "turn {turn}: exactly what was stored"
            );
        }
        if !folder.path().join("counting").exists() || generations(folder.path()).is_empty() {
            continue; // killed before its first save
        }
        let state = stored_state(folder.path());
        assert!(
            state.count >= before,
            "turn {turn}: {} after {before}",
            state.count
        );
        before = state.count;
        if let Some(last) = counts(&process).last() {
            assert!(state.count <= last + 1);
            let saved: u128 = match state.count {
                0 => continue, // the only save was that of the start
                _ => state.filling.parse().unwrap(),
            };
            let lost = Duration::from_millis(killed.saturating_sub(saved) as u64);
            let is_long = life == 4000;
            assert!(
                !is_long || lost < CHECKPOINT + SLACK,
                "turn {turn}: {lost:?}"
            );
        }
    }
    assert!(before > 0);
}

/// A random number below `below`, from the keys of std's hasher.
fn random(below: u64) -> u64 {
    use std::hash::{BuildHasher, RandomState};

    RandomState::new().hash_one(0) % below
}

#[test]
fn a_second_process_on_the_host_continues_from_the_last_state_of_the_first() {
    let folder = temp_directory().unwrap();
    let mut first = doing(folder.path(), "");
    first.line("count 5");
    let mut second = doing(folder.path(), "");
    let restored = started_with(&mut second);
    let (status, _) = first.end();
    assert_eq!(status.code(), Some(0), "{:#?}", first.log);
    assert_eq!(restored, last_count(&first));
    second.line("count ");
    second.signal("TERM");
    assert_eq!(second.end().0.code(), Some(0));
    assert_eq!(stored(folder.path()), last_count(&second));
}

#[test]
fn a_second_process_may_use_the_same_port() {
    let folder = temp_directory().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let process = || {
        let mut command = command(folder.path());
        command.env("DORY_HEALTH_PORT", &port);
        start(command)
    };
    let mut first = process();
    first.line("count 2");
    let mut second = process();
    second.line("count ");
    assert_eq!(first.end().0.code(), Some(0));
    let address = format!("127.0.0.1:{port}");
    assert_eq!(crate::state_child::get(&address, "/ready").0, 200);
}

#[test]
fn a_claim_of_a_dead_process_is_ignored() {
    let folder = temp_directory().unwrap();
    let mut first = doing(folder.path(), "");
    first.line("count 2");
    fs::write(folder.path().join("counting/claim"), "claimant 1-2").unwrap();
    thread::sleep(Duration::from_millis(1500));
    first.signal("TERM");
    first.end();
    assert!(!first.log.iter().any(|line| line.contains("handing over")));
}

#[test]
fn a_process_that_lost_its_lock_is_fenced_and_writes_nothing() {
    let folder = temp_directory().unwrap();
    let mut command = command(folder.path());
    command.env("DORY_CHECKPOINT_SEC", "0.05");
    let mut first = start(command);
    first.line("count 5");
    // At any point of its work, in the middle of a save as well.
    first.signal("STOP");
    fs::remove_file(folder.path().join("counting/lock")).unwrap();
    let mut second = doing(folder.path(), "");
    second.line("count ");
    first.signal("CONT");
    let (status, _) = first.end();
    assert_eq!(status.code(), Some(1), "{:#?}", first.log);
    assert!(first.log.iter().any(|line| line.contains("fenced")));
    second.signal("TERM");
    second.end();
    assert_eq!(stored(folder.path()), last_count(&second));
}

#[test]
fn a_bit_flip_in_a_stored_state_is_detected_at_the_next_start() {
    let folder = temp_directory().unwrap();
    doing(folder.path(), "return").end();
    let newest = generations(folder.path()).pop().unwrap();
    let document = fs::read(&newest).unwrap();
    // A unit test of the document covers every bit; this covers a few of them with a
    // complete start.
    for at in [0, 20, 90, document.len() / 2, document.len() - 1] {
        let mut flipped = document.clone();
        flipped[at] ^= 1 << (at % 8);
        for path in generations(folder.path()) {
            fs::remove_file(path).unwrap();
        }
        fs::write(&newest, &flipped).unwrap();
        let mut process = doing(folder.path(), "return");
        assert_eq!(process.end().0.code(), Some(1), "{at}: {:#?}", process.log);
        assert!(
            process
                .log
                .iter()
                .any(|line| line.contains("hook: restore failed"))
        );
    }
}

#[test]
fn a_panic_while_the_state_is_locked_saves_no_partial_change() {
    let folder = temp_directory().unwrap();
    let mut process = doing(folder.path(), "panic with the state");
    let (status, _) = process.end();
    assert_eq!(status.code(), Some(1), "{:#?}", process.log);
    assert!(stored(folder.path()) < 1_000_000);
}

#[test]
fn the_state_of_a_crashed_process_is_available_immediately() {
    let folder = temp_directory().unwrap();
    let mut first = doing(folder.path(), "");
    first.line("count 2");
    first.signal("KILL");
    first.end();
    let mut second = doing(folder.path(), "");
    second.line("count ");
    eventually(|| (generations(folder.path()).len() >= 2).then_some(()));
}
