//! What is left of a state when its process is killed, and when two want it.

use std::fs;
use std::thread;
use std::time::Duration;

use tempfile::tempdir as temp_directory;

use crate::process::start;
use crate::state_child::{
    command, counts, doing, eventually, generations, kept, kept_state, last_count, now_ms,
    started_with,
};

const CHECKPOINT: Duration = Duration::from_millis(20);
/// A busy machine may take its time for a save; most lives that are killed are
/// shorter than this, some are longer.
const SLACK: Duration = Duration::from_millis(600);

#[test]
fn two_hundred_kills_at_random_lose_no_more_than_the_interval_and_damage_nothing() {
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
            .env("CHILD_DOES", "tell the time")
            .env("CHILD_INTERVAL_MS", "1")
            .env("DORY_CHECKPOINT_SEC", CHECKPOINT.as_secs_f64().to_string());
        let mut process = start(command);
        let life = match turn % 10 {
            9 => 1200,
            _ => random(120),
        };
        thread::sleep(Duration::from_millis(life));
        process.signal("KILL");
        let killed = now_ms();
        process.end();
        let told = process.log.join("\n");
        assert!(!told.contains("ERROR"), "turn {turn}: {told}");
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
                "turn {turn}: exactly what was kept"
            );
        }
        if !folder.path().join("counting").exists() || generations(folder.path()).is_empty() {
            continue; // killed before the first save of all
        }
        let state = kept_state(folder.path());
        assert!(
            state.count >= before,
            "turn {turn}: {} after {before}",
            state.count
        );
        before = state.count;
        if let Some(last) = counts(&process).last() {
            assert!(state.count <= last + 1);
            let saved: u128 = match state.count {
                0 => continue, // the first save was that of the beginning
                _ => state.filling.parse().unwrap(),
            };
            let lost = Duration::from_millis(killed.saturating_sub(saved) as u64);
            let is_long = life > 1000;
            assert!(
                !is_long || lost < CHECKPOINT + SLACK,
                "turn {turn}: {lost:?}"
            );
        }
    }
    assert!(before > 0);
}

/// Below `below`, from the keys of std's hasher.
fn random(below: u64) -> u64 {
    use std::hash::{BuildHasher, RandomState};

    RandomState::new().hash_one(0) % below
}

#[test]
fn of_two_stray_processes_on_one_host_the_second_goes_on_where_the_first_ended() {
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
    assert_eq!(kept(folder.path()), last_count(&second));
}

#[test]
fn the_second_may_have_the_same_port() {
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
fn nobody_makes_way_for_a_claimant_that_is_gone() {
    let folder = temp_directory().unwrap();
    let mut first = doing(folder.path(), "");
    first.line("count 2");
    fs::write(folder.path().join("counting/claim"), "somebody 1-2").unwrap();
    thread::sleep(Duration::from_millis(1500));
    first.signal("TERM");
    first.end();
    assert!(!first.log.iter().any(|line| line.contains("handing over")));
}

#[test]
fn whoever_lost_its_lock_is_fenced_and_writes_nothing_more() {
    let folder = temp_directory().unwrap();
    let mut command = command(folder.path());
    command.env("DORY_CHECKPOINT_SEC", "0.05");
    let mut first = start(command);
    first.line("count 5");
    fs::remove_file(folder.path().join("counting/lock")).unwrap();
    let mut second = doing(folder.path(), "");
    let (status, _) = first.end();
    assert_eq!(status.code(), Some(1), "{:#?}", first.log);
    assert!(first.log.iter().any(|line| line.contains("fenced")));
    second.line("count ");
    second.signal("TERM");
    second.end();
    assert_eq!(kept(folder.path()), last_count(&second));
}

#[test]
fn every_single_bit_flip_of_a_stored_state_is_found_by_the_next_start() {
    let folder = temp_directory().unwrap();
    doing(folder.path(), "return").end();
    let newest = generations(folder.path()).pop().unwrap();
    let document = fs::read(&newest).unwrap();
    // Every bit is tried where it costs nothing, in the document's own test;
    // here a handful, through the whole start.
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
fn a_process_that_panics_with_the_state_in_hand_saves_no_half_of_it() {
    let folder = temp_directory().unwrap();
    let mut process = doing(folder.path(), "panic with the state");
    let (status, _) = process.end();
    assert_eq!(status.code(), Some(1), "{:#?}", process.log);
    assert!(kept(folder.path()) < 1_000_000);
}

#[test]
fn the_state_of_a_crashed_process_is_free_at_once() {
    let folder = temp_directory().unwrap();
    let mut first = doing(folder.path(), "");
    first.line("count 2");
    first.signal("KILL");
    first.end();
    let mut second = doing(folder.path(), "");
    second.line("count ");
    eventually(|| (generations(folder.path()).len() >= 2).then_some(()));
}
