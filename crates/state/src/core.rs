//! What the parts of a running processor share: the state, its store, and the
//! progress of the processor.

use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::document::{Content, Snapshot, pod_of};
use super::memory::StateAccess;
use super::metrics;
use super::outage::Outage;
use super::settings::Settings;
use super::shutdown::StopReason;
use super::store::{
    LeaseRenewer, LeaseValidity, OpenRequest, Opened, Original, Status as _, Store,
};
use super::turns::Turns;
use crate::error::is_fenced;
use satellite_core::Failure;
use satellite_core::wake::{Stage, Waiter};
use satellite_core::{Error, Result};
use satellite_health::Health;
use satellite_health::metrics::Metrics;
use satellite_serve::{Request, Response};

/// The name of the health problem that says why a processor is not ready.
pub(super) const PROCESSOR: &str = "processor";
/// The name of the health problem that reports a failed save.
const STATE: &str = "state";
/// After running for this long, a processor no longer counts its earlier crashes.
pub(super) const STABLE: Duration = Duration::from_secs(300);
/// How long to wait between two attempts to open the store.
const OPEN_RETRY_INTERVAL: Duration = Duration::from_secs(1);
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
    saving: Mutex<LastSave>,
    attempt: AtomicU32,
    /// True from restoring the state until the last save.
    pub(super) is_open: AtomicBool,
    /// Held during the final save: it runs once.
    pub(super) finishing: Mutex<()>,
    progress: Mutex<Progress>,
    pub(super) changed: Condvar,
    pub(super) wakers: Mutex<Vec<Waker>>,
    open_outage: Mutex<Outage>,
    save_outage: Mutex<Outage>,
    pub(super) renew_outage: Mutex<Outage>,
}

pub(super) type Waker = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct LastSave {
    /// A hash of its bytes: the state may be accessed mutably without changing.
    sum: Option<u64>,
    generation: u64,
}

#[derive(Default)]
pub(super) struct Progress {
    pub(super) stop_reason: Option<StopReason>,
    pub(super) stopping_since: Option<Instant>,
    pub(super) announced: Option<Instant>,
    pub(super) migrated_from: Option<String>,
    /// The result of the last save; also `Ok` when there was nothing to save.
    pub(super) end: Option<Result<(), String>>,
}

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

    fn saving(&self) -> MutexGuard<'_, LastSave> {
        self.saving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state and its store.
impl Core {
    /// Becomes the only writer.
    pub(super) fn open(&self) -> Result<Opened> {
        self.lease_validity.unlimited(); // the store may limit it
        let opened = self.with_retries(|| {
            let mut store = self.store();
            let opened = store.open(&self.open_request())?;
            *self.lease_renewer() = store.lease_renewer();
            Ok(opened)
        })?;
        if let Some(snapshot) = &opened.snapshot {
            self.saving().generation = snapshot.stamp.generation;
            self.record_previous_writer(snapshot, snapshot.content.unclean_starts);
        }
        self.metrics()
            .set(&metrics::RESTARTS, &[], self.attempt().into());
        Ok(opened)
    }

    /// Retries a step of the start while the store is unavailable or responds 403, until
    /// the startup timeout: a role that was granted just now may not have reached all
    /// API servers yet. Returns the last error.
    fn with_retries<T>(&self, mut step: impl FnMut() -> Result<T>) -> Result<T> {
        let since = self.waiter.now();
        loop {
            match step() {
                Err(e) if e.is_forbidden() || e.is_retryable() => {
                    self.record_open_failure(&e);
                    let waited = self.waiter.now().saturating_duration_since(since);
                    if waited >= self.settings.startup_timeout {
                        return Err(e);
                    }
                    self.wait_to_open(OPEN_RETRY_INTERVAL, &e.to_string())?;
                }
                done => {
                    if done.is_ok() {
                        self.ended(&self.open_outage);
                    }
                    return done;
                }
            }
        }
    }

    pub(super) fn record_open_failure(&self, error: &Error) {
        self.failed(&self.open_outage, log::Level::Warn, error);
    }

    /// Waits; `/ready` reports the reason.
    pub(super) fn wait_to_open(&self, duration: Duration, reason: &str) -> Result<()> {
        self.waiting(reason);
        match self.waiter.sleep(duration, Stage::Draining) {
            true => Ok(()),
            false => Err(Error::stopped()),
        }
    }

    /// The first save of this process, which verifies that it can save at all.
    pub(super) fn first_checkpoint(&self) -> Result<()> {
        self.with_retries(|| self.checkpoint())
    }

    pub(super) fn read_original(&self, namespace: &str, id: &str) -> Result<Option<Original>> {
        self.store().read_original(namespace, id)
    }

    /// Loads a stored state into memory, migrated if it has an older schema.
    pub(super) fn restore(&self, snapshot: &Snapshot) -> Result<()> {
        let (from, to) = (snapshot.content.schema, self.schema);
        if from > to {
            return Err(Error::new(format_args!(
                "the state has schema version {from}, this program knows {to} and older ones"
            )));
        }
        if from == to {
            return self.memory.replace(&snapshot.content.state, false);
        }
        let stored = serde_json::from_slice(&snapshot.content.state)?;
        let migrated = (self.migrate)(from, stored).map_err(|failure| {
            Error::new(format_args!(
                "no migration from schema version {from} to {to}: {}",
                failure.error()
            ))
        })?;
        self.memory
            .replace(&serde_json::to_vec(&migrated)?, false)?;
        log::info!("migrated from schema version {from} to {to}");
        Ok(())
    }

    /// Records who held the state before, and how many starts ended uncleanly.
    pub(super) fn record_previous_writer(&self, snapshot: &Snapshot, unclean_starts: u32) {
        let attempt = self.settings.restart_count.unwrap_or(unclean_starts);
        self.attempt.store(attempt, Ordering::Relaxed);
        let pod = pod_of(snapshot.stamp.writer());
        let is_another = !pod.is_empty() && pod != self.settings.pod_name;
        self.progress().migrated_from = is_another.then(|| pod.to_owned());
    }

    pub(super) fn open_request(&self) -> OpenRequest<'_> {
        OpenRequest {
            processor: &self.settings.processor_id,
            namespace: &self.settings.pod_namespace,
            holder: &self.holder,
            in_cluster: self.settings.in_cluster,
            revision: self.settings.revision,
            lease_validity: &self.lease_validity,
            waiter: &self.waiter,
            status: self,
        }
    }

    /// From now on the state in memory is the one to save. Nothing is saved before
    /// this, so that a state that could not be restored is not overwritten.
    pub(super) fn restored(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }

    pub(super) fn move_aside(&self) -> Result<String> {
        self.metrics().add(&metrics::RESETS, &[], 1);
        self.store().move_aside()
    }

    /// Saves the state, if it has changed.
    pub(super) fn checkpoint(&self) -> Result<()> {
        let mut last = self.saving();
        self.check_open()?;
        let Some(taken) = self
            .memory
            .take(true)
            .inspect_err(|e| self.record_save_failure(e))?
        else {
            return Ok(());
        };
        let sum = Some(sum_of(&taken.json));
        if sum != last.sum {
            let content = self.content(taken.json, false);
            last.generation = self.timed_save(&content, |store| store.save(&content))?;
            last.sum = sum;
        }
        self.memory.saved(taken.change);
        Ok(())
    }

    /// The last save, after which another process may take the state.
    pub(super) fn release(&self, content: &Content) -> Result<()> {
        let mut last = self.saving();
        self.check_open()?;
        last.generation = self.timed_save(content, |store| store.release(content))?;
        self.is_open.store(false, Ordering::SeqCst);
        self.lease_validity.end();
        Ok(())
    }

    fn timed_save(
        &self,
        content: &Content,
        save: impl FnOnce(&mut dyn Store) -> Result<u64>,
    ) -> Result<u64> {
        let started_at = Instant::now();
        match save(&mut **self.store()) {
            Ok(generation) => {
                let took = started_at.elapsed().as_secs_f64();
                self.metrics().set(&metrics::SAVE, &[], took);
                self.metrics()
                    .set(&metrics::SIZE, &[], content.state.len() as f64);
                self.metrics()
                    .set(&metrics::GENERATION, &[], generation as f64);
                self.metrics().add(&metrics::SAVES, &[("outcome", "ok")], 1);
                self.health.clear(STATE);
                self.ended(&self.save_outage);
                Ok(generation)
            }
            Err(e) => {
                self.record_save_failure(&e);
                Err(e)
            }
        }
    }

    pub(super) fn record_save_failure(&self, error: &Error) {
        let outcome = [("outcome", "failed")];
        self.metrics().add(&metrics::SAVES, &outcome, 1);
        self.health
            .set_problem(STATE, format_args!("not saved: {error}"));
        self.failed(&self.save_outage, log::Level::Error, error);
        if is_fenced(error) {
            self.lease_validity.end();
            self.begin_shutdown(StopReason::Fenced(error.to_string()));
        }
    }

    pub(super) fn content(&self, state: Vec<u8>, is_clean: bool) -> Content {
        let unclean_starts = match is_clean {
            true => 0,
            false if self.started_at.elapsed() > STABLE => 1,
            false => self.attempt().saturating_add(1),
        };
        Content {
            schema: self.schema,
            unclean_starts,
            state,
        }
    }

    pub(super) fn check_open(&self) -> Result<()> {
        match self.is_open.load(Ordering::SeqCst) {
            true => Ok(()),
            false => Err(Error::new(
                "this process does not hold the state, not yet or no longer: nothing was saved",
            )),
        }
    }

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

fn sum_of(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("holder", &self.holder)
            .finish_non_exhaustive()
    }
}
