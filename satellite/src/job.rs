//! Jobs: what is done on one deployment, in a thread of its own, with patience for
//! an engine and a platform that are away.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::{Context, Error, Failure, Later, PlatformClient, Task};
use serde::Deserialize;

use crate::engine::{Engine, Fault};
use crate::fleet::Fleet;
use crate::queue::{Outdated, Turn, Wish};

/// What a deploy or undeploy task is about.
#[derive(Debug, Deserialize)]
pub struct Target {
    pub deployment_id: String,
}

/// A handler whose answer comes later, from a thread that does `work` and then
/// reports what came of it, so that other tasks go on.
pub fn handler<T: 'static>(
    fleet: Fleet,
    wish: Wish,
    work: fn(&Job, &str) -> Result<T, End>,
    conclude: fn(&Job, Result<T, End>, Later),
) -> impl Fn(Task<Target>, &Context) -> Result<(), Failure> {
    move |task, cx| {
        let id = task.payload.deployment_id;
        if !is_id(&id) {
            let error = format!("payload.deployment_id: {id:?} is no id");
            return Err(Failure::new("the payload does not fit", error));
        }
        // The failure of a task is logged by its id alone: this line tells whose task it is.
        log::info!("{wish} of deployment {id} begins");
        // In the order of the tasks: the thread may take its time to begin.
        let job = Job {
            turn: fleet.queue().join(&id, wish),
            fleet: fleet.clone(),
            cx: cx.clone(),
            deployment_id: id,
        };
        let later = cx.later().ok_or("a task without an answer")?;
        thread::Builder::new().name("job".into()).spawn(move || {
            job.fleet.queue().wait(&job.deployment_id, &job.turn);
            let end = catch_unwind(AssertUnwindSafe(|| {
                job.check_wanted()?;
                work(&job, later.task_id())
            }));
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
    /// It is not wanted any more.
    Outdated(Outdated),
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
    turn: Arc<Turn>,
}

impl Job {
    /// Waits, unless the job is not wanted any more.
    pub fn pause(&self, duration: Duration) -> Result<(), End> {
        let end = Instant::now() + duration;
        loop {
            self.check_wanted()?;
            let left = end.saturating_duration_since(Instant::now());
            if !self.cx.sleep(left.min(Duration::from_millis(250))) {
                return Err(End::Stopping);
            }
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    fn check_wanted(&self) -> Result<(), End> {
        match self.turn.outdated() {
            Some(why) => Err(End::Outdated(why)),
            None => Ok(()),
        }
    }

    /// Asks the engine; one that is away is waited for.
    pub fn engine<T>(
        &self,
        mut work: impl FnMut(&Engine) -> Result<T, Fault>,
    ) -> Result<Result<T, Fault>, End> {
        let answer = self.patiently(|| work(self.fleet.engine()), |f| self.is_engine_away(f))?;
        self.fleet.engine_is_back(&self.cx);
        Ok(answer)
    }

    /// Whether the engine's absence explains this fault: an engine that goes down
    /// has many words for it, so it is asked.
    pub fn is_engine_away(&self, fault: &Fault) -> bool {
        let away = match fault {
            Fault::NoEngine(_) => true,
            Fault::Other(_) => {
                // It may still answer while it goes down.
                let _ = self.pause(Duration::from_millis(500));
                matches!(self.fleet.engine().version(), Err(Fault::NoEngine(_)))
            }
            _ => false,
        };
        if away {
            self.fleet.engine_is_away(&self.cx, fault);
        }
        away
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
        self.fleet.queue().leave(&self.deployment_id, &self.turn);
    }
}

/// What the platform calls a deployment, fit for a label, a name and a path.
fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}
