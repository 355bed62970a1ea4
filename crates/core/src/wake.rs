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

    /// Waits as `wait` says.
    fn wait(&self, wait: Wait<'_>);
}

/// The system's monotonic clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wait(&self, wait: Wait<'_>) {
        wait.in_real_time();
    }
}

/// A wait of a part of the worker, which a stop may cut short.
#[derive(Debug)]
pub struct Wait<'a> {
    wake: &'a Wake,
    duration: Duration,
    until: Stage,
    ends_when_notified: bool,
}

impl Wait<'_> {
    /// How long it lasts if nothing cuts it short.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// Waits, by the system's clock.
    pub fn in_real_time(self) {
        let mut state = self.wake.wait_while(self.duration, |state| {
            state.stage < self.until && !(state.notified && self.ends_when_notified)
        });
        if self.ends_when_notified {
            state.notified = false;
        }
    }
}

/// Signals so close together are one word: `timeout` sends one to the process and
/// one to its group.
pub const SIGNAL_DEBOUNCE: Duration = Duration::from_millis(200);

/// How far a stop has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Stage {
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
    notified: bool,
}

impl Wake {
    /// How far the stop has progressed.
    pub fn stage(&self) -> Stage {
        self.lock().stage
    }

    /// Moves on to `stage`; a stop never goes back.
    pub fn stop(&self, stage: Stage) {
        let mut state = self.lock();
        state.stage = state.stage.max(stage);
        self.0.1.notify_all();
    }

    /// Ends the wait of the loop: there is something to do.
    pub fn notify(&self) {
        self.lock().notified = true;
        self.0.1.notify_all();
    }

    fn wait_while(
        &self,
        duration: Duration,
        waiting: impl Fn(&State) -> bool,
    ) -> MutexGuard<'_, State> {
        self.0
            .1
            .wait_timeout_while(self.lock(), duration, |state| waiting(state))
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
pub struct Waiter {
    /// The source of time.
    pub clock: Arc<dyn Clock>,
    /// Ends waits early.
    pub wake: Wake,
}

impl Waiter {
    /// The current time of the clock.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Waits until `duration` is over or a stop has reached `until`. True when
    /// the time was waited out.
    pub fn sleep(&self, duration: Duration, until: Stage) -> bool {
        self.wait(duration, until, false);
        self.wake.stage() < until
    }

    /// Waits until `duration` is over, a stop has reached `until`, or the bell
    /// is rung.
    pub fn wait_for_notification(&self, duration: Duration, until: Stage) {
        self.wait(duration, until, true);
    }

    fn wait(&self, duration: Duration, until: Stage, ends_when_notified: bool) {
        if duration.is_zero() || self.wake.stage() >= until {
            return;
        }
        self.clock.wait(Wait {
            wake: &self.wake,
            duration,
            until,
            ends_when_notified,
        });
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
