//! Claims without an answer: the platform may have marked the task running and
//! will then never offer it again, so the claim is asked for until it is clear.

use std::time::Instant;

use crate::luml::Task;
use satellite_core::http::Backoff;

#[derive(Default)]
pub(super) struct Inbox {
    unclear: Vec<Unclear>,
}

pub(super) struct Unclear {
    pub(super) task: Task,
    due: Instant,
    backoff: Backoff,
}

impl Unclear {
    pub(super) fn new(task: Task, now: Instant, backoff: Backoff) -> Self {
        Unclear {
            task,
            due: now,
            backoff,
        }
    }

    /// An earlier claim of it has had no answer.
    pub(super) fn was_tried(&self) -> bool {
        self.backoff.has_failed()
    }
}

impl Inbox {
    pub(super) fn put(&mut self, mut unclear: Unclear, now: Instant) {
        unclear.due = now + unclear.backoff.failed(None);
        self.unclear.push(unclear);
    }

    /// Takes out the first claim whose time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Unclear> {
        let position = self.unclear.iter().position(|u| u.due <= now)?;
        Some(self.unclear.remove(position))
    }

    /// Takes out the claim of this task: the platform offers it again.
    pub(super) fn take(&mut self, task_id: &str) -> Option<Unclear> {
        let position = self.unclear.iter().position(|u| u.task.id == task_id)?;
        Some(self.unclear.remove(position))
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.unclear.iter().map(|u| u.due).min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unclear.is_empty()
    }
}
