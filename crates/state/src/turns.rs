//! Detects a stalled turn of the processor's thread. Waiting between turns is not a
//! stall.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    started_at: Option<Instant>,
    /// The stall of this turn was reported.
    is_reported: bool,
}

impl Turns {
    pub(super) fn begin(&self) {
        *self.state() = State {
            started_at: Some(Instant::now()),
            is_reported: false,
        };
    }

    pub(super) fn end(&self) {
        *self.state() = State::default();
    }

    /// How long the current turn has lasted, if that is longer than `limit`.
    pub(super) fn stalled(&self, limit: Duration) -> Option<Duration> {
        let lasts = self.state().started_at?.elapsed();
        (lasts > limit).then_some(lasts)
    }

    /// As [`stalled`](Self::stalled), but only once for each stall.
    pub(super) fn newly_stalled(&self, limit: Duration) -> Option<Duration> {
        let lasts = self.stalled(limit)?;
        let was_reported = std::mem::replace(&mut self.state().is_reported, true);
        (!was_reported).then_some(lasts)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
