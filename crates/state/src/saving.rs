//! Saving the state: checkpoints, and the save that releases it.

use std::hash::{DefaultHasher, Hasher};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::core::Core;
use super::metrics;
use super::progress::StopReason;
use super::snapshot::Content;
use super::store::Store;
use crate::error::is_fenced;
use satellite_core::{Error, Result};

/// The name of the health problem that reports a failed save.
const STATE: &str = "state";
/// After running for this long, a processor no longer counts its earlier crashes.
const STABLE: Duration = Duration::from_secs(300);

impl Core {
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
}

fn sum_of(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
