//! Decides what may be retried and when: pure functions, no clock, no network.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::dialect::Class;
use super::fault::Fault;

/// The delay after the first failure.
const FIRST: Duration = Duration::from_secs(1);

/// The effect of a call on the server, which decides whether it may be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Changes nothing.
    Read,
    /// Sending it twice has the same effect as once: a delete, or a full replacement.
    Idempotent,
    /// Sending it twice would have the effect twice.
    Create,
}

/// The result of a call as far as retries are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A response that a retry would not change.
    Final,
    /// A temporary failure; a retry may succeed.
    Transient,
    /// The server confirmed that the request had no effect; a retry may succeed.
    Undone,
    /// There was no complete response.
    Fault(Fault),
}

impl Outcome {
    /// The outcome for an error status. Only a rate limit, and a 503 in the
    /// server's own format, mean that the request had no effect: with a gateway's
    /// 502, 503 or 504 only the server's response is missing.
    pub fn of_status(status: u16, class: Class, is_own: bool) -> Self {
        match status {
            429 => Outcome::Undone,
            // Some servers report a rate limit by a code in the body of a 400.
            _ if class == Class::RateLimited => Outcome::Undone,
            503 if is_own => Outcome::Undone,
            _ if class.is_transient() => Outcome::Transient,
            _ => Outcome::Final,
        }
    }

    /// Whether a call of this kind may be retried: one rule for all servers, used
    /// for both the retries and the error predicates.
    pub fn verdict(self, op: Op) -> Verdict {
        match (op, self) {
            (_, Outcome::Final) => Verdict::Final,
            (_, Outcome::Undone) => Verdict::Retry,
            (_, Outcome::Fault(fault)) if fault.never_opened() => match fault.is_transient() {
                true => Verdict::Retry,
                false => Verdict::Final,
            },
            (Op::Create, _) => Verdict::Unknown,
            (_, Outcome::Fault(fault)) if !fault.is_transient() => Verdict::Final,
            (_, Outcome::Fault(_) | Outcome::Transient) => Verdict::Retry,
        }
    }
}

/// What the caller may do after a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The same call would fail again.
    Final,
    /// The same call may be retried.
    Retry,
    /// The call may have been carried out, and a retry could repeat its effect:
    /// check first.
    Unknown,
}

/// The number of retries of a call, and the delays between them.
#[derive(Debug, Clone, Copy)]
pub struct Retries {
    /// The maximum number of retries.
    pub most: u32,
    /// The first delay; it doubles with each further one.
    pub first: Duration,
    /// The longest delay.
    pub max: Duration,
}

impl Retries {
    /// 1 s, 2 s, 4 s … up to `max`, for as long as the deadline allows.
    pub fn up_to(max: Duration) -> Self {
        Retries {
            most: u32::MAX,
            first: FIRST,
            max,
        }
    }
}

/// The delay before `attempt + 1` (the first attempt is 1), without jitter. `None`
/// if the call must not be retried.
///
/// A longer `Retry-After` is honoured up to the longest delay.
pub fn delay(
    op: Op,
    outcome: Outcome,
    attempt: u32,
    retry_after: Option<Duration>,
    retries: Retries,
) -> Option<Duration> {
    let again = outcome.verdict(op) == Verdict::Retry;
    let wait = exponential(retries.first, attempt, retries.max);
    let least = retry_after.unwrap_or_default().min(retries.max);
    (again && attempt <= retries.most).then(|| wait.max(least))
}

fn exponential(first: Duration, attempt: u32, max: Duration) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    first.saturating_mul(1 << doublings).min(max)
}

/// The delays of a loop that retries forever: 1 s, 2 s, 4 s … up to the maximum,
/// with jitter, reset after a success.
#[derive(Debug, Clone)]
pub struct Backoff {
    failures: u32,
    max: Duration,
}

impl Backoff {
    /// Delays up to `max`.
    pub fn new(max: Duration) -> Self {
        Backoff { failures: 0, max }
    }

    /// Records a failure and returns the next delay, at least `Retry-After`.
    pub fn failed(&mut self, retry_after: Option<Duration>) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let least = retry_after.unwrap_or_default().min(self.max);
        jittered(exponential(FIRST, self.failures, self.max)).max(least)
    }

    /// Whether the last attempt failed.
    pub fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// Resets the delay.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// Reduces `duration` by up to half at random, so that many workers do not retry
/// at the same time.
pub fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(1.0 - random() / 2.0)
}

/// A random number from 0 to 1. The keys of std's hasher come from the system's
/// random source.
pub fn random() -> f64 {
    (random_bits() >> 11) as f64 / (1u64 << 53) as f64
}

/// 64 random bits. Not suitable for secrets.
pub fn random_bits() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: Duration = Duration::from_secs(60);

    fn delay(op: Op, outcome: Outcome, attempt: u32, after: Option<Duration>) -> Option<Duration> {
        super::delay(op, outcome, attempt, after, Retries::up_to(MAX))
    }

    fn secs(delay: Option<Duration>) -> Option<u64> {
        delay.map(|d| d.as_secs())
    }

    #[test]
    fn doubles_from_one_second_to_the_maximum() {
        let waits: Vec<_> = (1..=9)
            .map(|n| secs(delay(Op::Read, Outcome::Transient, n, None)))
            .collect();
        let expected = [1, 2, 4, 8, 16, 32, 60, 60, 60].map(Some);
        assert_eq!(waits, expected);
    }

    #[test]
    fn a_longer_retry_after_is_honoured_up_to_the_maximum() {
        let ask = |s| {
            let after = Some(Duration::from_secs(s));
            secs(delay(Op::Read, Outcome::Transient, 2, after))
        };
        assert_eq!(ask(0), Some(2));
        assert_eq!(ask(30), Some(30));
        assert_eq!(ask(86_400), Some(60));
    }

    #[test]
    fn a_create_is_retried_only_if_it_was_never_sent() {
        for fault in [Fault::Unresolved, Fault::Refused, Fault::ConnectTimedOut] {
            assert!(delay(Op::Create, Outcome::Fault(fault), 1, None).is_some());
        }
        for fault in [Fault::TimedOut, Fault::Broken, Fault::Malformed, Fault::Tls] {
            assert!(delay(Op::Create, Outcome::Fault(fault), 1, None).is_none());
        }
        assert!(delay(Op::Create, Outcome::Transient, 1, None).is_none());
        assert!(delay(Op::Create, Outcome::Undone, 1, None).is_some());
    }

    #[test]
    fn a_create_is_retried_only_after_429_and_the_servers_own_503() {
        let verdict = |status, is_own| {
            let class = Class::of_status(status, is_own);
            Outcome::of_status(status, class, is_own).verdict(Op::Create)
        };
        for is_own in [true, false] {
            assert_eq!(verdict(429, is_own), Verdict::Retry);
            for status in [408, 500, 502, 504, 520] {
                assert_eq!(verdict(status, is_own), Verdict::Unknown, "{status}");
            }
            for status in [400, 401, 403, 404, 409, 422, 501] {
                assert_eq!(verdict(status, is_own), Verdict::Final, "{status}");
            }
        }
        assert_eq!(verdict(503, true), Verdict::Retry);
        assert_eq!(verdict(503, false), Verdict::Unknown);
    }

    #[test]
    fn a_read_is_retried_also_after_a_gateway_error() {
        for status in [429, 500, 502, 503, 504] {
            let class = Class::of_status(status, false);
            let outcome = Outcome::of_status(status, class, false);
            assert_eq!(outcome.verdict(Op::Read), Verdict::Retry, "{status}");
        }
    }

    #[test]
    fn a_final_outcome_is_not_retried() {
        for op in [Op::Read, Op::Idempotent, Op::Create] {
            assert!(delay(op, Outcome::Final, 1, None).is_none());
            assert!(delay(op, Outcome::Fault(Fault::Cancelled), 1, None).is_none());
        }
    }

    #[test]
    fn the_number_of_retries_is_limited() {
        let retries = Retries {
            most: 2,
            first: Duration::from_millis(10),
            max: MAX,
        };
        let waits: Vec<_> = (1..=3)
            .map(|n| super::delay(Op::Read, Outcome::Transient, n, None, retries))
            .collect();
        let ms = |n| Some(Duration::from_millis(n));
        assert_eq!(waits, [ms(10), ms(20), None]);
    }

    proptest! {
        #[test]
        fn jitter_removes_at_most_half_and_adds_nothing(ms in 0u64..100_000) {
            let whole = Duration::from_millis(ms);
            let wait = jittered(whole);
            prop_assert!(wait <= whole && wait >= whole / 2);
        }

        #[test]
        fn no_delay_exceeds_the_maximum(failures in 1u32..200, max in 1u64..4_000, after in 0u64..9_000) {
            let max = Duration::from_secs(max);
            let mut backoff = Backoff { failures, max };
            prop_assert!(backoff.failed(Some(Duration::from_secs(after))) <= max);
        }
    }
}
