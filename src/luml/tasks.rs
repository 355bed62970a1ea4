//! Tasks: listed, claimed, reported.

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
    /// The tasks that wait for this satellite, oldest first.
    ///
    /// # Errors
    /// `is_unauthorized()` when the token is refused; faults on the way.
    pub fn poll_tasks(&self) -> Result<Vec<Task>> {
        self.list_tasks(Some(&TaskStatus::Pending))
    }

    /// The tasks in one state, or all of them, oldest first.
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

    /// One look, not sent again: the worker has its own backoff.
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

    /// Marks a task running. False when somebody else has it or it is gone
    /// (409, 404).
    ///
    /// The platform has no claim of its own and takes the mark twice: one
    /// process for each token keeps it safe.
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
    /// `is_outcome_unknown()` when no answer came: the task may be marked.
    pub fn claim_task(&self, task_id: &str) -> Result<bool> {
        match self.mark(task_id, &TaskStatus::Running, None, Effort::Persistent) {
            Ok(()) => Ok(true),
            Err(e) if e.is_not_found() || e.is_conflict() => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// One claim, not sent again: the worker has its own backoff.
    pub(crate) fn claim_once(&self, task_id: &str) -> Result<()> {
        self.mark(task_id, &TaskStatus::Running, None, Effort::Once)
    }

    /// Reports where a task stands, in the platform's words or in those of the
    /// Python kit (`completed`, `processing`). A message goes into the result as
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
    /// `is_not_found()` for a task that is gone.
    pub fn update_task_status(
        &self,
        task_id: &str,
        status: impl Into<TaskStatus>,
        message: &str,
    ) -> Result<()> {
        let result = (!message.is_empty()).then(|| safe::failure_result(task_id, message, message));
        self.report(task_id, &status.into(), result)
    }

    /// Reports where a task stands with a result of your own, which is made
    /// safe for the platform: NUL characters go, and what is too deep (32 levels) or
    /// too large (256 KiB) is cut. A result that is too large becomes
    /// `{"truncated": true, "bytes", "head"}`: its length and its beginning as text.
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
    /// `is_not_found()` for a task that is gone.
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

    /// One report, not sent again: the worker has its own backoff.
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
        // The platform answers with the task; a portal on the way would not.
        let marked: Marked = answer.json()?;
        match marked.id == task_id {
            true => Ok(()),
            false => Err(Error::new(format_args!(
                "task {task_id} was marked, and the answer speaks of task {}",
                marked.id
            ))),
        }
    }
}

#[derive(Deserialize)]
struct Marked {
    id: String,
}

/// The tasks that an answer lists, oldest first.
pub(crate) fn tasks_in(answer: Response) -> Result<Vec<Task>> {
    let items: Vec<Value> = answer.json()?;
    let mut tasks: Vec<Task> = items.into_iter().filter_map(task_of).collect();
    tasks.sort_by(Task::order);
    Ok(tasks)
}

/// One unreadable task must not hide the others.
fn task_of(item: Value) -> Option<Task> {
    let id = item["id"].as_str().unwrap_or("without an id").to_owned();
    serde_json::from_value(item)
        .inspect_err(|e| log::warn!("task {id} is left alone, it cannot be read: {e}"))
        .ok()
}
