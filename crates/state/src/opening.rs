//! Opening the store, with retries, and loading the stored state into memory.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::core::{Core, PROCESSOR};
use super::metrics;
use super::snapshot::{Snapshot, pod_of};
use super::store::{OpenRequest, Opened, Original, Status};
use satellite_core::wake::Stage;
use satellite_core::{Error, Result};

/// How long to wait between two attempts to open the store.
const OPEN_RETRY_INTERVAL: Duration = Duration::from_secs(1);

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
}

impl Status for Core {
    fn waiting(&self, reason: &str) {
        self.health.starting(PROCESSOR, reason);
    }

    fn check_prepared(&self) -> Result<()> {
        if self.is_prepared.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.has_to_prepare.store(true, Ordering::SeqCst);
        Err(Error::new("the state is held by another process"))
    }
}
