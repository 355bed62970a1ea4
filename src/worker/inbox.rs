//! Claims without an answer: the platform may have marked the task running and
//! will then never offer it again, so the claim is asked for until it is clear.

use std::time::{Duration, Instant};

use super::retry_timer::RetryTimer;
use crate::luml::Task;
use satellite_core::Error;

#[derive(Default)]
pub(super) struct Inbox {
    unclear: Vec<Unclear>,
}

pub(super) struct Unclear {
    pub(super) task: Task,
    timer: RetryTimer,
}

impl Unclear {
    pub(super) fn new(task: Task, now: Instant, max_backoff: Duration) -> Self {
        Unclear {
            task,
            timer: RetryTimer::new(now, max_backoff),
        }
    }

    /// An earlier claim of it has had no answer.
    pub(super) fn was_tried(&self) -> bool {
        self.timer.is_failing()
    }
}

impl Inbox {
    pub(super) fn put(&mut self, mut unclear: Unclear, now: Instant, error: &Error) {
        unclear.timer.failed(now, error);
        self.unclear.push(unclear);
    }

    /// Takes out the first claim whose time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Unclear> {
        let position = self.unclear.iter().position(|u| u.timer.due() <= now)?;
        Some(self.unclear.remove(position))
    }

    /// Takes out the claim of the same task, or gives back `fresh` where there is
    /// none; nothing while the claim in here is not due.
    pub(super) fn take_or(&mut self, fresh: Unclear, now: Instant) -> Option<Unclear> {
        let same = |u: &Unclear| u.task.id == fresh.task.id;
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

    /// The platform answered some call: claims that an outage held back are due.
    pub(super) fn platform_answered(&mut self, now: Instant) {
        for unclear in &mut self.unclear {
            unclear.timer.platform_answered(now);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unclear.is_empty()
    }
}
