//! Who may act: a holder that loses its connection stops before another process starts.
//! Uses real processes, which log with one shared clock when each turn began and ended.

use std::thread;
use std::time::Duration;

use crate::fake_kubernetes::FakeKubernetes;
use crate::kubernetes::{NEW, OLD, pod, pod_at, stored_count};
use crate::process::Satellite;
use crate::relay::Relay;
use crate::state_child::{address, counts, eventually, get, last_count, started_with};
use crate::state_s3::{Bucket, id, on_host_at};

const PRINTS_TURNS: (&str, &str) = ("CHILD_DOES", "print turns");
const LEASE: (&str, &str) = ("CHILD_LEASE_SECONDS", "3");

/// The turns of a process that has ended: when each began and ended, in nanoseconds.
fn turns(process: &Satellite) -> Vec<(u64, u64)> {
    let lines = process.log.iter();
    let turns = lines.filter_map(|line| {
        let (begun, ended) = line.strip_prefix("turn ")?.split_once(' ')?;
        Some((begun.parse().ok()?, ended.parse().ok()?))
    });
    turns.collect()
}

/// When a process acted after checking that it may.
fn actions(process: &Satellite) -> Vec<u64> {
    let lines = process.log.iter();
    let actions = lines.filter_map(|line| line.strip_prefix("acted ")?.parse().ok());
    actions.collect()
}

#[track_caller]
fn assert_apart(first: &[(u64, u64)], second: &[(u64, u64)]) {
    assert!(!first.is_empty() && !second.is_empty());
    for (begun, ended) in first {
        let overlaps = second.iter().find(|(b, e)| begun <= e && b <= ended);
        assert_eq!(overlaps, None, "overlaps {begun} to {ended}");
    }
}

#[test]
fn when_the_api_is_unreachable_the_holder_stops_before_another_process_starts() {
    let cluster = FakeKubernetes::start();
    let relay = Relay::start(&cluster.address());
    let mut old = pod_at(&relay.url(), &cluster, OLD, &[PRINTS_TURNS, LEASE]);
    let old_address = address(&mut old);
    old.line("count 5");
    relay.hang(true);
    let mut new = pod(&cluster, NEW, &[PRINTS_TURNS, LEASE]);
    let body = eventually(|| {
        let (status, body) = get(&old_address, "/ready");
        (status == 503 && body.contains("lease")).then_some(body)
    });
    assert!(body.contains("was not renewed in time"), "{body}");
    old.line("turns wait");
    let restored = started_with(&mut new);
    new.line(&format!("count {}", restored + 20));
    relay.hang(false);
    assert_eq!(old.end().0.code(), Some(1), "{:#?}", old.log);
    assert!(old.log.iter().any(|line| line.contains("fenced")));
    new.signal("TERM");
    assert_eq!(new.end().0.code(), Some(0), "{:#?}", new.log);
    assert_apart(&turns(&old), &turns(&new));
    assert_eq!(stored_count(&cluster), last_count(&new));
}

#[test]
fn when_the_bucket_is_unreachable_the_holder_stops_before_another_process_starts() {
    let bucket = Bucket::get();
    let relay = Relay::start(bucket.endpoint().trim_start_matches("http://"));
    let id = id("cut-off");
    let mut old = on_host_at(&relay.url(), "host-a", &id, &[PRINTS_TURNS]);
    old.line("count 5");
    relay.hang(true);
    let mut new = on_host_at(&bucket.endpoint(), "host-b", &id, &[PRINTS_TURNS]);
    old.line("turns wait");
    let restored = started_with(&mut new);
    new.line(&format!("count {}", restored + 20));
    relay.hang(false);
    assert_eq!(old.end().0.code(), Some(1), "{:#?}", old.log);
    new.signal("TERM");
    assert_eq!(new.end().0.code(), Some(0), "{:#?}", new.log);
    assert_apart(&turns(&old), &turns(&new));
}

#[test]
fn a_short_outage_pauses_the_turns_and_loses_none() {
    let cluster = FakeKubernetes::start();
    let relay = Relay::start(&cluster.address());
    let mut old = pod_at(&relay.url(), &cluster, OLD, &[PRINTS_TURNS, LEASE]);
    let old_address = address(&mut old);
    old.line("count 5");
    relay.hang(true);
    old.line("turns wait");
    relay.hang(false);
    old.line("turns resume");
    eventually(|| (get(&old_address, "/ready").0 == 200).then_some(()));
    old.line("count ");
    old.signal("TERM");
    assert_eq!(old.end().0.code(), Some(0), "{:#?}", old.log);
    let counted = counts(&old);
    assert!(
        counted.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{counted:?}"
    );
    assert_eq!(stored_count(&cluster), last_count(&old));
}

#[test]
fn a_process_suspended_longer_than_its_lease_does_not_act_when_it_resumes() {
    for does in ["check before acting", "check late in a turn"] {
        let cluster = FakeKubernetes::start();
        let env = [("CHILD_DOES", does), LEASE];
        let mut old = pod(&cluster, OLD, &env);
        old.line("acted ");
        old.line("acted ");
        old.signal("STOP");
        let mut new = pod(&cluster, NEW, &env);
        started_with(&mut new);
        new.line("acted ");
        old.signal("CONT");
        assert_eq!(old.end().0.code(), Some(1), "{:#?}", old.log);
        new.line("acted ");
        new.signal("TERM");
        new.end();
        let (before, after) = (actions(&old), actions(&new));
        assert!(
            before.iter().all(|at| *at < after[0]),
            "{does}: {before:?} {after:?}"
        );
    }
}

#[test]
fn a_hanging_save_delays_no_renewal() {
    let cluster = FakeKubernetes::start();
    let mut old = pod(&cluster, OLD, &[PRINTS_TURNS, LEASE]);
    let old_address = address(&mut old);
    old.line("count 5");
    cluster.state().slow = Some(("PUT", "/configmaps".into(), Duration::from_secs(8)));
    for _ in 0..40 {
        thread::sleep(Duration::from_millis(100));
        let (_, body) = get(&old_address, "/ready");
        assert!(!body.contains("lease"), "{body}");
    }
    cluster.state().slow = None;
    old.line("count ");
    old.signal("TERM");
    old.end();
    let output = old.log.join("\n");
    assert!(!output.contains("turns wait"), "{output}");
}
