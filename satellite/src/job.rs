//! Jobs: the work on one deployment, in its own thread. A job retries while the engine or
//! the platform is unavailable.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::{Context, Error, Failure, Later, PlatformClient, Task};
use serde::Deserialize;

use crate::engine::{Engine, Fault};
use crate::queue::{Cancelled, DesiredState, Entry};
use crate::shared::Shared;

/// The payload of a deploy or undeploy task.
#[derive(Debug, Deserialize)]
pub struct Target {
    pub deployment_id: String,
}

/// Creates a handler that runs `work` in a thread and reports the result from there, so
/// that other tasks are not blocked.
pub fn handler<T: 'static>(
    shared: Shared,
    desired: DesiredState,
    work: fn(&Job, &str) -> Result<T, JobError>,
    finish: fn(&Job, Result<T, JobError>, Later),
) -> impl Fn(Task<Target>, &Context) -> Result<(), Failure> {
    move |task, cx| {
        let id = task.payload.deployment_id;
        if !is_id(&id) {
            let error = format!("payload.deployment_id: {id:?} is not a valid id");
            return Err(Failure::new("the payload does not fit", error));
        }
        // The SDK logs a failure with the task id only: this line adds the deployment id.
        log::info!("{desired} of deployment {id} started");
        // Enqueued here and not in the thread, to keep the order of the tasks.
        let job = Job {
            entry: shared.queue().enqueue(&id, desired),
            shared: shared.clone(),
            cx: cx.clone(),
            deployment_id: id,
        };
        let later = cx.later().ok_or("the task takes no deferred result")?;
        thread::Builder::new().name("job".into()).spawn(move || {
            job.shared
                .queue()
                .wait_until_first(&job.deployment_id, &job.entry);
            let end = catch_unwind(AssertUnwindSafe(|| {
                job.check_cancelled()?;
                work(&job, later.task_id())
            }));
            let end = end.unwrap_or_else(|_| Err(failed("Failed to deploy model", "a panic")));
            finish(&job, end, later);
        })?;
        Ok(())
    }
}

/// Why a job ended without success.
#[derive(Debug)]
pub enum JobError {
    Failed(Failure),
    /// A later job cancelled it.
    Cancelled(Cancelled),
    /// The satellite is shutting down; the next process continues the task.
    Stopping,
}

impl From<Failure> for JobError {
    fn from(failure: Failure) -> Self {
        JobError::Failed(failure)
    }
}

/// A failure with this reason.
pub fn failed(reason: &str, error: impl fmt::Display) -> JobError {
    JobError::Failed(Failure::new(reason, error))
}

/// The work on one deployment, in its own thread.
pub struct Job {
    pub shared: Shared,
    pub cx: Context,
    pub deployment_id: String,
    entry: Arc<Entry>,
}

impl Job {
    /// Sleeps; returns early if the job is cancelled or the satellite shuts down.
    pub fn pause(&self, duration: Duration) -> Result<(), JobError> {
        let end = Instant::now() + duration;
        loop {
            self.check_cancelled()?;
            let left = end.saturating_duration_since(Instant::now());
            if !self.cx.sleep(left.min(Duration::from_millis(250))) {
                return Err(JobError::Stopping);
            }
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    fn check_cancelled(&self) -> Result<(), JobError> {
        match self.entry.cancelled() {
            Some(why) => Err(JobError::Cancelled(why)),
            None => Ok(()),
        }
    }

    /// Calls the engine; retries while it is unavailable.
    pub fn engine<T>(
        &self,
        mut work: impl FnMut(&dyn Engine) -> Result<T, Fault>,
    ) -> Result<Result<T, Fault>, JobError> {
        let result = self.retry_while_unavailable(
            || work(self.shared.engine()),
            |f| self.is_engine_unavailable(f),
        )?;
        self.shared.set_engine_available(&self.cx);
        Ok(result)
    }

    /// Whether this fault means that the engine is unavailable. The messages of an engine
    /// that is shutting down vary, so an unknown fault is verified by asking its version.
    pub fn is_engine_unavailable(&self, fault: &Fault) -> bool {
        let unavailable = match fault {
            Fault::NoEngine(_) => true,
            Fault::Other(_) => {
                // It may still answer while it shuts down.
                let _ = self.pause(Duration::from_millis(500));
                matches!(self.shared.engine().version(), Err(Fault::NoEngine(_)))
            }
            _ => false,
        };
        if unavailable {
            self.shared.set_engine_unavailable(&self.cx, fault);
        }
        unavailable
    }

    /// Calls the platform; retries while it is unavailable.
    pub fn platform<T>(
        &self,
        mut work: impl FnMut(&PlatformClient) -> Result<T, Error>,
    ) -> Result<Result<T, Error>, JobError> {
        self.retry_while_unavailable(|| work(self.cx.platform()), Error::is_retryable)
    }

    fn retry_while_unavailable<T, E: fmt::Display>(
        &self,
        mut work: impl FnMut() -> Result<T, E>,
        is_unavailable: impl Fn(&E) -> bool,
    ) -> Result<Result<T, E>, JobError> {
        let mut wait = Duration::from_secs(1);
        loop {
            match work() {
                Err(error) if is_unavailable(&error) => {
                    log::warn!("deployment {}: retrying: {error}", self.deployment_id);
                    self.pause(wait)?;
                    wait = (wait * 2).min(Duration::from_secs(30));
                }
                result => return Ok(result),
            }
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.shared.queue().remove(&self.deployment_id, &self.entry);
    }
}

/// Whether the id is safe in a label, a container name and a URL path.
fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}
