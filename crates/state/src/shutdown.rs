//! Shutdown, which is the same for every reason: `begin_shutdown`, then `finish`.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::core::{Core, PROCESSOR, Waker};
use super::metrics;
use crate::error::{fenced, is_fenced};
use satellite_core::wake::Stage;
use satellite_core::{Error, Result};

/// How long an announced migration counts as imminent, unless a stop follows.
const MIGRATION_NOTICE_LIFETIME: Duration = Duration::from_secs(60);

/// Why a processor stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StopReason {
    /// A signal, or a call of the program.
    Requested,
    /// Kubernetes' hook.
    PreStop,
    /// `run` returned.
    Returned,
    /// Another process requested the state.
    HandOver(String),
    /// Another process took the state.
    Fenced(String),
}

impl Core {
    /// Begins the shutdown. The first reason is recorded, unless the state is lost.
    pub(super) fn begin_shutdown(&self, reason: StopReason) {
        let mut progress = self.progress();
        let first = progress.stop_reason.is_none();
        if first || matches!(reason, StopReason::Fenced(_)) {
            progress.stop_reason = Some(reason.clone());
        }
        progress.stopping_since.get_or_insert_with(Instant::now);
        drop(progress);
        if !first {
            return;
        }
        let text = match reason {
            StopReason::Requested => "asked to stop".to_owned(),
            StopReason::PreStop => "asked to stop by the preStop hook".to_owned(),
            StopReason::Returned => "run is over".to_owned(),
            StopReason::HandOver(to) => format!("handing over to {to}"),
            StopReason::Fenced(how) => format!("fenced: {how}"),
        };
        log::info!("stopping: {text}");
        self.health
            .set_problem(PROCESSOR, format_args!("stopping: {text}"));
        self.waiter.wake.stop(Stage::Draining);
        let wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.iter().for_each(|wake| wake());
    }

    /// Begins the shutdown after a signal: also ends the wait on standby.
    pub(super) fn begin_shutdown_by_signal(&self) {
        self.begin_shutdown(StopReason::Requested);
        self.waiter.wake.stop(Stage::Stopping);
    }

    pub(super) fn stopping_since(&self) -> Instant {
        self.progress().stopping_since.unwrap_or_else(Instant::now)
    }

    pub(super) fn on_stop(&self, wake: Waker) {
        if self.waiter.wake.stage() >= Stage::Draining {
            wake();
        }
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.push(wake);
    }

    pub(super) fn stop_reason(&self) -> Option<StopReason> {
        self.progress().stop_reason.clone()
    }

    /// Makes the last save, with retries until `deadline`, and publishes its result. Safe
    /// to call twice: the second call returns the result of the first.
    pub(super) fn finish(&self, deadline: Instant) -> Result<(), String> {
        let finishing = self.finishing.lock();
        let _finishing = finishing.unwrap_or_else(PoisonError::into_inner);
        if let Some(end) = self.progress().end.clone() {
            return end;
        }
        let end = self.last_save(deadline).map_err(|e| e.to_string());
        let mut progress = self.progress();
        progress.end = Some(end.clone());
        if let Some(since) = progress.stopping_since {
            let took = since.elapsed().as_secs_f64();
            self.metrics().set(&metrics::SHUTDOWN, &[], took);
        }
        drop(progress);
        self.changed.notify_all();
        end
    }

    /// When there is no last save, the state is released as it was saved before, so that
    /// other processes need not wait until they consider this process dead.
    fn last_save(&self, deadline: Instant) -> Result<()> {
        if let Some(StopReason::Fenced(how)) = self.stop_reason() {
            return match self.is_open.load(Ordering::SeqCst) {
                true => Err(fenced(how)),
                false => Ok(()), // it ended before there was a state to save
            };
        }
        if !self.is_open.load(Ordering::SeqCst) {
            self.release_lease();
            return Ok(());
        }
        let saved = self.save_and_release(deadline);
        let is_lost = |e: &Error| is_fenced(e) || e.is_retryable();
        if saved.as_ref().is_err_and(|e| !is_lost(e)) {
            self.release_lease();
        }
        saved
    }

    fn save_and_release(&self, deadline: Instant) -> Result<()> {
        let left = || deadline.saturating_duration_since(Instant::now());
        let taken = self.memory.take_within(left().min(Duration::from_secs(5)));
        let taken = taken.inspect_err(|e| self.record_save_failure(e))?;
        let content = self.content(taken.json, true);
        let mut pause = Duration::from_millis(100);
        loop {
            match self.release(&content) {
                Ok(()) => return Ok(()),
                // A permanent error does not go away with a retry.
                Err(e) if is_fenced(&e) || e.is_too_large() || e.is_final() => return Err(e),
                Err(e) if left() < 2 * pause => return Err(e),
                Err(_) => {} // already logged by the outage of the saves
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// The result of the last save. Waits for it up to `timeout`.
    pub(super) fn wait_for_end(&self, timeout: Duration) -> Option<Result<(), String>> {
        let waited = self
            .changed
            .wait_timeout_while(self.progress(), timeout, |progress| progress.end.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.end.clone()
    }

    pub(super) fn announce_migration(&self) {
        self.progress().announced = Some(Instant::now());
    }

    pub(super) fn is_migration_imminent(&self) -> bool {
        let progress = self.progress();
        let announced = progress
            .announced
            .is_some_and(|at| at.elapsed() < MIGRATION_NOTICE_LIFETIME);
        announced || progress.stop_reason.is_some()
    }

    /// Why `/healthz` fails, if it does.
    pub(super) fn stall(&self) -> Option<String> {
        let lasts = self.turns.stalled(self.settings.stall_limit)?;
        Some(format!("the present turn has lasted {lasts:.0?}"))
    }
}
