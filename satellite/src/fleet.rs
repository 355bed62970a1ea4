//! What all parts of the satellite share: the engine, the jobs under way, and
//! the way to each model.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use satellite_sdk::{Context, Error, Failure};

use crate::engine::{Container, Engine, Fault};
use crate::gateway::Routes;
use crate::settings::Settings;

/// The name under which `/readyz` tells that the engine is away.
const ENGINE: &str = "engine";

/// Shared by everybody; clones are cheap.
#[derive(Clone)]
pub struct Fleet(Arc<Shared>);

struct Shared {
    settings: Settings,
    engine: Engine,
    owner: String,
    routes: Routes,
    jobs: Mutex<HashMap<String, Arc<AtomicBool>>>,
    job_ended: Condvar,
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

impl Fleet {
    pub fn new(settings: Settings, token: &str, routes: Routes) -> Self {
        Fleet(Arc::new(Shared {
            engine: Engine::new(&settings),
            settings,
            owner: mark(token),
            routes,
            jobs: Mutex::default(),
            job_ended: Condvar::new(),
        }))
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The ways to the models, for the gateway.
    pub fn routes(&self) -> &Routes {
        &self.0.routes
    }

    /// What this satellite marks its containers with.
    pub fn owner(&self) -> &str {
        &self.0.owner
    }

    pub fn owns(&self, container: &Container) -> bool {
        container.owner.as_deref() == Some(self.owner())
    }

    pub fn is_busy_with(&self, deployment_id: &str) -> bool {
        self.jobs().contains_key(deployment_id)
    }

    /// Begins a job on a deployment: one at a time. The one under way, if any,
    /// is told to give up, and waited for.
    pub fn begin(&self, deployment_id: &str, cx: &Context) -> Job {
        let cancelled = Arc::new(AtomicBool::new(false));
        let mut jobs = self.jobs();
        while let Some(earlier) = jobs.get(deployment_id) {
            earlier.store(true, Ordering::Relaxed);
            jobs = self
                .0
                .job_ended
                .wait_timeout(jobs, Duration::from_secs(1))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        jobs.insert(deployment_id.to_owned(), Arc::clone(&cancelled));
        Job {
            fleet: self.clone(),
            cx: cx.clone(),
            deployment_id: deployment_id.to_owned(),
            cancelled,
        }
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<String, Arc<AtomicBool>>> {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fleet")
    }
}

/// Work on one deployment, in a thread of its own.
pub struct Job {
    pub fleet: Fleet,
    pub cx: Context,
    pub deployment_id: String,
    cancelled: Arc<AtomicBool>,
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
        mut work: impl FnMut(&satellite_sdk::PlatformClient) -> Result<T, Error>,
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
        self.fleet.jobs().remove(&self.deployment_id);
        self.fleet.0.job_ended.notify_all();
    }
}

impl Fleet {
    pub fn engine_is_away(&self, cx: &Context, fault: &Fault) {
        cx.health().problem(ENGINE, fault);
    }

    pub fn engine_is_back(&self, cx: &Context) {
        cx.health().clear(ENGINE);
    }
}

/// A name for the owner of a token that tells nothing of it: FNV-1a, 64 bits.
fn mark(token: &str) -> String {
    let hash = token.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}
