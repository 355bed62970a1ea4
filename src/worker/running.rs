//! A task in progress, and the one report about it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value;

use super::report::Report;
use crate::luml::{Task, TaskStatus, as_result, failure_result};
use satellite_core::Failure;

/// A task whose handler runs, or whose result is deferred.
pub(super) struct Running {
    pub(super) task_id: String,
    pub(super) task_type: String,
    pub(super) started: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// The handler has returned.
    pub(super) returned: bool,
    /// The handler has taken a [`Later`](super::Later).
    pub(super) deferred: bool,
    /// The [`Later`](super::Later) was dropped without a result.
    pub(super) dropped: bool,
    /// There is a result; later ones are ignored.
    pub(super) answered: bool,
}

impl Running {
    pub(super) fn new(task_id: String, task_type: String, started: Instant) -> Self {
        Running {
            task_id,
            task_type,
            started,
            state: Mutex::default(),
        }
    }

    /// The handler has returned: the report to send now, if any. `already_reported`
    /// says that the handler has reported to the platform itself.
    pub(super) fn returned(
        &self,
        result: Result<Value, Failure>,
        already_reported: bool,
    ) -> Option<Report> {
        let mut state = self.state();
        state.returned = true;
        if already_reported {
            state.answered = true;
            return None;
        }
        let deferred = state.deferred && !state.dropped;
        if state.answered || (deferred && result.is_ok()) {
            return None;
        }
        state.answered = true;
        Some(match result {
            Ok(_) if state.dropped => self.failed(&dropped_without_result()),
            Ok(value) => self.done(value),
            Err(failure) => self.failed(&failure),
        })
    }

    pub(super) fn done(&self, value: Value) -> Report {
        let result = as_result(&self.task_id, value);
        self.report(TaskStatus::Done, result)
    }

    pub(super) fn failed(&self, failure: &Failure) -> Report {
        let result = failure_result(&self.task_id, failure.reason(), failure.error());
        self.report(TaskStatus::Failed, Some(result))
    }

    fn report(&self, status: TaskStatus, result: Option<Value>) -> Report {
        Report {
            task_id: self.task_id.clone(),
            task_type: self.task_type.clone(),
            status,
            result,
            elapsed: self.started.elapsed(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The report on a task that a previous process claimed and did not finish.
pub(super) fn orphan_report(task: Task) -> Report {
    let running = Running::new(task.id, task.task_type, Instant::now());
    let error = "the satellite ended while this task ran; whether its work was done is unknown";
    running.failed(&Failure::new("the satellite was killed", error))
}

pub(super) fn dropped_without_result() -> Failure {
    Failure::new(
        "no answer",
        "the result was deferred, but its `Later` was dropped without a result",
    )
}
