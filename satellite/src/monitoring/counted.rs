//! The calls of a deployment, counted by their own threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use satellite_monitoring::{Calls, Event};
use satellite_sdk::metrics::Value;

use super::lock;

/// The bounds of the latency's buckets, in seconds.
pub const BOUNDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// The calls of a deployment, in parts: threads that count at the same time do not wait for each
/// other, and the figures stay in the cache of one CPU.
#[derive(Debug, Default)]
pub struct Counted([Part; PARTS]);

const PARTS: usize = 8;

/// In cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part(Mutex<Figures>);

thread_local! {
    /// The part of this thread.
    static PART: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        THREADS.fetch_add(1, Ordering::Relaxed) % PARTS
    };
}

#[derive(Debug, Default)]
struct Figures {
    /// Since they were taken the last time.
    new: Calls,
    totals: Totals,
}

/// The calls of a deployment since the start.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    pub successes: u64,
    pub errors: u64,
    pub duration: Value,
    pub request_bytes: u64,
    pub response_bytes: u64,
}

impl Counted {
    pub fn add(&self, event: &Event) {
        let mut figures = lock(&self.0[PART.with(|part| *part)].0);
        figures.new.add(event);
        figures.totals.add(event);
    }

    /// The calls since the last time.
    pub fn take(&self) -> Calls {
        let mut calls = Calls::default();
        for part in &self.0 {
            calls.merge(&std::mem::take(&mut lock(&part.0).new));
        }
        calls
    }

    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for part in &self.0 {
            totals.merge(&lock(&part.0).totals);
        }
        totals
    }
}

impl Totals {
    fn add(&mut self, event: &Event) {
        match event.is_success() {
            true => self.successes += 1,
            false => self.errors += 1,
        }
        let seconds = event.latency_ms / 1e3;
        self.duration.sum += seconds;
        self.duration.count += 1;
        self.duration.buckets.resize(BOUNDS.len() + 1, 0);
        self.duration.buckets[BOUNDS.partition_point(|bound| *bound < seconds)] += 1;
        self.request_bytes += event.request_bytes;
        self.response_bytes += event.response_bytes;
    }

    fn merge(&mut self, other: &Totals) {
        self.successes += other.successes;
        self.errors += other.errors;
        self.duration.sum += other.duration.sum;
        self.duration.count += other.duration.count;
        self.duration.buckets.resize(BOUNDS.len() + 1, 0);
        for (sum, count) in self
            .duration
            .buckets
            .iter_mut()
            .zip(&other.duration.buckets)
        {
            *sum += count;
        }
        self.request_bytes += other.request_bytes;
        self.response_bytes += other.response_bytes;
    }
}
