//! The figures of calls that need no body.

use crate::event::Event;
use crate::sketch::Sketch;

/// How many calls there were, how they ended, and how long they took. Adding one takes no memory
/// but that of the latencies' sketch, so that each call can be added by its own thread.
///
/// ```
/// use satellite_monitoring::{Calls, Event, Monitor, Profile, Settings};
///
/// let mut calls = Calls::default();
/// calls.add(&Event { status: 200, latency_ms: 12.0, ..Event::default() });
/// let mut monitor = Monitor::new(Settings::default());
/// monitor.watch("d-1", Profile::default(), 0);
/// monitor.count("d-1", &calls);
/// assert_eq!(monitor.tick(60_000)[0].requests, 1);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calls {
    pub(crate) requests: u64,
    pub(crate) successes: u64,
    pub(crate) failed_inferences: u64,
    pub(crate) timeouts: u64,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) latency: Sketch,
}

impl Calls {
    /// Adds a call.
    pub fn add(&mut self, event: &Event) {
        self.requests += 1;
        self.successes += u64::from(event.is_success());
        self.failed_inferences += u64::from(event.is_failed_inference());
        self.timeouts += u64::from(event.is_timeout());
        self.request_bytes += event.request_bytes;
        self.response_bytes += event.response_bytes;
        self.latency.insert(event.latency_ms);
    }

    /// Adds all calls of another.
    ///
    /// ```
    /// # use satellite_monitoring::{Calls, Event};
    /// let mut calls = [Calls::default(), Calls::default()];
    /// calls.iter_mut().for_each(|calls| calls.add(&Event::default()));
    /// let [mut all, other] = calls;
    /// all.merge(&other);
    /// assert_ne!(all, other);
    /// ```
    pub fn merge(&mut self, other: &Calls) {
        self.requests += other.requests;
        self.successes += other.successes;
        self.failed_inferences += other.failed_inferences;
        self.timeouts += other.timeouts;
        self.request_bytes += other.request_bytes;
        self.response_bytes += other.response_bytes;
        self.latency.merge(&other.latency);
    }
}
