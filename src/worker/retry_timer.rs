//! When to retry a failed call to the platform.

use std::time::{Duration, Instant};

use satellite_core::Error;
use satellite_core::http::Backoff;

/// The retry timer of one call: it waits 1 s, 2 s, 4 s … after failures. Once the
/// platform has answered any other call, the outage is over and the call is due at once.
///
/// A call that fails again although the platform answers others has a problem of its
/// own. It then keeps its own backoff until a poll fails too. Otherwise a result that
/// the platform cannot process would be resent after every successful poll.
#[derive(Debug)]
pub(super) struct RetryTimer {
    due: Instant,
    backoff: Backoff,
    is_failing: bool,
    /// The platform has answered another call since this one last failed.
    answered_since: bool,
    /// Answers to other calls do not shorten this wait.
    is_independent: bool,
}

impl RetryTimer {
    /// Due at once.
    pub(super) fn new(now: Instant, max_backoff: Duration) -> Self {
        RetryTimer {
            due: now,
            backoff: Backoff::new(max_backoff),
            is_failing: false,
            answered_since: false,
            is_independent: false,
        }
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// The last attempt failed.
    pub(super) fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// Records a failure and returns the wait before the next attempt.
    pub(super) fn failed(&mut self, now: Instant, error: &Error) -> Duration {
        let wait = self.backoff.failed(error.retry_after());
        self.due = now + wait;
        // A rate limit is not an outage: wait as long as the platform asked.
        self.is_independent |= self.answered_since || error.is_rate_limited();
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
        self.is_independent = false;
    }

    /// A poll failed: the platform is unavailable for all calls.
    pub(super) fn poll_failed(&mut self) {
        self.is_independent = false;
        self.answered_since = false;
    }

    /// The platform answered another call.
    pub(super) fn platform_answered(&mut self, now: Instant) {
        if !self.is_failing {
            return;
        }
        self.answered_since = true;
        if !self.is_independent {
            self.backoff.succeeded();
            self.due = self.due.min(now);
        }
    }
}
