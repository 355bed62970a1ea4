//! What all parts of the satellite share: the engine, the jobs under way, and
//! the way to each model.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use satellite_sdk::Context;

use crate::engine::{Container, Engine, Fault};
use crate::gateway::Routes;
use crate::job::Job;
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

    /// The job on this deployment is over.
    pub fn ended(&self, deployment_id: &str) {
        self.jobs().remove(deployment_id);
        self.0.job_ended.notify_all();
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
