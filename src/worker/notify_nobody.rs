//! Where there is no systemd to tell.

use std::fmt;
use std::time::Duration;

pub(super) struct Notifier;

impl Notifier {
    pub(super) fn from_env() -> Self {
        Notifier
    }

    pub(super) fn polled_well(&mut self, _: impl fmt::Display) {}

    pub(super) fn status(&mut self, _: impl fmt::Display) {}

    pub(super) fn alive(&mut self) -> Option<Duration> {
        None
    }

    pub(super) fn handler_begins(&mut self, _: Duration) {}

    pub(super) fn handler_ended(&mut self) {}

    pub(super) fn stopping(&mut self) {}
}
