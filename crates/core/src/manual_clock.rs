//! A simulated clock for tests.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::wake::{Clock, Wait};

/// A simulated clock. Each wait advances it and returns at once, so a test of an
/// hour's outage takes milliseconds. Clones share one time.
///
/// ```
/// use std::time::Duration;
///
/// use satellite_core::ManualClock;
///
/// let clock = ManualClock::default();
/// clock.at(Duration::from_secs(60), || println!("a minute has passed"));
/// assert_eq!(clock.elapsed(), Duration::ZERO);
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
    /// The simulated time since the clock was created.
    pub fn elapsed(&self) -> Duration {
        self.state().elapsed
    }

    /// The requested duration of every wait so far.
    pub fn waits(&self) -> Vec<Duration> {
        self.state().waits.clone()
    }

    /// Runs `event` once this much time has passed, in the waiting thread.
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
        drop(state); // events may read the clock
        let due: Vec<(Duration, Box<dyn FnOnce() + Send>)> = due;
        due.into_iter().for_each(|(_, event)| event());
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.elapsed()).finish()
    }
}
