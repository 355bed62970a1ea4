//! Ownership of the state: who may act on it, renewing the lease, and releasing it.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::core::{Core, PROCESSOR};
use super::shutdown::StopReason;
use super::store::{Opened, Status};
use crate::error::is_fenced;
use satellite_core::wake::Stage;
use satellite_core::{Error, Result};

/// The name and text of the health problem for a lapsed lease.
pub(super) const LEASE: &str = "lease";
pub(super) const LAPSED: &str =
    "the lease was not renewed in time, another process may take the state: turns wait";
/// How often a process whose lease has lapsed checks whether it was renewed.
const LAPSED_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Before this process holds the state.
impl Core {
    /// A copy of the state, when another process has to be asked for it. Announces to
    /// that process that this one is preparing to take over.
    pub(super) fn peek(&self) -> Result<Option<Opened>> {
        self.store().peek(&self.open_request())
    }

    /// Reports to the holder of the state why this process does not take over.
    pub(super) fn give_up(&self, why: &str) {
        if let Err(e) = self.store().give_up(&self.open_request(), why) {
            log::warn!("could not notify the holder of the state: {e}");
        }
    }

    /// Whether [`open`](Self::open) failed because another process has to be
    /// asked for the state, and this process has not prepared.
    pub(super) fn has_to_prepare(&self) -> bool {
        self.has_to_prepare.swap(false, Ordering::SeqCst)
    }
}

/// While this process holds the state.
impl Core {
    /// For a process that ends without a last save: other processes need not wait until
    /// they consider it dead.
    pub(super) fn release_lease(&self) {
        self.is_open.store(false, Ordering::SeqCst);
        self.lease_validity.end();
        let Ok(mut store) = self.store.try_lock() else {
            return; // still busy with opening it
        };
        if let Err(e) = store.release_lease() {
            log::warn!(
                "could not release the state, other processes wait until its lease expires: {e}"
            );
        }
    }

    /// This process holds the state, and no other process can have taken it yet.
    pub(super) fn may_act(&self) -> bool {
        self.is_open.load(Ordering::SeqCst) && self.lease_validity.is_valid()
    }

    /// The lease was not renewed for so long that another process may take the state.
    pub(super) fn has_lapsed(&self) -> bool {
        self.is_open.load(Ordering::SeqCst) && !self.lease_validity.is_valid()
    }

    /// Waits until this process may act; returns immediately if it may, or is to stop.
    pub(super) fn wait_until_it_may_act(&self) {
        let is_running = || self.waiter.wake.stage() < Stage::Draining;
        if !self.has_lapsed() || !is_running() {
            return;
        }
        let since = Instant::now();
        log::warn!("{LAPSED}");
        while self.has_lapsed() && is_running() {
            self.waiter.sleep(LAPSED_POLL_INTERVAL, Stage::Draining);
        }
        if is_running() {
            let paused = since.elapsed();
            log::info!("the lease was renewed after {paused:.1?}: turns resume");
        }
    }

    /// Renews the lease, and checks whether another process asks for the state. Before
    /// this process holds it, announces to the holder that it is still preparing.
    pub(super) fn renew_lease(&self) {
        if self.is_preparing.load(Ordering::SeqCst) {
            match self.peek() {
                Ok(_) => self.ended(&self.renew_outage),
                Err(e) => self.failed(&self.renew_outage, log::Level::Warn, &e),
            }
        }
        if self.check_open().is_err() {
            return;
        }
        let mut lease_renewer = self.lease_renewer();
        let answer = match &mut *lease_renewer {
            Some(lease_renewer) => lease_renewer.renew(),
            None => self.store().renew(),
        };
        drop(lease_renewer);
        if self.check_open().is_err() {
            return; // it was released meanwhile
        }
        match answer {
            Ok(Some(claim)) if self.yields.load(Ordering::SeqCst) => {
                self.ended(&self.renew_outage);
                self.begin_shutdown(StopReason::HandOver(claim.by));
            }
            Ok(Some(claim)) => {
                self.ended(&self.renew_outage);
                self.keeps_state_from(&claim.by);
            }
            Ok(None) => self.ended(&self.renew_outage),
            Err(e) if is_fenced(&e) => self.record_save_failure(&e),
            Err(e) => self.failed(&self.renew_outage, log::Level::Warn, &e),
        }
    }

    /// Logs once for each process that asks in vain.
    fn keeps_state_from(&self, by: &str) {
        let mut last = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != by {
            log::warn!("{by} asks for the state; it is not handed over while this process runs");
            by.clone_into(&mut last);
        }
    }

    pub(super) fn renew_interval(&self) -> Duration {
        self.store().renew_interval()
    }

    pub(super) fn is_free(&self) -> Result<bool> {
        self.store().is_free()
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
