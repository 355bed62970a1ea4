//! Results to deliver, kept until the platform has accepted them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::report::Report;
use super::retry_timer::RetryTimer;
use crate::luml::failure_result;
use satellite_core::Error;

/// The reports that are not delivered yet, and the tasks with a deferred result.
pub(super) struct Outbox {
    waiting: VecDeque<Waiting>,
    deferred: Vec<String>,
    max_backoff: Duration,
}

pub(super) struct Waiting {
    pub(super) report: Report,
    timer: RetryTimer,
    /// The platform rejected the result, so only the status is sent.
    pub(super) is_reduced: bool,
}

impl Outbox {
    /// `max_backoff` is the longest wait between two attempts to send a report.
    pub(super) fn new(max_backoff: Duration) -> Self {
        Outbox {
            waiting: VecDeque::new(),
            deferred: Vec::new(),
            max_backoff,
        }
    }

    pub(super) fn push(&mut self, report: Report, now: Instant) {
        self.waiting.push_back(Waiting {
            report,
            timer: RetryTimer::new(now, self.max_backoff),
            is_reduced: false,
        });
    }

    /// Removes and returns the first report that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Waiting> {
        let position = self.waiting.iter().position(|w| w.timer.due() <= now)?;
        self.waiting.remove(position)
    }

    /// Puts back a report that could not be delivered.
    pub(super) fn put_back(&mut self, mut waiting: Waiting, now: Instant, error: &Error) {
        waiting.timer.failed(now, error);
        self.waiting.push_back(waiting);
    }

    pub(super) fn poll_failed(&mut self) {
        for waiting in &mut self.waiting {
            waiting.timer.poll_failed();
        }
    }

    /// The platform answered some call: reports delayed by an outage are due now.
    pub(super) fn platform_answered(&mut self, now: Instant) {
        for waiting in &mut self.waiting {
            waiting.timer.platform_answered(now);
        }
    }

    /// Puts back a report whose result was rejected, to be sent without it.
    pub(super) fn put_back_reduced(&mut self, mut waiting: Waiting, now: Instant) {
        let note = "the platform rejected this task's result; see the satellite's log";
        let reduced = failure_result(&waiting.report.task_id, "the result was refused", note);
        if let Some(rejected) = waiting.report.result.replace(reduced) {
            log::error!(
                "task {}: rejected result: {rejected}",
                waiting.report.task_id
            );
        }
        waiting.is_reduced = true;
        waiting.timer.succeeded(now); // the platform is up: resend at once
        self.waiting.push_back(waiting);
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.iter().map(|w| w.timer.due()).min()
    }

    pub(super) fn defer(&mut self, task_id: &str) {
        self.deferred.push(task_id.to_owned());
    }

    pub(super) fn deferral_ended(&mut self, task_id: &str) {
        self.deferred.retain(|deferred| deferred != task_id);
    }

    /// Whether this task has a deferred or undelivered result.
    pub(super) fn contains(&self, task_id: &str) -> bool {
        self.deferred.iter().any(|deferred| deferred == task_id)
            || self.waiting.iter().any(|w| w.report.task_id == task_id)
    }

    pub(super) fn undelivered(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.deferred.is_empty()
    }
}
