//! A stub for platforms without systemd.

use std::fmt;
use std::time::Duration;

pub(super) struct Notifier;

impl Notifier {
    pub(super) fn from_env() -> Self {
        Notifier
    }

    pub(super) fn poll_succeeded(&mut self, _: impl fmt::Display) {}

    pub(super) fn status(&mut self, _: impl fmt::Display) {}

    pub(super) fn feed_watchdog(&mut self) -> Option<Duration> {
        None
    }

    pub(super) fn handler_started(&mut self, _: Duration) {}

    pub(super) fn handler_ended(&mut self) {}

    pub(super) fn stopping(&mut self) {}
}
