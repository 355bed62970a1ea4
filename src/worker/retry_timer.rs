//! When a call to the platform that failed is sent again.

use std::time::{Duration, Instant};

use satellite_core::Error;
use satellite_core::http::Backoff;

/// The timer of one call: it waits 1 s, 2 s, 4 s … after failures, and not at all
/// once the platform has answered any other call, since the outage is over then.
///
/// A call that fails again although the platform answers others has a fault of its
/// own. It keeps to its own backoff until a poll fails as well, or a result that the
/// platform cannot digest would be sent again after each good poll.
#[derive(Debug)]
pub(super) struct RetryTimer {
    due: Instant,
    backoff: Backoff,
    is_failing: bool,
    /// The platform has answered another call since this one last failed.
    answered_since: bool,
    /// No answer to another call shortens this wait.
    waits_alone: bool,
}

impl RetryTimer {
    /// Due at once.
    pub(super) fn new(now: Instant, max_backoff: Duration) -> Self {
        RetryTimer {
            due: now,
            backoff: Backoff::new(max_backoff),
            is_failing: false,
            answered_since: false,
            waits_alone: false,
        }
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// The last attempt failed.
    pub(super) fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// The call failed: how long to wait before the next attempt.
    pub(super) fn failed(&mut self, now: Instant, error: &Error) -> Duration {
        let wait = self.backoff.failed(error.retry_after());
        self.due = now + wait;
        // A rate limit is no outage: the wait is what the platform asked for.
        self.waits_alone |= self.answered_since || error.is_rate_limited();
        self.is_failing = true;
        self.answered_since = false;
        wait
    }

    /// The call succeeded; it is next due at `due`.
    pub(super) fn succeeded(&mut self, due: Instant) {
        self.backoff.succeeded();
        self.due = due;
        self.is_failing = false;
        self.answered_since = false;
        self.waits_alone = false;
    }

    /// A poll failed: the platform is away for all calls alike.
    pub(super) fn poll_failed(&mut self) {
        self.waits_alone = false;
        self.answered_since = false;
    }

    /// The platform answered another call.
    pub(super) fn platform_answered(&mut self, now: Instant) {
        if !self.is_failing {
            return;
        }
        self.answered_since = true;
        if !self.waits_alone {
            self.backoff.succeeded();
            self.due = self.due.min(now);
        }
    }
}
