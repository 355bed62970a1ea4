//! How a task ended.

use std::time::Duration;

use serde_json::Value;

use crate::luml::TaskStatus;

/// How a task ended, as it was reported to the platform.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// The task's id.
    pub task_id: String,
    /// The task's type.
    pub task_type: String,
    /// [`TaskStatus::Done`] or [`TaskStatus::Failed`].
    pub status: TaskStatus,
    /// The result as it was sent: sanitised for the platform, possibly truncated.
    pub result: Option<Value>,
    /// From the claim to the result.
    pub elapsed: Duration,
}

/// The callback of `Builder::on_report`.
pub(super) type OnReport = Box<dyn FnMut(&Report) + Send>;
