//! Time that a test drives.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::wake::{Clock, Wait};
use crate::worker::{Satellite, Stopped};

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
/// platform.worker().clock(clock.clone()).build()?.run_until_idle()?;
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
    /// Runs `satellite` for this long by this clock, however little real time that
    /// takes, and says what it has done since it was built. The next call goes on
    /// where this one ended.
    ///
    /// Time passes only while the satellite waits: in its loop, or in a handler that
    /// calls [`Context::sleep`](crate::Context::sleep). It ends early when it is
    /// stopped.
    ///
    /// ```
    /// use satellite_sdk::testing::{ManualClock, MockPlatform, mock_task};
    /// use satellite_sdk::{Task, done};
    /// use std::time::Duration;
    ///
    /// let (platform, clock) = (MockPlatform::start(), ManualClock::default());
    /// let mut satellite = platform
    ///     .worker()
    ///     .clock(clock.clone())
    ///     .poll_interval(Duration::from_secs(2))
    ///     .handler("echo", |task: Task| done(task.payload))
    ///     .build()?;
    ///
    /// platform.pause(); // nobody answers for ten minutes
    /// clock.run(&mut satellite, Duration::from_secs(600))?;
    /// assert!(!satellite.health().is_ready());
    ///
    /// platform.resume();
    /// platform.add_task(mock_task("t-1", "echo", serde_json::json!({ "n": 1 })));
    /// let stopped = clock.run(&mut satellite, Duration::from_secs(60))?;
    /// assert_eq!((stopped.done, stopped.undelivered), (1, 0));
    /// assert_eq!(clock.elapsed(), Duration::from_secs(660));
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Satellite::run`].
    ///
    /// # Panics
    /// When the satellite was not built with this clock.
    pub fn run(&self, satellite: &mut Satellite, span: Duration) -> Result<Stopped> {
        let before = self.now();
        let its_time = satellite.now();
        assert!(
            before <= its_time && its_time <= self.now(),
            "this satellite was built with another clock: call `Builder::clock` with this one"
        );
        satellite.run_for(span)
    }

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
