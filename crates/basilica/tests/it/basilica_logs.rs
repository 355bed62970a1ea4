//! The logs of Basilica, across disconnects.

use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use satellite_basilica::BasilicaClient;
use satellite_basilica::MockBasilica;
use satellite_core::ManualClock;
use satellite_core::client::{Cancel, Ended, TimeLimits};
use satellite_serve::testing::Fault;

use crate::basilica::{config, count, quick};

/// A deployment that has printed this number of lines.
fn printed(mock: &MockBasilica, lines: usize) -> (BasilicaClient, String) {
    let basilica = quick(mock);
    let config = config().build().unwrap();
    let id = basilica.deployments().deploy(&config).unwrap().id;
    (0..lines).for_each(|n| mock.print(&id, &format!("line {n} €")));
    (basilica, id)
}

fn expected(lines: std::ops::Range<usize>) -> Vec<String> {
    lines.map(|n| format!("line {n} €")).collect()
}

/// Waits until the log was opened this number of times.
fn until_asked(mock: &MockBasilica, times: usize) {
    let begun = Instant::now();
    while count(mock, "GET", "/logs") < times {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "timed out waiting for the log requests"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_follow_cut_fifty_times_at_random_has_no_lost_or_duplicate_lines() {
    let mock = MockBasilica::start();
    let (basilica, id) = printed(&mock, 1000);
    mock.finish(&id);
    let entry = 90; // bytes of an event, about
    for n in 1..=50 {
        let random = RandomState::new().hash_one(n) as usize % (17 * entry);
        let at = n * 18 * entry + random;
        match n % 3 {
            0 => mock.give_up_log(at),
            _ => mock.cut_log(at),
        }
    }
    let mut log = basilica.deployments().logs(&id, true).unwrap();
    let lines: Vec<_> = log.by_ref().map(|line| line.unwrap().message).collect();
    assert_eq!(lines, expected(0..1000));
    assert_eq!(log.ended(), Some(Ended::Complete));
    assert!(count(&mock, "GET", "/logs") > 50);
}

#[test]
fn neither_silence_nor_the_gateways_time_limit_ends_a_follow() {
    let mock = MockBasilica::start();
    let (basilica, id) = printed(&mock, 1);
    (0..20).for_each(|_| mock.give_up_log(0));
    let mut log = basilica.deployments().logs(&id, true).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            until_asked(&mock, 21);
            mock.print(&id, "line 1 €");
            mock.finish(&id);
        });
        let lines: Vec<_> = log.by_ref().map(|line| line.unwrap().message).collect();
        assert_eq!(lines, expected(0..2));
    });
    assert_eq!(log.ended(), Some(Ended::Complete));
}

#[test]
fn silence_does_not_end_a_follow_while_the_deployment_runs() {
    let mock = MockBasilica::start();
    let mut limits = TimeLimits::default();
    limits.idle = Duration::from_millis(20);
    let (_, id) = printed(&mock, 1);
    let clock = ManualClock::default();
    let basilica = mock.builder().limits(limits).clock(clock).build().unwrap();
    let mut log = basilica.deployments().logs(&id, true).unwrap();
    assert_eq!(log.next().unwrap().unwrap().to_string(), "line 0 €");
    thread::scope(|scope| {
        scope.spawn(|| {
            until_asked(&mock, 25);
            mock.print(&id, "at last");
            mock.forget(&id);
        });
        // The line may be lost with the deployment; the stream succeeds either way.
        assert!(log.by_ref().all(|line| line.unwrap().message == "at last"));
    });
    assert_eq!(log.ended(), Some(Ended::Complete));
}

#[test]
fn lines_lost_with_the_deployment_are_an_error() {
    let mock = MockBasilica::start();
    let (basilica, id) = printed(&mock, 10);
    mock.give_up_log(300);
    let mut log = basilica.deployments().logs(&id, true).unwrap();
    // The deployment and its log are deleted before the next status request.
    mock.fault("GET", &id, Fault::Status(404));
    mock.fault("GET", &id, Fault::Status(404));
    let last = log.by_ref().last().unwrap();
    assert!(last.unwrap_err().is_not_found());
    assert_eq!(log.ended(), Some(Ended::Cut));
}

#[test]
fn a_tail_starts_with_the_last_lines_and_resumes_after_them() {
    let mock = MockBasilica::start();
    let (basilica, id) = printed(&mock, 100);
    mock.finish(&id);
    for follow in [false, true] {
        let log = basilica.deployments().logs_tail(&id, 10, follow).unwrap();
        let lines: Vec<_> = log.map(|line| line.unwrap().message).collect();
        assert_eq!(lines, expected(90..100));
    }
    mock.cut_log(100); // while the lines are counted
    mock.cut_log(9_000);
    let log = basilica.deployments().logs_tail(&id, 1000, true).unwrap();
    let lines: Vec<_> = log.map(|line| line.unwrap().message).collect();
    assert_eq!(lines, expected(0..100));
}

#[test]
fn a_follow_can_be_cancelled() {
    let mock = MockBasilica::start();
    let (basilica, id) = printed(&mock, 1);
    let cancel = Cancel::new();
    let basilica = basilica.cancelled_by(&cancel).unwrap();
    let mut log = basilica.deployments().logs(&id, true).unwrap();
    assert!(log.next().unwrap().is_ok());
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(50));
            cancel.cancel();
        });
        assert!(log.next().unwrap().unwrap_err().is_stopped());
    });
    assert_eq!(log.ended(), Some(Ended::Cancelled));
}
