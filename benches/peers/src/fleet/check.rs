//! Compares the delays of real workers with the restated rules.
//!
//! The workers have a simulated clock and poll over loopback. Each kind of delay is compared with
//! as many of the rules by the two-sample Kolmogorov–Smirnov test. The crate's jitter has no
//! seed, so a correct crate would sometimes fail a strict test: the significance level is one in
//! 100,000 for each kind.

use std::time::Duration;

use satellite_sdk::testing::{Fault, ManualClock, MockPlatform};

use super::rules::{Random, Rules};
use super::{INTERVAL, MAX_BACKOFF};

const WORKERS: usize = 300;
/// 1 s, 2 s … 32 s, and the maximum twice.
const FAILURES: usize = 8;
const POLLS: usize = 1000;
/// √(-ln(α / 2) / 2) for α = 1/100,000.
const LEVEL: f64 = 2.47;

pub fn agrees() -> bool {
    println!("The rules compared with real workers on a simulated clock:\n");
    println!(
        "| delay | samples | crate: minimum | median | maximum | rules: median | distance | limit |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    let (kit, mut random) = (Rules::KIT, Random::new(1));
    let failed = waits(WORKERS, FAILURES, Some(Fault::Status(503)));
    let mut all = true;
    for failure in 1..=FAILURES {
        let real = failed
            .iter()
            .filter_map(|waits| waits.get(failure - 1).copied());
        let rules = (0..WORKERS)
            .map(|_| kit.after_failure(failure as u32, 0.0, MAX_BACKOFF, INTERVAL, &mut random));
        all &= compare(
            &format!("after failure {failure}"),
            real.collect(),
            rules.collect(),
        );
    }
    let overloaded = Fault::RetryAfter {
        status: 503,
        seconds: 60,
    };
    let real = waits(20, 5, Some(overloaded)).concat();
    let rules =
        (0..real.len()).map(|_| kit.after_failure(1, 60.0, MAX_BACKOFF, INTERVAL, &mut random));
    all &= compare("after 503, Retry-After: 60", real, rules.collect());
    let real = waits(1, POLLS, None).concat();
    let rules = (0..POLLS).map(|_| kit.after_success(INTERVAL, &mut random));
    all & compare("after a successful poll", real, rules.collect())
}

/// The first `count` delays of this many workers.
fn waits(workers: usize, count: usize, fault: Option<Fault>) -> Vec<Vec<f64>> {
    let platform = MockPlatform::start();
    if let Some(fault) = fault {
        platform.fault(fault).forever();
    }
    let one = |_| {
        let clock = ManualClock::default();
        let mut satellite = platform
            .worker()
            .poll_interval(Duration::from_secs_f64(INTERVAL))
            .max_backoff(Duration::from_secs_f64(MAX_BACKOFF))
            .clock(clock.clone())
            .handler("echo", |task: satellite_sdk::Task| {
                satellite_sdk::done(task.payload)
            })
            .build()
            .expect("the mock platform's settings are valid");
        let stop = satellite.stop_handle();
        stop_after(count, clock.clone(), move || stop.stop());
        let _ = satellite.run();
        let waits = clock.waits();
        waits
            .iter()
            .take(count)
            .map(Duration::as_secs_f64)
            .collect()
    };
    (0..workers).map(one).collect()
}

/// Checks at each step of the clock whether there were enough delays.
fn stop_after(count: usize, clock: ManualClock, stop: impl FnOnce() + Send + 'static) {
    let again = clock.clone();
    clock.at(clock.elapsed() + Duration::from_nanos(1), move || {
        match again.waits().len() >= count {
            true => stop(),
            false => stop_after(count, again, stop),
        }
    });
}

fn compare(what: &str, mut real: Vec<f64>, mut rules: Vec<f64>) -> bool {
    real.sort_by(f64::total_cmp);
    rules.sort_by(f64::total_cmp);
    let (distance, limit) = (
        distance(&real, &rules),
        max_distance(real.len(), rules.len()),
    );
    let holds = !real.is_empty() && distance <= limit;
    let median = |values: &[f64]| values.get(values.len() / 2).copied().unwrap_or(f64::NAN);
    println!(
        "| {what} | {} | {:.2} s | {:.2} s | {:.2} s | {:.2} s | {distance:.3} | {limit:.3}{} |",
        real.len(),
        real.first().unwrap_or(&f64::NAN),
        median(&real),
        real.last().unwrap_or(&f64::NAN),
        median(&rules),
        if holds { "" } else { " DIFFERS" },
    );
    holds
}

/// The largest distance between the two distributions, both sorted.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let share = |values: &[f64], x: f64| {
        values.partition_point(|value| *value <= x + 1e-6) as f64 / values.len() as f64
    };
    let both = a.iter().chain(b);
    both.map(|x| (share(a, *x) - share(b, *x)).abs())
        .fold(0.0, f64::max)
}

fn max_distance(a: usize, b: usize) -> f64 {
    let (a, b) = (a as f64, b as f64);
    LEVEL * ((a + b) / (a * b)).sqrt()
}
