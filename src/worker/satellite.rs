//! A worker that is ready to run: what it consists of, and access to its parts. Its loop
//! is in `run_loop`.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::context::{Context, Shared};
use super::handlers::Handlers;
use super::loop_state::LoopState;
use super::notify::Notifier;
use super::periodic::Periodic;
use super::report::OnReport;
use super::signals::{self, OnStop};
use super::stopped::Stopped;
use super::unclear_claims::UnclearClaims;
use crate::luml::{PlatformClient, Registration};
use crate::settings::Settings;
use satellite_core::wake::Stage;
use satellite_health::Health;

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
    pub(super) health_server: Option<satellite_health::HealthServer>,
}

impl Satellite {
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
