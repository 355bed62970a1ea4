//! The state of the main loop and its end condition.

use std::time::{Duration, Instant};

use super::retry_timer::RetryTimer;

/// When a run ends, unless it is stopped earlier.
#[derive(Clone, Copy)]
pub(super) enum RunUntil {
    /// Only when stopped.
    Stopped,
    /// When nothing is left to do.
    Idle,
    /// At this time.
    Time(Instant),
}

/// The state of the main loop.
pub(super) struct LoopState {
    pub(super) poll: RetryTimer,
    pub(super) registration: RetryTimer,
    /// The last poll returned no task to run.
    pub(super) last_poll_empty: bool,
    pub(super) orphans_recovered: bool,
}

impl LoopState {
    pub(super) fn new(now: Instant, max_backoff: Duration) -> Self {
        LoopState {
            poll: RetryTimer::new(now, max_backoff),
            registration: RetryTimer::new(now, max_backoff),
            last_poll_empty: false,
            orphans_recovered: false,
        }
    }

    /// The platform answered some call: a poll or registration delayed by an
    /// outage is due now.
    pub(super) fn platform_answered(&mut self, now: Instant) {
        self.poll.platform_answered(now);
        self.registration.platform_answered(now);
    }
}
