//! The stored state after a process is killed, and when two processes compete for it.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use satellite_state::Snapshot;
use tempfile::tempdir as temp_directory;

use crate::process::{Satellite, start};
use crate::state_child::{
    Counts, command, counts, doing, eventually, generations, last_count, started_with, stored,
};

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
            .env("CHILD_INTERVAL_MS", "1")
            .env("DORY_CHECKPOINT_SEC", "0.02");
        let mut process = start(command);
        match turn % 25 {
            24 => each_checkpoint_has_what_was_counted_before_it(&mut process, folder.path()),
            _ => thread::sleep(Duration::from_millis(random(120))),
        }
        process.signal("KILL");
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
        let Some((_, count)) = newest(folder.path()) else {
            continue; // killed before its first save
        };
        assert!(count >= before, "turn {turn}: {count} after {before}");
        before = count;
        if let Some(last) = counts(&process).last() {
            assert!(count <= last + 1);
        }
    }
    assert!(before > 0);
}

/// A number that was counted while a checkpoint was written is in the next one.
fn each_checkpoint_has_what_was_counted_before_it(process: &mut Satellite, folder: &Path) {
    process.line("count ");
    for _ in 0..20 {
        let (_, stored) = eventually(|| newest(folder));
        let next = stored.max(last_count(process)) + 1;
        process.line(&format!("count {next}"));
        let counted = last_count(process);
        let (generation, _) = eventually(|| newest(folder));
        let later = |(newest, _): &(u64, u64)| *newest >= generation + 2;
        let (_, stored) = eventually(|| newest(folder).filter(later));
        assert!(stored >= counted, "{stored}, but {counted} was counted");
    }
}

/// The generation and the count of what is stored, also while a process replaces it.
fn newest(folder: &Path) -> Option<(u64, u64)> {
    if !folder.join("counting").exists() {
        return None;
    }
    let document = fs::read(generations(folder).pop()?).ok()?;
    let snapshot = Snapshot::from_document(&document).unwrap();
    let counts: Counts = serde_json::from_slice(&snapshot.content.state).unwrap();
    Some((snapshot.stamp.generation, counts.count))
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
