//! Claims without a response: the platform may have marked the task running and
//! would then never offer it again, so the claim is retried until its outcome is
//! known.

use std::time::{Duration, Instant};

use super::retry_timer::RetryTimer;
use crate::luml::Task;
use satellite_core::Error;

#[derive(Default)]
pub(super) struct UnclearClaims {
    unclear: Vec<UnclearClaim>,
}

pub(super) struct UnclearClaim {
    pub(super) task: Task,
    timer: RetryTimer,
}

impl UnclearClaim {
    pub(super) fn new(task: Task, now: Instant, max_backoff: Duration) -> Self {
        UnclearClaim {
            task,
            timer: RetryTimer::new(now, max_backoff),
        }
    }

    /// An earlier claim of this task got no response.
    pub(super) fn was_tried(&self) -> bool {
        self.timer.is_failing()
    }
}

impl UnclearClaims {
    pub(super) fn put(&mut self, mut unclear: UnclearClaim, now: Instant, error: &Error) {
        unclear.timer.failed(now, error);
        self.unclear.push(unclear);
    }

    /// Removes and returns the first claim that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<UnclearClaim> {
        let position = self.unclear.iter().position(|u| u.timer.due() <= now)?;
        Some(self.unclear.remove(position))
    }

    /// Removes and returns the claim of the same task, or returns `fresh` if there
    /// is none. Returns `None` while the stored claim is not due.
    pub(super) fn take_or(&mut self, fresh: UnclearClaim, now: Instant) -> Option<UnclearClaim> {
        let same = |u: &UnclearClaim| u.task.id == fresh.task.id;
        let Some(position) = self.unclear.iter().position(same) else {
            return Some(fresh);
        };
        let is_due = self.unclear[position].timer.due() <= now;
        is_due.then(|| self.unclear.remove(position))
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.unclear.iter().map(|u| u.timer.due()).min()
    }

    pub(super) fn poll_failed(&mut self) {
        for unclear in &mut self.unclear {
            unclear.timer.poll_failed();
        }
    }

    /// The platform answered some call: claims delayed by an outage are due now.
    pub(super) fn platform_answered(&mut self, now: Instant) {
        for unclear in &mut self.unclear {
            unclear.timer.platform_answered(now);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unclear.is_empty()
    }
}
