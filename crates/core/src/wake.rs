//! All waiting goes through this module, so that a stop ends every wait at once and
//! tests can simulate time.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The source of time.
///
/// [`SystemClock`] is the default; tests use the simulated `testing::ManualClock`.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// The time now.
    fn now(&self) -> Instant;

    /// Performs a wait.
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

/// A wait in the worker, which a stop may end early.
#[derive(Debug)]
pub struct Wait<'a> {
    wake: &'a Wake,
    duration: Duration,
    until: Stage,
    ends_when_notified: bool,
}

impl Wait<'_> {
    /// The maximum duration of the wait.
    pub fn duration(&self) -> Duration {
        self.duration
    }

    /// Waits by the system's clock.
    pub fn in_real_time(self) {
        let mut state = self.wake.wait_while(self.duration, |state| {
            state.stage < self.until && !(state.notified && self.ends_when_notified)
        });
        if self.ends_when_notified {
            state.notified = false;
        }
    }
}

/// Signals within this time count as one: `timeout` sends one to the process and
/// one to its group.
pub const SIGNAL_DEBOUNCE: Duration = Duration::from_millis(200);

/// The stage of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Stage {
    /// No stop was requested.
    #[default]
    Running,
    /// No new work starts; running work may finish.
    Draining,
    /// All work ends.
    Stopping,
}

/// Ends waits: once when there is work to do, and permanently when the worker
/// stops. Clones share one state.
#[derive(Clone, Default)]
pub struct Wake(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    stage: Stage,
    notified: bool,
}

impl Wake {
    /// The current stage of the stop.
    pub fn stage(&self) -> Stage {
        self.lock().stage
    }

    /// Moves on to `stage`; the stage never goes back.
    pub fn stop(&self, stage: Stage) {
        let mut state = self.lock();
        state.stage = state.stage.max(stage);
        self.0.1.notify_all();
    }

    /// Ends the wait of the main loop: there is work to do.
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

/// A clock and the [`Wake`] that ends its waits.
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

    /// Waits until `duration` is over or a stop has reached `until`. True if no stop
    /// ended the wait.
    pub fn sleep(&self, duration: Duration, until: Stage) -> bool {
        self.wait(duration, until, false);
        self.wake.stage() < until
    }

    /// Waits until `duration` is over, a stop has reached `until`, or
    /// [`Wake::notify`] is called.
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
