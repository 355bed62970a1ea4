//! What may be sent again, and when: pure functions, no clock, no network.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::dialect::Class;
use super::fault::Fault;

/// The first wait after a failure.
const FIRST: Duration = Duration::from_secs(1);

/// What a call does at the other end, which decides whether it may be sent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Changes nothing.
    Read,
    /// Twice is as good as once: a delete, a whole state set again.
    Idempotent,
    /// Twice would do it twice.
    Create,
}

/// How a call went, as far as sending it again is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An answer that will not change.
    Final,
    /// The server may do better later.
    Transient,
    /// The server said that it did nothing, and may do it later.
    Undone,
    /// No complete answer came back.
    Fault(Fault),
}

impl Outcome {
    /// What an error status means. Only a rate limit, and a 503 in the server's
    /// own words, say that nothing was done: a gateway's 502, 503 or 504 says
    /// that the gateway lost the server's answer.
    pub fn of_status(status: u16, class: Class, is_own: bool) -> Self {
        match status {
            429 => Outcome::Undone,
            // Some servers tell it by a code in the body of a 400.
            _ if class == Class::RateLimited => Outcome::Undone,
            503 if is_own => Outcome::Undone,
            _ if class.is_transient() => Outcome::Transient,
            _ => Outcome::Final,
        }
    }

    /// What may follow from it for a call of this kind: the one rule for all
    /// servers, which both the resends and the errors obey.
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

/// What may follow from a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The same call would fail again.
    Final,
    /// The same call may be sent again.
    Retry,
    /// It may have been carried out, and twice would do it twice: look first.
    Unknown,
}

/// How often a call is sent again, and how patiently.
#[derive(Debug, Clone, Copy)]
pub struct Retries {
    /// The most resends.
    pub most: u32,
    /// The first wait; each is twice the one before.
    pub first: Duration,
    /// The longest wait.
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

/// How long to wait before `attempt + 1` (the first attempt is 1), without
/// jitter. `None`: this outcome is final.
///
/// `Retry-After` is honoured where it asks for more, up to the longest wait.
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

/// The waits of a loop that must not give up: 1 s, 2 s, 4 s … to the maximum,
/// jittered, begun anew after a success.
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

    /// One more failure: how long to wait now. `Retry-After` is the least.
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

/// `duration` less up to half of it at random, so that a fleet does not come
/// back in one instant.
pub fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(1.0 - random() / 2.0)
}

/// From 0 to 1. The keys of std's hasher come from the system's random source.
pub fn random() -> f64 {
    (random_bits() >> 11) as f64 / (1u64 << 53) as f64
}

/// Not for secrets.
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
    fn retry_after_counts_where_it_asks_for_more_and_never_past_the_maximum() {
        let ask = |s| {
            let after = Some(Duration::from_secs(s));
            secs(delay(Op::Read, Outcome::Transient, 2, after))
        };
        assert_eq!(ask(0), Some(2));
        assert_eq!(ask(30), Some(30));
        assert_eq!(ask(86_400), Some(60));
    }

    #[test]
    fn a_create_is_sent_again_only_when_it_was_never_sent() {
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
    fn only_429_and_the_servers_own_503_say_that_a_create_did_nothing() {
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
    fn a_read_is_sent_again_whoever_answered() {
        for status in [429, 500, 502, 503, 504] {
            let class = Class::of_status(status, false);
            let outcome = Outcome::of_status(status, class, false);
            assert_eq!(outcome.verdict(Op::Read), Verdict::Retry, "{status}");
        }
    }

    #[test]
    fn an_answer_that_will_not_change_is_final() {
        for op in [Op::Read, Op::Idempotent, Op::Create] {
            assert!(delay(op, Outcome::Final, 1, None).is_none());
            assert!(delay(op, Outcome::Fault(Fault::Cancelled), 1, None).is_none());
        }
    }

    #[test]
    fn resends_are_counted() {
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
