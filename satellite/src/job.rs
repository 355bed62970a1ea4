//! Jobs: what is done on one deployment, in a thread of its own, with patience for
//! an engine and a platform that are away.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::{Context, Error, Failure, Later, PlatformClient, Task};
use serde::Deserialize;

use crate::engine::{Engine, Fault};
use crate::fleet::Fleet;

/// What a deploy or undeploy task is about.
#[derive(Debug, Deserialize)]
pub struct Target {
    pub deployment_id: String,
}

/// A handler whose answer comes later, from a thread that does `work` and then
/// reports what came of it, so that other tasks go on.
pub fn handler<T: 'static>(
    fleet: Fleet,
    work: fn(&Job, &str) -> Result<T, End>,
    conclude: fn(&Job, Result<T, End>, Later),
) -> impl Fn(Task<Target>, &Context) -> Result<(), Failure> {
    move |task, cx| {
        let later = cx.later().ok_or("a task without an answer")?;
        let (fleet, cx) = (fleet.clone(), cx.clone());
        let id = task.payload.deployment_id;
        thread::Builder::new().name("job".into()).spawn(move || {
            let job = fleet.begin(&id, &cx);
            let end = catch_unwind(AssertUnwindSafe(|| work(&job, later.task_id())));
            let end = end.unwrap_or_else(|_| Err(failed("Failed to deploy model", "a panic")));
            conclude(&job, end, later);
        })?;
        Ok(())
    }
}

/// Why a job ended without its work being done.
#[derive(Debug)]
pub enum End {
    /// It went wrong.
    Failed(Failure),
    /// It is not wanted any more: the deployment is being deleted.
    Cancelled,
    /// The satellite stops; the next process goes on.
    Stopping,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        End::Failed(failure)
    }
}

/// It went wrong, for this reason.
pub fn failed(reason: &str, error: impl fmt::Display) -> End {
    End::Failed(Failure::new(reason, error))
}

/// Work on one deployment, in a thread of its own.
pub struct Job {
    pub fleet: Fleet,
    pub cx: Context,
    pub deployment_id: String,
    pub cancelled: Arc<AtomicBool>,
}

impl Job {
    /// Waits, unless the job is not wanted any more.
    pub fn pause(&self, duration: Duration) -> Result<(), End> {
        let end = Instant::now() + duration;
        loop {
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(End::Cancelled);
            }
            let left = end.saturating_duration_since(Instant::now());
            if !self.cx.sleep(left.min(Duration::from_millis(250))) {
                return Err(End::Stopping);
            }
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    /// Asks the engine; one that is away is waited for.
    pub fn engine<T>(
        &self,
        mut work: impl FnMut(&Engine) -> Result<T, Fault>,
    ) -> Result<Result<T, Fault>, End> {
        let away = |fault: &Fault| {
            let away = fault.is_no_engine();
            if away {
                self.fleet.engine_is_away(&self.cx, fault);
            }
            away
        };
        let mut answer = self.patiently(|| work(self.fleet.engine()), away)?;
        if let Err(Fault::Other(text)) = &answer {
            // An engine that is going down has many words for it.
            log::debug!("deployment {}: {text}; once more", self.deployment_id);
            self.pause(Duration::from_secs(1))?;
            answer = self.patiently(|| work(self.fleet.engine()), away)?;
        }
        self.fleet.engine_is_back(&self.cx);
        Ok(answer)
    }

    /// Asks the platform; one that is away is waited for.
    pub fn platform<T>(
        &self,
        mut work: impl FnMut(&PlatformClient) -> Result<T, Error>,
    ) -> Result<Result<T, Error>, End> {
        self.patiently(|| work(self.cx.platform()), Error::is_retryable)
    }

    fn patiently<T, E: fmt::Display>(
        &self,
        mut work: impl FnMut() -> Result<T, E>,
        is_away: impl Fn(&E) -> bool,
    ) -> Result<Result<T, E>, End> {
        let mut wait = Duration::from_secs(1);
        loop {
            match work() {
                Err(error) if is_away(&error) => {
                    log::warn!("deployment {} waits: {error}", self.deployment_id);
                    self.pause(wait)?;
                    wait = (wait * 2).min(Duration::from_secs(30));
                }
                answer => return Ok(answer),
            }
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.fleet.ended(&self.deployment_id);
    }
}
