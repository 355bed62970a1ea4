//! Calls for tasks: list, claim, report.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{PREFIX, PlatformClient};
use super::models::Task;
use super::safe;
use super::status::TaskStatus;
use satellite_core::http::{Call, Effort, Method, Op, Response, escaped};
use satellite_core::{Error, Result};

/// Tasks.
impl PlatformClient {
    /// The pending tasks of this satellite, oldest first.
    ///
    /// # Errors
    /// `is_unauthorized()` if the token is rejected; network faults.
    pub fn poll_tasks(&self) -> Result<Vec<Task>> {
        self.list_tasks(Some(&TaskStatus::Pending))
    }

    /// The tasks with one status, or all of them, oldest first.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let platform = mock.client();
    /// let running = platform.list_tasks(Some(&satellite_sdk::TaskStatus::Running))?;
    /// assert!(running.is_empty());
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_invalid()` for a status that the platform does not know.
    pub fn list_tasks(&self, status: Option<&TaskStatus>) -> Result<Vec<Task>> {
        self.tasks(status, Effort::Persistent)
    }

    /// Sent once: the worker has its own backoff.
    pub(crate) fn list_once(&self, status: &TaskStatus) -> Result<Vec<Task>> {
        self.tasks(Some(status), Effort::Once)
    }

    fn tasks(&self, status: Option<&TaskStatus>, effort: Effort) -> Result<Vec<Task>> {
        let path = match status {
            Some(status) => format!("{PREFIX}/tasks?status={}", escaped(status.as_str())),
            None => format!("{PREFIX}/tasks"),
        };
        let answer = self.send(Call::new(Method::GET, &path).effort(effort))?;
        tasks_in(answer)
    }

    /// Marks a task as running. False if it is already claimed or deleted
    /// (409, 404).
    ///
    /// The platform has no atomic claim and accepts a second one: run only one
    /// process per token.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # mock.add_task(satellite_sdk::testing::mock_task("t-1", "greet", serde_json::json!({})));
    /// # let platform = mock.client();
    /// assert!(platform.claim_task("t-1")?);
    /// assert!(!platform.claim_task("0198c0de-0000-7000-8000-000000000000")?);
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_outcome_unknown()` if there was no response: the task may be marked.
    pub fn claim_task(&self, task_id: &str) -> Result<bool> {
        match self.mark(task_id, &TaskStatus::Running, None, Effort::Persistent) {
            Ok(()) => Ok(true),
            Err(e) if e.is_not_found() || e.is_conflict() => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Sent once: the worker has its own backoff.
    pub(crate) fn claim_once(&self, task_id: &str) -> Result<()> {
        self.mark(task_id, &TaskStatus::Running, None, Effort::Once)
    }

    /// Reports the status of a task, with the platform's values or those of the
    /// Python kit (`completed`, `processing`). A message is put into the result as
    /// `{"reason", "error"}`.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # mock.add_task(satellite_sdk::testing::mock_task("t-1", "greet", serde_json::json!({})));
    /// # let platform = mock.client();
    /// platform.update_task_status("t-1", "failed", "the disk is full")?;
    /// assert_eq!(mock.result("t-1")["reason"], "the disk is full");
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()` for a task that no longer exists.
    pub fn update_task_status(
        &self,
        task_id: &str,
        status: impl Into<TaskStatus>,
        message: &str,
    ) -> Result<()> {
        let result = (!message.is_empty()).then(|| safe::failure_result(task_id, message, message));
        self.report(task_id, &status.into(), result)
    }

    /// Reports the status of a task with a custom result. The result is sanitized for
    /// the platform: NUL characters are removed, and values nested too deep (32 levels)
    /// or a result that is too large (256 KiB) are truncated. A result that is too large
    /// becomes `{"truncated": true, "bytes", "head"}`: its length and its beginning as text.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # mock.add_task(satellite_sdk::testing::mock_task("t-1", "greet", serde_json::json!({})));
    /// # let platform = mock.client();
    /// platform.finish_task("t-1", "done", serde_json::json!({ "rows": 7 }))?;
    /// assert_eq!(mock.result("t-1")["rows"], 7);
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()` for a task that no longer exists.
    pub fn finish_task(
        &self,
        task_id: &str,
        status: impl Into<TaskStatus>,
        result: Value,
    ) -> Result<()> {
        self.report(task_id, &status.into(), safe::as_result(task_id, result))
    }

    fn report(&self, task_id: &str, status: &TaskStatus, result: Option<Value>) -> Result<()> {
        self.mark(task_id, status, result.as_ref(), Effort::Persistent)?;
        if status.is_final() {
            let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            for (_, reported) in watched.iter().filter(|(id, _)| id == task_id) {
                reported.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Sent once: the worker has its own backoff.
    pub(crate) fn report_once(
        &self,
        task_id: &str,
        status: &TaskStatus,
        result: Option<&Value>,
    ) -> Result<()> {
        self.mark(task_id, status, result, Effort::Once)
    }

    fn mark(
        &self,
        task_id: &str,
        status: &TaskStatus,
        result: Option<&Value>,
        effort: Effort,
    ) -> Result<()> {
        let path = format!("{PREFIX}/tasks/{}/status", escaped(task_id));
        let body = match result {
            Some(result) => json!({ "status": status, "result": result }),
            None => json!({ "status": status }),
        };
        let call = Call::new(Method::POST, &path).op(Op::Idempotent);
        let answer = self.send(call.effort(effort).json(&body)?)?;
        // The platform returns the task; a captive portal would not.
        let marked: Marked = answer.json()?;
        match marked.id == task_id {
            true => Ok(()),
            false => Err(Error::new(format_args!(
                "task {task_id} was updated, but the response is about task {}",
                marked.id
            ))),
        }
    }
}

#[derive(Deserialize)]
struct Marked {
    id: String,
}

/// The tasks in a response, oldest first.
pub(crate) fn tasks_in(answer: Response) -> Result<Vec<Task>> {
    let items: Vec<Value> = answer.json()?;
    let mut tasks: Vec<Task> = items.into_iter().filter_map(task_of).collect();
    tasks.sort_by(Task::order);
    Ok(tasks)
}

/// Parses a task. An invalid task is skipped, so that it does not hide the others.
fn task_of(item: Value) -> Option<Task> {
    let id = item["id"].as_str().unwrap_or("without an id").to_owned();
    serde_json::from_value(item)
        .inspect_err(|e| log::warn!("skipping task {id}, which cannot be parsed: {e}"))
        .ok()
}
