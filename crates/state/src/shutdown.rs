//! The begin of the shutdown, which is the same for every reason. `last_save.rs` is its end.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::core::{Core, PROCESSOR, Waker};
use super::progress::StopReason;
use satellite_core::wake::Stage;

/// How long an announced migration counts as imminent, unless a stop follows.
const MIGRATION_NOTICE_LIFETIME: Duration = Duration::from_secs(60);

impl Core {
    /// Begins the shutdown. The first reason is recorded, unless the state is lost.
    pub(super) fn begin_shutdown(&self, reason: StopReason) {
        let mut progress = self.progress();
        let first = progress.stop_reason.is_none();
        if first || matches!(reason, StopReason::Fenced(_)) {
            progress.stop_reason = Some(reason.clone());
        }
        progress.stopping_since.get_or_insert_with(Instant::now);
        drop(progress);
        if !first {
            return;
        }
        let text = match reason {
            StopReason::Requested => "asked to stop".to_owned(),
            StopReason::PreStop => "asked to stop by the preStop hook".to_owned(),
            StopReason::Returned => "run is over".to_owned(),
            StopReason::HandOver(to) => format!("handing over to {to}"),
            StopReason::Fenced(how) => format!("fenced: {how}"),
        };
        log::info!("stopping: {text}");
        self.health
            .set_problem(PROCESSOR, format_args!("stopping: {text}"));
        self.waiter.wake.stop(Stage::Draining);
        let wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.iter().for_each(|wake| wake());
    }

    /// Begins the shutdown after a signal: also ends the wait on standby.
    pub(super) fn begin_shutdown_by_signal(&self) {
        self.begin_shutdown(StopReason::Requested);
        self.waiter.wake.stop(Stage::Stopping);
    }

    pub(super) fn stopping_since(&self) -> Instant {
        self.progress().stopping_since.unwrap_or_else(Instant::now)
    }

    pub(super) fn on_stop(&self, wake: Waker) {
        if self.waiter.wake.stage() >= Stage::Draining {
            wake();
        }
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.push(wake);
    }

    pub(super) fn stop_reason(&self) -> Option<StopReason> {
        self.progress().stop_reason.clone()
    }

    pub(super) fn announce_migration(&self) {
        self.progress().announced = Some(Instant::now());
    }

    pub(super) fn is_migration_imminent(&self) -> bool {
        let progress = self.progress();
        let announced = progress
            .announced
            .is_some_and(|at| at.elapsed() < MIGRATION_NOTICE_LIFETIME);
        announced || progress.stop_reason.is_some()
    }

    /// Why `/healthz` fails, if it does.
    pub(super) fn stall(&self) -> Option<String> {
        let lasts = self.turns.stalled(self.settings.stall_limit)?;
        Some(format!("the present turn has lasted {lasts:.0?}"))
    }
}
