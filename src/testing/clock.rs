//! Time that a test drives.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::wake::{Clock, Wait};

/// A clock that moves on by itself whenever somebody waits, and never makes
/// anybody wait for real: an hour's outage is over in milliseconds. Clones
/// share one time.
///
/// ```
/// use satellite_sdk::testing::{Fault, ManualClock, MockPlatform};
///
/// let platform = MockPlatform::start();
/// platform.fault(Fault::Status(503)).times(3);
/// let clock = ManualClock::default();
/// let echo = |task: satellite_sdk::Task| satellite_sdk::done(task.payload);
/// let worker = platform.worker().clock(clock.clone()).handler("echo", echo);
/// worker.build()?.run_until_idle()?;
/// assert_eq!(clock.waits().len(), 3); // about 1 s, 2 s and 4 s
/// # Ok::<(), satellite_sdk::Error>(())
/// ```
#[derive(Clone)]
pub struct ManualClock {
    start: Instant,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    elapsed: Duration,
    waits: Vec<Duration>,
    events: Vec<(Duration, Box<dyn FnOnce() + Send>)>,
}

impl ManualClock {
    /// The time since the clock was made.
    pub fn elapsed(&self) -> Duration {
        self.state().elapsed
    }

    /// Every wait so far, as long as it was asked for.
    pub fn waits(&self) -> Vec<Duration> {
        self.state().waits.clone()
    }

    /// Does something when this much time has passed, in the thread that waits.
    pub fn at(&self, elapsed: Duration, event: impl FnOnce() + Send + 'static) {
        self.state().events.push((elapsed, Box::new(event)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        ManualClock {
            start: Instant::now(),
            state: Arc::default(),
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.start + self.elapsed()
    }

    fn wait(&self, wait: Wait<'_>) {
        let duration = wait.duration();
        let mut state = self.state();
        state.waits.push(duration);
        state.elapsed += duration;
        let now = state.elapsed;
        let (due, later) = std::mem::take(&mut state.events)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        state.events = later;
        drop(state); // events may look at the clock
        let due: Vec<(Duration, Box<dyn FnOnce() + Send>)> = due;
        due.into_iter().for_each(|(_, event)| event());
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.elapsed()).finish()
    }
}
