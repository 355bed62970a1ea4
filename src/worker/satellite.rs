//! The main loop: scheduling. Claiming, running and reporting tasks is in `work`.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::context::{Context, Polling, Shared};
use super::handlers::Handlers;
use super::kill_point::kill_point;
use super::loop_state::{LoopState, RunUntil};
use super::metrics;
use super::notify::Notifier;
use super::periodic::Periodic;
use super::report::OnReport;
use super::signals::{self, OnStop, Signals};
use super::stopped::Stopped;
use super::unclear_claims::UnclearClaims;
use crate::luml::{PlatformClient, Registration};
use crate::settings::Settings;
use satellite_core::Result;
use satellite_core::http::retry;
use satellite_core::wake::Stage;
use satellite_health as health;
use satellite_health::{self, Health};

/// How often a worker polls its processor for permission to act.
const MAY_ACT_POLL: Duration = Duration::from_millis(50);

/// A worker that is ready to run, returned by [`Builder::build`].
///
/// [`Builder::build`]: super::Builder::build
pub struct Satellite {
    pub(super) settings: Settings,
    pub(super) shared: Arc<Shared>,
    pub(super) handlers: Handlers,
    pub(super) periodic: Vec<Periodic>,
    pub(super) on_report: Option<OnReport>,
    pub(super) on_stop: OnStop,
    pub(super) on_orphan: OnOrphan,
    pub(super) signals: bool,
    pub(super) registration: Option<Registration>,
    pub(super) handler_limit: Duration,
    pub(super) notifier: Notifier,
    pub(super) unclear_claims: UnclearClaims,
    pub(super) loop_state: LoopState,
    pub(super) stopped: Stopped,
    #[cfg(feature = "health")]
    pub(super) health_server: Option<health::HealthServer>,
}

impl Satellite {
    /// Runs until a signal or [`StopHandle::stop`] stops it.
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
    /// deferred result ([`Context::later`]) is outstanding, and every result has
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
    /// calls [`Context::sleep`].
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

    /// Stops this satellite from elsewhere.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle {
            shared: Arc::clone(&self.shared),
            drain: matches!(self.on_stop, OnStop::Drain(_)),
        }
    }

    /// The platform client that handlers use.
    pub fn platform(&self) -> &PlatformClient {
        &self.shared.platform
    }

    /// The state that `/readyz` reports: whether this satellite is ready, and if
    /// not, why. Clone it to read it while the satellite runs.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let echo = |task: satellite_sdk::Task| satellite_sdk::done(task.payload);
    /// let mut satellite = mock.worker().handler("echo", echo).build()?;
    /// let health = satellite.health().clone();
    /// assert!(health.problems().contains_key("platform"), "not polled yet");
    /// satellite.run_until_idle()?;
    /// assert!(health.is_ready());
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    pub fn health(&self) -> &Health {
        &self.shared.health
    }

    /// The context that periodic work receives, for use in your own threads.
    pub fn context(&self) -> Context {
        Context {
            shared: Arc::clone(&self.shared),
            running: None,
        }
    }

    /// The address that the health server listens on. Useful with port 0.
    #[cfg(feature = "health")]
    pub fn health_address(&self) -> Option<std::net::SocketAddr> {
        self.health_server.as_ref().map(|server| server.address())
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
                self.shared.health.set_problem(health::PLATFORM, &e);
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
                self.shared.health.clear(health::REGISTRATION);
                self.registration = None;
            }
            Err(e) if e.is_refused_token() => return Err(e),
            Err(_) if self.stage() > Stage::Running => {} // the stop interrupted it
            Err(e) => {
                let wait = self.loop_state.registration.failed(self.now(), &e);
                log::warn!("{e}; registering again in {wait:.1?}");
                self.shared.health.set_problem(health::REGISTRATION, &e);
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

    pub(super) fn stage(&self) -> Stage {
        self.shared.waiter.wake.stage()
    }

    pub(crate) fn now(&self) -> Instant {
        self.shared.waiter.now()
    }
}

impl fmt::Debug for Satellite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Satellite")
            .field("settings", &self.settings)
            .field("handlers", &self.handlers.list())
            .finish_non_exhaustive()
    }
}

/// Stops a [`Satellite`] from another thread, like the first signal does.
#[derive(Clone)]
pub struct StopHandle {
    shared: Arc<Shared>,
    drain: bool,
}

impl StopHandle {
    /// Stops claiming tasks. A wait or poll in progress ends at once. A running
    /// handler is not interrupted; it can check `cx.is_stopping()`.
    pub fn stop(&self) {
        let stage = match self.drain {
            true => Stage::Draining,
            false => Stage::Stopping,
        };
        signals::stop(&self.shared, stage);
    }
}

impl fmt::Debug for StopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StopHandle")
    }
}

/// What to do with orphaned tasks: tasks that are `running` on the platform when
/// the worker starts. They belong to a process that was killed, since only one
/// process runs for each token.
///
/// ```
/// use satellite_sdk::{Builder, OnOrphan};
///
/// Builder::new().on_orphan(OnOrphan::Rerun);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnOrphan {
    /// Leave them unchanged, for an operator to check.
    #[default]
    Leave,
    /// Report them failed, with the reason.
    Fail,
    /// Run their handler again. For idempotent handlers.
    Rerun,
}

/// `interval` ± 10 %, so that many satellites do not poll in sync.
fn with_jitter(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + retry::random() / 5.0)
}
