//! The end of the shutdown: the last save, or the release of the lease without one.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::core::Core;
use super::metrics;
use super::progress::StopReason;
use crate::error::{fenced, is_fenced};
use satellite_core::{Error, Result};

impl Core {
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
}
