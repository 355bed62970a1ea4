//! The calls of a deployment, counted by their own threads.

use std::sync::Mutex;

use satellite_monitoring::{Calls, Event};
use satellite_sdk::metrics::Value;

use super::lock;

/// The bounds of the latency's buckets, in seconds.
pub const BOUNDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// The calls of a deployment.
#[derive(Debug, Default)]
pub struct Counted(Mutex<Figures>);

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
        let mut figures = lock(&self.0);
        figures.new.add(event);
        figures.totals.add(event);
    }

    /// The calls since the last time.
    pub fn take(&self) -> Calls {
        std::mem::take(&mut lock(&self.0).new)
    }

    pub fn totals(&self) -> Totals {
        lock(&self.0).totals.clone()
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
}
