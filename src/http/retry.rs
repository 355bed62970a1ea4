//! What may be sent again, and when: pure functions, no clock, no network.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// What a call does at the other end, which decides whether it may be sent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// Changes nothing.
    Read,
    /// Twice is as good as once: a delete, a whole state set again.
    Idempotent,
    /// Twice would do it twice.
    Create,
}

/// A call that brought no complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The name has no address, at the moment or at all.
    Unresolved,
    /// Nobody takes the connection.
    Refused,
    /// No connection within its time limit.
    ConnectTimedOut,
    /// No trust: certificate, name or protocol of TLS.
    Tls,
    /// The request was sent; the answer did not come in time.
    TimedOut,
    /// The connection broke before the answer was whole.
    Broken,
    /// The answer is larger than the bound.
    TooLarge,
    /// What came back is not HTTP.
    Garbled,
}

impl Fault {
    /// Nothing was sent, so nothing was done.
    pub(crate) fn never_opened(self) -> bool {
        matches!(
            self,
            Fault::Unresolved | Fault::Refused | Fault::ConnectTimedOut | Fault::Tls
        )
    }

    /// The same call may go well later.
    pub(crate) fn is_passing(self) -> bool {
        !matches!(self, Fault::TooLarge | Fault::Tls)
    }
}

/// Statuses of a server that may do better later.
pub(crate) fn is_passing_status(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599) && !matches!(status, 501 | 505)
}

/// How a call went, as far as sending it again is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// This status came back.
    Status(u16),
    /// No complete answer came back.
    Fault(Fault),
}

/// How long to wait before `attempt + 1` (the first attempt is 1), without
/// jitter: 1 s, 2 s, 4 s … up to `max`. `None`: this outcome is final.
///
/// `Retry-After` is honoured where it asks for more, up to `max`.
pub(crate) fn delay(
    op: Op,
    outcome: Outcome,
    attempt: u32,
    retry_after: Option<Duration>,
    max: Duration,
) -> Option<Duration> {
    let again = match (op, outcome) {
        (_, Outcome::Fault(fault)) if fault.never_opened() => fault.is_passing(),
        (Op::Create, _) => false,
        (_, Outcome::Fault(fault)) => fault.is_passing(),
        (_, Outcome::Status(status)) => is_passing_status(status),
    };
    again.then(|| exponential(attempt, max).max(retry_after.unwrap_or_default().min(max)))
}

fn exponential(attempt: u32, max: Duration) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    Duration::from_secs(1 << doublings).min(max)
}

/// The waits of a loop that must not give up: 1 s, 2 s, 4 s … to the maximum,
/// jittered, begun anew after a success.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    failures: u32,
    max: Duration,
}

impl Backoff {
    pub(crate) fn new(max: Duration) -> Self {
        Backoff { failures: 0, max }
    }

    /// One more failure: how long to wait now. `Retry-After` is the least.
    pub(crate) fn failed(&mut self, retry_after: Option<Duration>) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let least = retry_after.unwrap_or_default().min(self.max);
        jittered(exponential(self.failures, self.max)).max(least)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// `duration` less up to half of it at random, so that a fleet does not come
/// back in one instant.
pub(crate) fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(1.0 - random() / 2.0)
}

/// From 0 to 1. The keys of std's hasher come from the system's random source.
pub(crate) fn random() -> f64 {
    (RandomState::new().hash_one(0) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: Duration = Duration::from_secs(60);

    fn secs(delay: Option<Duration>) -> Option<u64> {
        delay.map(|d| d.as_secs())
    }

    #[test]
    fn doubles_from_one_second_to_the_maximum() {
        let waits: Vec<_> = (1..=9)
            .map(|n| secs(delay(Op::Read, Outcome::Status(503), n, None, MAX)))
            .collect();
        let expected = [1, 2, 4, 8, 16, 32, 60, 60, 60].map(Some);
        assert_eq!(waits, expected);
    }

    #[test]
    fn retry_after_counts_where_it_asks_for_more_and_never_past_the_maximum() {
        let ask = |s| {
            let after = Some(Duration::from_secs(s));
            secs(delay(Op::Read, Outcome::Status(429), 2, after, MAX))
        };
        assert_eq!(ask(0), Some(2));
        assert_eq!(ask(30), Some(30));
        assert_eq!(ask(86_400), Some(60));
    }

    #[test]
    fn a_create_is_sent_again_only_when_it_was_never_sent() {
        for fault in [Fault::Unresolved, Fault::Refused, Fault::ConnectTimedOut] {
            assert!(delay(Op::Create, Outcome::Fault(fault), 1, None, MAX).is_some());
        }
        for fault in [Fault::TimedOut, Fault::Broken, Fault::Garbled, Fault::Tls] {
            assert!(delay(Op::Create, Outcome::Fault(fault), 1, None, MAX).is_none());
        }
        for status in 100..600 {
            assert!(delay(Op::Create, Outcome::Status(status), 1, None, MAX).is_none());
        }
    }

    #[test]
    fn an_answer_that_will_not_change_is_final() {
        for status in [200, 204, 307, 400, 401, 403, 404, 409, 422, 501] {
            assert!(delay(Op::Read, Outcome::Status(status), 1, None, MAX).is_none());
        }
    }

    proptest! {
        #[test]
        fn jitter_takes_at_most_half_and_adds_nothing(ms in 0u64..100_000) {
            let whole = Duration::from_millis(ms);
            let wait = jittered(whole);
            prop_assert!(wait <= whole && wait >= whole / 2);
        }

        #[test]
        fn no_wait_is_past_the_maximum(failures in 1u32..200, max in 1u64..4_000, after in 0u64..9_000) {
            let max = Duration::from_secs(max);
            let mut backoff = Backoff { failures, max };
            prop_assert!(backoff.failed(Some(Duration::from_secs(after))) <= max);
        }
    }
}
