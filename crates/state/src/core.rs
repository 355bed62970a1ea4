//! What the parts of a running processor share: the state, its store, and the
//! progress of the processor.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value;

use super::memory::StateAccess;
use super::metrics;
use super::outage::Outage;
use super::progress::{LastSave, Progress};
use super::settings::Settings;
use super::store::{LeaseRenewer, LeaseValidity, Store};
use super::turns::Turns;
use satellite_core::wake::Waiter;
use satellite_core::{Error, Failure, Result};
use satellite_health::Health;
use satellite_health::metrics::Metrics;
use satellite_serve::{Request, Response};

/// The name of the health problem that says why a processor is not ready.
pub(super) const PROCESSOR: &str = "processor";
pub(super) type Intercept = Box<dyn Fn(&mut Request<'_>, bool) -> Option<Response> + Send + Sync>;
pub(super) type Migrate = Box<dyn Fn(u32, Value) -> Result<Value, Failure> + Send + Sync>;

pub(super) struct Core {
    pub(super) settings: Settings,
    /// Responds to requests before the endpoints do.
    pub(super) intercept: Option<Intercept>,
    /// Why `/healthz` fails, as reported by the processor.
    pub(super) liveness_problem: Mutex<Option<String>>,
    /// Whether another process gets the state when it asks for it.
    pub(super) yields: AtomicBool,
    /// The process that asked last and did not get it.
    pub(super) refused: Mutex<String>,
    pub(super) schema: u32,
    pub(super) migrate: Migrate,
    /// The unique name of this process.
    pub(super) holder: String,
    pub(super) waiter: Waiter,
    pub(super) health: Health,
    pub(super) memory: Arc<dyn StateAccess>,
    pub(super) turns: Turns,
    pub(super) started_at: Instant,
    /// Responses of `/prestop` that are not sent yet.
    pub(super) prestops: AtomicUsize,
    pub(super) store: Mutex<Box<dyn Store>>,
    /// Separate from the store, which a save may keep locked.
    pub(super) lease_renewer: Mutex<Option<Box<dyn LeaseRenewer>>>,
    /// Until when this process may act on the state.
    pub(super) lease_validity: LeaseValidity,
    /// The state in memory is a copy, used to prepare for a takeover.
    pub(super) is_preparing: AtomicBool,
    /// It may ask another process for the state.
    pub(super) is_prepared: AtomicBool,
    /// Opening failed because this process has to prepare before it asks.
    pub(super) has_to_prepare: AtomicBool,
    /// Held from serializing the state to storing it: one save at a time, so that an
    /// older state never replaces a newer one.
    pub(super) saving: Mutex<LastSave>,
    pub(super) attempt: AtomicU32,
    /// True from restoring the state until the last save.
    pub(super) is_open: AtomicBool,
    /// Held during the final save: it runs once.
    pub(super) finishing: Mutex<()>,
    progress: Mutex<Progress>,
    pub(super) changed: Condvar,
    pub(super) wakers: Mutex<Vec<Waker>>,
    pub(super) open_outage: Mutex<Outage>,
    pub(super) save_outage: Mutex<Outage>,
    pub(super) renew_outage: Mutex<Outage>,
}

pub(super) type Waker = Box<dyn Fn() + Send + Sync>;

impl Core {
    pub(super) fn new(
        settings: Settings,
        schema: u32,
        migrate: Migrate,
        store: Box<dyn Store>,
        memory: Arc<dyn StateAccess>,
        waiter: Waiter,
        started_at: Instant,
    ) -> Self {
        let health = Health::new();
        health.starting(PROCESSOR, "starting");
        health.metrics().show(metrics::ALL);
        Core {
            holder: super::identity::holder(&settings.pod_name, settings.in_cluster),
            settings,
            intercept: None,
            liveness_problem: Mutex::default(),
            yields: AtomicBool::new(true),
            refused: Mutex::default(),
            schema,
            migrate,
            waiter,
            health,
            memory,
            turns: Turns::default(),
            started_at,
            prestops: AtomicUsize::new(0),
            store: Mutex::new(store),
            lease_renewer: Mutex::default(),
            lease_validity: LeaseValidity::default(),
            is_preparing: AtomicBool::new(false),
            is_prepared: AtomicBool::new(false),
            has_to_prepare: AtomicBool::new(false),
            saving: Mutex::default(),
            attempt: AtomicU32::new(0),
            is_open: AtomicBool::new(false),
            finishing: Mutex::default(),
            progress: Mutex::default(),
            changed: Condvar::new(),
            wakers: Mutex::default(),
            open_outage: Mutex::new(Outage::of("opening the store")),
            save_outage: Mutex::new(Outage::of("saving the state")),
            renew_outage: Mutex::new(Outage::of("renewing the lease")),
        }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        self.health.metrics()
    }

    pub(super) fn attempt(&self) -> u32 {
        self.attempt.load(Ordering::Relaxed)
    }

    pub(super) fn migrated_from(&self) -> Option<String> {
        self.progress().migrated_from.clone()
    }

    pub(super) fn generation(&self) -> u64 {
        self.saving().generation
    }

    /// Does not block; `None` while the state is being saved.
    pub(super) fn generation_now(&self) -> Option<u64> {
        self.saving.try_lock().ok().map(|last| last.generation)
    }

    /// Publishes the identity of this processor in `/metrics`.
    pub(super) fn describe(&self) {
        let labels = [
            ("processor_id", self.settings.processor_id.as_str()),
            ("pod_name", self.settings.pod_name.as_str()),
            ("namespace", self.settings.pod_namespace.as_str()),
            ("version", env!("CARGO_PKG_VERSION")),
        ];
        self.metrics().set(&metrics::INFO, &labels, 1.0);
    }

    pub(super) fn liveness_problem(&self) -> Option<String> {
        let problem = self.liveness_problem.lock();
        problem.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn ready(&self) {
        self.health.clear(PROCESSOR);
    }

    pub(super) fn store(&self) -> MutexGuard<'_, Box<dyn Store>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lease_renewer(&self) -> MutexGuard<'_, Option<Box<dyn LeaseRenewer>>> {
        self.lease_renewer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn saving(&self) -> MutexGuard<'_, LastSave> {
        self.saving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
/// Logs outages, at a limited rate.
impl Core {
    pub(super) fn failed(&self, outage: &Mutex<Outage>, level: log::Level, error: &Error) {
        let mut outage = outage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = outage.failed(self.waiter.now(), error) {
            log::log!(level, "{line}");
        }
    }

    pub(super) fn ended(&self, outage: &Mutex<Outage>) {
        let mut outage = outage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = outage.ended(self.waiter.now()) {
            log::info!("{line}");
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("holder", &self.holder)
            .finish_non_exhaustive()
    }
}
