//! Creates a worker or a client for a mock platform.

use std::time::Duration;

use serde_json::{Map, Value};

use super::MockPlatform;
use crate::luml::{PlatformClient, Task, TaskStatus};
use crate::worker::Builder;

impl MockPlatform {
    /// A worker for this platform: with its address and token, a short poll interval,
    /// no health port, and no signal handlers.
    ///
    /// ```
    /// use satellite_sdk::testing::{MockPlatform, mock_task};
    /// use satellite_sdk::{Context, Task};
    ///
    /// let platform = MockPlatform::start();
    /// platform.add_task(mock_task("t-1", "greet", serde_json::json!({ "name": "Ada" })));
    /// let greet = |task: Task, _: &Context| satellite_sdk::done(format!("Hello, {}", task.payload["name"]));
    /// platform.worker().handler("greet", greet).build()?.run_until_idle()?;
    /// assert_eq!(platform.status("t-1"), "done");
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    pub fn worker(&self) -> Builder {
        Builder::new()
            .platform_url(self.url())
            .token(self.token())
            .poll_interval(Duration::from_millis(10))
            .no_health()
            .no_signals()
    }

    /// A client for this platform, without a worker.
    ///
    /// ```
    /// let platform = satellite_sdk::testing::MockPlatform::start();
    /// assert!(platform.client().poll_tasks()?.is_empty());
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    pub fn client(&self) -> PlatformClient {
        self.worker()
            .platform()
            .expect("the mock platform's own address and token are valid settings")
    }
}

/// A pending task, for [`MockPlatform::add_task`] or to call a handler directly.
///
/// ```
/// let task = satellite_sdk::testing::mock_task("t-1", "deploy", serde_json::json!({}));
/// assert_eq!(task.task_type, "deploy");
/// ```
pub fn mock_task(id: impl Into<String>, task_type: impl Into<String>, payload: Value) -> Task {
    Task {
        id: id.into(),
        task_type: task_type.into(),
        payload,
        status: TaskStatus::Pending,
        created_at: String::new(),
        extra: Map::new(),
    }
}
