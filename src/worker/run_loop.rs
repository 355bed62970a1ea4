//! The main loop: scheduling. Claiming, running and reporting tasks is in `work`.

use std::time::{Duration, Instant};

use super::context::Polling;
use super::kill_point::kill_point;
use super::loop_state::{LoopState, RunUntil};
use super::metrics;
use super::periodic::Periodic;
use super::problems;
use super::satellite::Satellite;
use super::signals::{OnStop, Signals};
use super::stopped::Stopped;
use satellite_core::Result;
use satellite_core::http::retry;
use satellite_core::wake::Stage;

/// How often a worker polls its processor for permission to act.
const MAY_ACT_POLL: Duration = Duration::from_millis(50);

impl Satellite {
    /// Runs until a signal or [`StopHandle::stop`](super::StopHandle::stop) stops it.
    ///
    /// With [`OnStop::Now`], a signal that arrives while a handler runs ends the
    /// process, so this function never returns.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// let echo = |task: satellite_sdk::Task| satellite_sdk::done(task.payload);
    /// let mut satellite = mock.worker().handler("echo", echo).build()?;
    /// let stop = satellite.stop_handle();
    /// std::thread::spawn(move || stop.stop());
    /// let stopped = satellite.run()?;
    /// assert_eq!(stopped.done, 0);
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_unauthorized()` when the platform rejects the token.
    pub fn run(&mut self) -> Result<Stopped> {
        self.run_until(RunUntil::Stopped)
    }

    /// Runs until the satellite is idle: the platform offers no task, no
    /// deferred result ([`Context::later`](super::Context::later)) is outstanding, and every result has
    /// been delivered. For tests, and for satellites that a timer starts.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_until_idle(&mut self) -> Result<Stopped> {
        self.run_until(RunUntil::Idle)
    }

    /// Runs for `span`, measured by the satellite's clock, or until it is stopped. The next
    /// call continues where this one ended. With a simulated clock an hour takes milliseconds.
    ///
    /// Simulated time passes only while the satellite waits: in its loop, or in a handler that
    /// calls [`Context::sleep`](super::Context::sleep).
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
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
    /// platform.pause(); // an outage of ten minutes
    /// satellite.run_for(Duration::from_secs(600))?;
    /// assert!(!satellite.health().is_ready());
    ///
    /// platform.resume();
    /// platform.add_task(mock_task("t-1", "echo", serde_json::json!({ "n": 1 })));
    /// let stopped = satellite.run_for(Duration::from_secs(60))?;
    /// assert_eq!((stopped.done, stopped.undelivered), (1, 0));
    /// assert_eq!(clock.elapsed(), Duration::from_secs(660));
    /// # }
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_for(&mut self, span: Duration) -> Result<Stopped> {
        self.run_until(RunUntil::Time(self.now() + span))
    }

    fn run_until(&mut self, until: RunUntil) -> Result<Stopped> {
        let signals = match self.signals {
            true => Some(Signals::watch(&self.shared, self.on_stop)?),
            false => None,
        };
        self.log_configuration();
        kill_point("start");
        let ended = self.run_loop(until).and_then(|()| {
            self.notifier.stopping();
            self.drain()
        });
        self.stopped.undelivered = self.shared.outbox().undelivered() as u64;
        if self.stopped.undelivered > 0 && !matches!(until, RunUntil::Time(_)) {
            log::warn!("{} results were not delivered", self.stopped.undelivered);
        }
        #[cfg(target_os = "linux")]
        if signals.is_some() && self.stage() > Stage::Running {
            super::children::terminate_descendants(); // started by threads of handlers
        }
        drop(signals);
        ended.map(|()| self.stopped)
    }

    fn run_loop(&mut self, until: RunUntil) -> Result<()> {
        if !matches!(until, RunUntil::Time(_)) {
            self.loop_state = LoopState::new(self.now(), self.settings.max_backoff);
        }
        while self.stage() == Stage::Running {
            if !self.shared.may_act() {
                self.notifier.feed_watchdog();
                self.shared.waiter.sleep(MAY_ACT_POLL, Stage::Draining);
                continue;
            }
            self.register_if_due()?;
            self.retry_unclear_claims()?;
            self.run_due_work()?;
            if self.now() >= self.loop_state.poll.due() && self.stage() == Stage::Running {
                self.poll()?;
            }
            let left = match until {
                RunUntil::Idle if self.loop_state.last_poll_empty && self.is_idle() => break,
                RunUntil::Time(end) if self.now() >= end => break,
                RunUntil::Time(end) => Some(end - self.now()),
                RunUntil::Stopped | RunUntil::Idle => None,
            };
            let longest = [left, self.notifier.feed_watchdog()]
                .into_iter()
                .flatten()
                .min();
            self.wait_for(longest);
        }
        Ok(())
    }

    /// Polls once and processes the tasks. Returns only errors that end the worker.
    fn poll(&mut self) -> Result<()> {
        self.loop_state.last_poll_empty = false;
        let worked = self.recover_orphans().and_then(|()| self.poll_and_work());
        match worked {
            Ok(worked) => {
                self.count_poll("ok", Duration::ZERO);
                self.loop_state.last_poll_empty = !worked;
                let next = match worked {
                    true => self.now(), // there may be more
                    false => self.now() + with_jitter(self.settings.poll_interval),
                };
                self.loop_state.poll.succeeded(next);
            }
            Err(e) if e.is_refused_token() => return Err(e),
            Err(_) if self.stage() > Stage::Running => {} // the stop interrupted the poll
            Err(e) => {
                let wait = self.loop_state.poll.failed(self.now(), &e);
                self.count_poll("failed", wait);
                log::warn!("{e}; polling again in {wait:.1?}");
                self.shared.health.set_problem(problems::PLATFORM, &e);
                self.shared.health.page().disconnected(&e);
                self.notifier.status(format_args!("not connected: {e}"));
            }
        }
        Ok(())
    }

    fn count_poll(&self, outcome: &str, backoff: Duration) {
        let metrics = self.shared.health.metrics();
        metrics.add(&metrics::POLLS, &[("outcome", outcome)], 1);
        metrics.set(&metrics::BACKOFF, &[], backoff.as_secs_f64());
    }

    fn register_if_due(&mut self) -> Result<()> {
        let Some(registration) = &self.registration else {
            return Ok(());
        };
        if self.now() < self.loop_state.registration.due() {
            return Ok(());
        }
        let answer = {
            let _polling = Polling::begin(&self.shared);
            if self.stage() > Stage::Running {
                return Ok(());
            }
            self.shared.platform.register_once(registration)
        };
        match self.note_answer(answer) {
            Ok(info) => {
                log::info!(
                    "registered as satellite {} of orbit {}",
                    info.id,
                    info.orbit_id
                );
                self.shared.health.clear(problems::REGISTRATION);
                self.registration = None;
            }
            Err(e) if e.is_refused_token() => return Err(e),
            Err(_) if self.stage() > Stage::Running => {} // the stop interrupted it
            Err(e) => {
                let wait = self.loop_state.registration.failed(self.now(), &e);
                log::warn!("{e}; registering again in {wait:.1?}");
                self.shared.health.set_problem(problems::REGISTRATION, &e);
            }
        }
        Ok(())
    }

    /// With [`OnStop::Drain`]: waits for deferred results and delivers
    /// outstanding ones.
    fn drain(&mut self) -> Result<()> {
        let OnStop::Drain(limit) = self.on_stop else {
            return Ok(());
        };
        let end = self.now() + limit;
        kill_point("drain");
        while self.stage() == Stage::Draining
            && !self.shared.outbox().is_empty()
            && self.now() < end
        {
            self.run_due_work()?;
            if self.shared.outbox().is_empty() {
                break;
            }
            // Claims are no longer retried.
            let others = [self.shared.outbox().next_due(), self.next_periodic()];
            let due = others.into_iter().flatten().fold(end, Instant::min);
            let wait = due.saturating_duration_since(self.now());
            let longest = self.notifier.feed_watchdog().unwrap_or(wait);
            let waiter = &self.shared.waiter;
            waiter.wait_for_notification(wait.min(longest), Stage::Stopping);
        }
        Ok(())
    }

    fn wait_for(&self, longest: Option<Duration>) {
        let registration = self.registration.as_ref();
        let registration = registration.map(|_| self.loop_state.registration.due());
        let others = [registration, self.next_due()];
        let due = others
            .into_iter()
            .flatten()
            .fold(self.loop_state.poll.due(), Instant::min);
        let wait = due.saturating_duration_since(self.now());
        let wait = longest.map_or(wait, |longest| wait.min(longest));
        self.shared
            .waiter
            .wait_for_notification(wait, Stage::Draining);
    }

    fn next_periodic(&self) -> Option<Instant> {
        self.periodic.iter().filter_map(Periodic::due).min()
    }

    /// When the next result, unclear claim or periodic job is due.
    fn next_due(&self) -> Option<Instant> {
        let outbox = self.shared.outbox().next_due();
        [outbox, self.unclear_claims.next_due(), self.next_periodic()]
            .into_iter()
            .flatten()
            .min()
    }

    fn is_idle(&self) -> bool {
        self.shared.outbox().is_empty() && self.unclear_claims.is_empty()
    }

    fn log_configuration(&self) {
        log::info!(
            "satellite-sdk {} polls {} every {:.1?} for tasks of {}",
            env!("CARGO_PKG_VERSION"),
            self.settings.platform_url,
            self.settings.poll_interval,
            self.polled_types(),
        );
        for task_type in &self.settings.supported_task_types {
            if !self.handlers.contains(task_type) {
                log::warn!("no handler for task type {task_type}: its tasks will fail");
            }
        }
    }

    fn polled_types(&self) -> String {
        let types = &self.settings.supported_task_types;
        let handlers = self.handlers.list();
        match types.is_empty() {
            true => format!("every type (handlers: {handlers})"),
            false => format!("type {} (handlers: {handlers})", types.join(", ")),
        }
    }
}

/// `interval` ± 10 %, so that many satellites do not poll in sync.
fn with_jitter(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + retry::random() / 5.0)
}
