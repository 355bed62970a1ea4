//! The loop: what comes next, and when. What is done with tasks is in `work`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::context::{Context, Polling, Shared};
use super::figures;
use super::handler::AnyHandler;
use super::inbox::Inbox;
use super::notify::Notifier;
use super::outbox::OnReport;
use super::periodic::Periodic;
use super::signals::{self, OnStop, Signals};
use super::step::step;
use super::stopped::Stopped;
use super::turn::{End, Turn};
use crate::luml::{PlatformClient, Registration};
use crate::settings::Settings;
use satellite_core::Result;
use satellite_core::http::retry;
use satellite_core::wake::Stage;
use satellite_health as health;
use satellite_health::{self, Health};

/// How often a worker looks whether its processor may act again.
const PAUSE: Duration = Duration::from_millis(50);

/// A worker, built and ready to run: what [`Builder::build`] makes.
///
/// [`Builder::build`]: super::Builder::build
pub struct Satellite {
    pub(super) settings: Settings,
    pub(super) shared: Arc<Shared>,
    pub(super) handlers: BTreeMap<String, AnyHandler>,
    pub(super) periodic: Vec<Periodic>,
    pub(super) on_report: Option<OnReport>,
    pub(super) on_stop: OnStop,
    pub(super) on_orphan: OnOrphan,
    pub(super) signals: bool,
    pub(super) registration: Option<Registration>,
    pub(super) handler_limit: Duration,
    pub(super) notifier: Notifier,
    pub(super) inbox: Inbox,
    pub(super) turn: Turn,
    pub(super) stopped: Stopped,
    #[cfg(feature = "health")]
    pub(super) health_server: Option<health::HealthServer>,
}

impl Satellite {
    /// Runs until a signal or [`StopHandle::stop`] ends it.
    ///
    /// With [`OnStop::Now`] a signal that comes while a handler runs ends the
    /// process, so that this never returns.
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
    /// `is_unauthorized()` when the platform refuses the token.
    pub fn run(&mut self) -> Result<Stopped> {
        self.run_to(End::Stop)
    }

    /// Runs until there is nothing left to do: the platform offers no task, no
    /// answer is to come later, and every result has arrived. For tests, and
    /// for satellites that a timer starts.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_until_idle(&mut self) -> Result<Stopped> {
        self.run_to(End::Idle)
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
        self.run_to(End::Time(self.now() + span))
    }

    /// Stops this satellite from elsewhere.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle {
            shared: Arc::clone(&self.shared),
            drain: matches!(self.on_stop, OnStop::Drain(_)),
        }
    }

    /// The platform client that handlers are given.
    pub fn platform(&self) -> &PlatformClient {
        &self.shared.platform
    }

    /// What `/readyz` tells: whether this satellite is ready, and what stands in
    /// the way. A clone can be asked while the satellite runs.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// let mut satellite = mock.worker().build()?;
    /// let health = satellite.health().clone();
    /// assert!(health.problems().contains_key("platform"), "not polled yet");
    /// satellite.run_until_idle()?;
    /// assert!(health.is_ready());
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    pub fn health(&self) -> &Health {
        &self.shared.health
    }

    /// What periodic work is given: for threads of your own.
    pub fn context(&self) -> Context {
        Context {
            shared: Arc::clone(&self.shared),
            running: None,
        }
    }

    /// Where the health thread listens: of use with port 0.
    #[cfg(feature = "health")]
    pub fn health_address(&self) -> Option<std::net::SocketAddr> {
        self.health_server.as_ref().map(|server| server.address())
    }

    fn run_to(&mut self, end: End) -> Result<Stopped> {
        let signals = match self.signals {
            true => Some(Signals::watch(&self.shared, self.on_stop)?),
            false => None,
        };
        self.announce();
        step("start");
        let ended = self.turn_to(end).and_then(|()| {
            self.notifier.stopping();
            self.drain()
        });
        self.stopped.undelivered = self.shared.outbox().undelivered() as u64;
        if self.stopped.undelivered > 0 && !matches!(end, End::Time(_)) {
            log::warn!("{} results were not delivered", self.stopped.undelivered);
        }
        #[cfg(target_os = "linux")]
        if signals.is_some() && self.stage() > Stage::Running {
            super::children::end_all(); // of threads that handlers began
        }
        drop(signals);
        ended.map(|()| self.stopped)
    }

    fn turn_to(&mut self, end: End) -> Result<()> {
        if !matches!(end, End::Time(_)) {
            self.turn = Turn::new(self.now(), self.settings.max_backoff);
        }
        while self.stage() == Stage::Running {
            if !self.shared.may_act() {
                self.notifier.alive();
                self.shared.waiter.sleep(PAUSE, Stage::Draining);
                continue;
            }
            self.register_if_due()?;
            self.ask_again_for_unclear_claims()?;
            self.do_what_is_due()?;
            if self.now() >= self.turn.poll.due() && self.stage() == Stage::Running {
                self.poll()?;
            }
            let left = match end {
                End::Idle if self.turn.quiet && self.has_nothing_under_way() => break,
                End::Time(end) if self.now() >= end => break,
                End::Time(end) => Some(end - self.now()),
                End::Stop | End::Idle => None,
            };
            let longest = [left, self.notifier.alive()].into_iter().flatten().min();
            self.wait_for(longest);
        }
        Ok(())
    }

    /// One poll and all that it brought. Only what ends the worker is an error.
    fn poll(&mut self) -> Result<()> {
        self.turn.quiet = false;
        let worked = self.see_to_orphans().and_then(|()| self.poll_and_work());
        match worked {
            Ok(worked) => {
                self.count_poll("ok", Duration::ZERO);
                self.turn.quiet = !worked;
                let next = match worked {
                    true => self.now(), // there may be more
                    false => self.now() + around(self.settings.poll_interval),
                };
                self.turn.poll.succeeded(next);
            }
            Err(e) if e.is_refused_token() => return Err(e),
            Err(_) if self.stage() > Stage::Running => {} // the poll was broken off
            Err(e) => {
                let wait = self.turn.poll.failed(self.now(), &e);
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
        metrics.add(&figures::POLLS, &[("outcome", outcome)], 1);
        metrics.set(&figures::BACKOFF, &[], backoff.as_secs_f64());
    }

    fn register_if_due(&mut self) -> Result<()> {
        let Some(registration) = &self.registration else {
            return Ok(());
        };
        if self.now() < self.turn.registration.due() {
            return Ok(());
        }
        let answer = {
            let _polling = Polling::begin(&self.shared);
            if self.stage() > Stage::Running {
                return Ok(());
            }
            self.shared.platform.register_once(registration)
        };
        match self.heard(answer) {
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
            Err(_) if self.stage() > Stage::Running => {} // it was broken off
            Err(e) => {
                let wait = self.turn.registration.failed(self.now(), &e);
                log::warn!("{e}; registering again in {wait:.1?}");
                self.shared.health.set_problem(health::REGISTRATION, &e);
            }
        }
        Ok(())
    }

    /// After a stop that lets work finish: answers that are to come, results
    /// that have not arrived.
    fn drain(&mut self) -> Result<()> {
        let OnStop::Drain(limit) = self.on_stop else {
            return Ok(());
        };
        let end = self.now() + limit;
        step("drain");
        while self.stage() == Stage::Draining
            && !self.shared.outbox().is_empty()
            && self.now() < end
        {
            self.do_what_is_due()?;
            if self.shared.outbox().is_empty() {
                break;
            }
            // Claims are not asked for any more.
            let others = [self.shared.outbox().next_due(), self.next_periodic()];
            let due = others.into_iter().flatten().fold(end, Instant::min);
            let wait = due.saturating_duration_since(self.now());
            let longest = self.notifier.alive().unwrap_or(wait);
            let waiter = &self.shared.waiter;
            waiter.wait_for_notification(wait.min(longest), Stage::Stopping);
        }
        Ok(())
    }

    fn wait_for(&self, longest: Option<Duration>) {
        let registration = self.registration.as_ref();
        let registration = registration.map(|_| self.turn.registration.due());
        let others = [registration, self.next_due()];
        let due = others
            .into_iter()
            .flatten()
            .fold(self.turn.poll.due(), Instant::min);
        let wait = due.saturating_duration_since(self.now());
        let wait = longest.map_or(wait, |longest| wait.min(longest));
        self.shared
            .waiter
            .wait_for_notification(wait, Stage::Draining);
    }

    fn next_periodic(&self) -> Option<Instant> {
        self.periodic.iter().filter_map(Periodic::due).min()
    }

    /// When results, unclear claims or periodic work next want the loop.
    fn next_due(&self) -> Option<Instant> {
        let outbox = self.shared.outbox().next_due();
        [outbox, self.inbox.next_due(), self.next_periodic()]
            .into_iter()
            .flatten()
            .min()
    }

    fn has_nothing_under_way(&self) -> bool {
        self.shared.outbox().is_empty() && self.inbox.is_empty()
    }

    fn announce(&self) {
        log::info!(
            "satellite-sdk {} polls {} every {:.1?} for tasks of {}",
            env!("CARGO_PKG_VERSION"),
            self.settings.platform_url,
            self.settings.poll_interval,
            self.polled_types(),
        );
        for task_type in &self.settings.supported_task_types {
            if !self.handlers.contains_key(task_type) {
                log::warn!("there is no handler for {task_type}: its tasks will fail");
            }
        }
    }

    fn polled_types(&self) -> String {
        let types = &self.settings.supported_task_types;
        let handlers = named(self.handlers.keys());
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
            .field("handlers", &self.handlers.keys())
            .finish_non_exhaustive()
    }
}

/// Stops a [`Satellite`] from another thread, as the first signal would.
#[derive(Clone)]
pub struct StopHandle {
    shared: Arc<Shared>,
    drain: bool,
}

impl StopHandle {
    /// No further task is claimed; a wait or a poll under way ends at once. A
    /// handler that runs is not cut off: it may look at `cx.is_stopping()`.
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

/// What becomes of tasks that are `running` on the platform when the worker
/// starts: those of a process that was killed, since one process runs for each
/// token.
///
/// ```
/// use satellite_sdk::{Builder, OnOrphan};
///
/// Builder::new().on_orphan(OnOrphan::Rerun);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnOrphan {
    /// They stay as they are, for somebody to look at.
    #[default]
    Leave,
    /// They are reported failed, with the reason.
    Fail,
    /// Their handler runs again: for handlers that do no harm twice.
    Rerun,
}

/// `interval` give or take a tenth, so that a fleet does not poll in step.
fn around(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + retry::random() / 5.0)
}

pub(super) fn named<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.map(String::as_str).collect();
    match names.is_empty() {
        true => "no task type".to_owned(),
        false => names.join(", "),
    }
}
