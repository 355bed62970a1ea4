//! Where the loop stands, and how far it goes.

use std::time::{Duration, Instant};

use super::retry_timer::RetryTimer;

/// When a run ends, unless it is stopped before.
#[derive(Clone, Copy)]
pub(super) enum End {
    Stop,
    /// There is nothing left to do.
    Idle,
    /// At this time.
    Time(Instant),
}

/// Where the loop stands.
pub(super) struct Turn {
    pub(super) poll: RetryTimer,
    pub(super) registration: RetryTimer,
    /// The last poll found nothing to do.
    pub(super) quiet: bool,
    pub(super) orphans_seen_to: bool,
}

impl Turn {
    pub(super) fn new(now: Instant, max_backoff: Duration) -> Self {
        Turn {
            poll: RetryTimer::new(now, max_backoff),
            registration: RetryTimer::new(now, max_backoff),
            quiet: false,
            orphans_seen_to: false,
        }
    }

    /// The platform answered some call: a poll or a registration that an outage
    /// held back is due.
    pub(super) fn platform_answered(&mut self, now: Instant) {
        self.poll.platform_answered(now);
        self.registration.platform_answered(now);
    }
}
