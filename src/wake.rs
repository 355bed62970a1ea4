//! Waiting: whatever waits in this crate waits here, so that a stop wakes it
//! at once and a test can drive the time.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Where the time comes from and how it is waited for.
///
/// The system's clock serves everybody but tests, which drive theirs by hand
/// with `testing::ManualClock`.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// The time now.
    fn now(&self) -> Instant;

    /// Waits for `duration`, or less when `wake` is rung or stopped.
    fn wait(&self, wake: &Wake, duration: Duration);
}

/// The system's monotonic clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wait(&self, wake: &Wake, duration: Duration) {
        wake.wait(duration);
    }
}

/// How far a stop has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Stage {
    /// Nobody asked for a stop.
    #[default]
    Running,
    /// No new work; what runs may end.
    Draining,
    /// Everything ends.
    Stopping,
}

/// A bell that ends waits: rung when there is something to do, and for good
/// when the worker is to stop. Clones share one bell.
#[derive(Clone, Default)]
pub struct Wake(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    stage: Stage,
    rung: bool,
}

impl Wake {
    pub(crate) fn stage(&self) -> Stage {
        self.lock().stage
    }

    /// Moves on to `stage`; a stop never goes back.
    pub(crate) fn stop(&self, stage: Stage) {
        let mut state = self.lock();
        state.stage = state.stage.max(stage);
        self.0.1.notify_all();
    }

    /// Ends the wait of the loop: there is something to do.
    pub(crate) fn ring(&self) {
        self.lock().rung = true;
        self.0.1.notify_all();
    }

    /// Waits for `duration`; returns early when rung or when a stop is asked for.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let wake = satellite_sdk::Wake::default();
    /// wake.wait(Duration::from_millis(1)); // nobody rings: waits it out
    /// ```
    pub fn wait(&self, duration: Duration) {
        let mut state = self.wait_while(duration, |s| !s.rung && s.stage == Stage::Running);
        state.rung = false;
    }

    /// Waits for `duration` or until `stage` is reached. True when it was.
    pub(crate) fn wait_for(&self, stage: Stage, duration: Duration) -> bool {
        self.wait_while(duration, |s| s.stage < stage).stage >= stage
    }

    fn wait_while(
        &self,
        duration: Duration,
        waiting: impl Fn(&State) -> bool,
    ) -> MutexGuard<'_, State> {
        self.0
            .1
            .wait_timeout_while(self.lock(), duration, |s| waiting(s))
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wake").field(&self.stage()).finish()
    }
}

/// A clock and a bell: what something that waits needs.
#[derive(Debug, Clone)]
pub(crate) struct Waiter {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) wake: Wake,
}

impl Waiter {
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Waits until `duration` is over or a stop is asked for; rings do not end it.
    /// True when the time was waited out, false when stopping.
    pub(crate) fn sleep(&self, duration: Duration, until: Stage) -> bool {
        let end = self.now() + duration;
        loop {
            if self.wake.stage() >= until {
                return false;
            }
            let left = end.saturating_duration_since(self.now());
            if left.is_zero() {
                return true;
            }
            self.clock.wait(&self.wake, left);
            // Draining rouses every wait at once: the rest is slept out here.
            if self.wake.stage() > Stage::Running && self.wake.stage() < until {
                return !self
                    .wake
                    .wait_for(until, end.saturating_duration_since(self.now()));
            }
        }
    }
}

impl Default for Waiter {
    fn default() -> Self {
        Waiter {
            clock: Arc::new(SystemClock),
            wake: Wake::default(),
        }
    }
}
