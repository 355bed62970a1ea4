//! Rate-limited logging of failures: one line when an operation starts to fail, one per
//! minute while it fails, and one when it works again.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// How often a persistent failure is logged again.
const REPEAT_INTERVAL: Duration = Duration::from_secs(60);

/// Counts the failures of one operation in a row and says which of them to log.
#[derive(Debug)]
pub(super) struct Outage {
    /// The operation, such as `saving the state`.
    what: &'static str,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    since: Instant,
    logged: Instant,
    failures: u32,
}

impl Outage {
    pub(super) fn of(what: &'static str) -> Self {
        Outage {
            what,
            current: None,
        }
    }

    /// Call after each failure. Returns the line to log, if this failure is to be logged.
    pub(super) fn failed(&mut self, now: Instant, error: impl Display) -> Option<String> {
        let what = self.what;
        let Some(current) = &mut self.current else {
            self.current = Some(Current {
                since: now,
                logged: now,
                failures: 1,
            });
            return Some(format!("{what} failed: {error}"));
        };
        current.failures = current.failures.saturating_add(1);
        if now.saturating_duration_since(current.logged) < REPEAT_INTERVAL {
            return None;
        }
        current.logged = now;
        let lasts = now.saturating_duration_since(current.since).as_secs();
        let failures = current.failures;
        Some(format!(
            "{what} still fails after {lasts} s and {failures} attempts: {error}"
        ))
    }

    /// Call after each success. Returns the line to log, if an outage ends with it.
    pub(super) fn ended(&mut self, now: Instant) -> Option<String> {
        let current = self.current.take()?;
        let lasted = now.saturating_duration_since(current.since).as_secs_f64();
        Some(format!(
            "{} works again after {lasted:.1} s and {} failed attempts",
            self.what, current.failures
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_of_five_minutes_logs_six_lines_regardless_of_attempts() {
        let mut outage = Outage::of("saving the state");
        let start = Instant::now();
        let mut lines = Vec::new();
        for tenth in 0..3_000 {
            let now = start + Duration::from_millis(100 * tenth);
            lines.extend(outage.failed(now, "answered 503"));
        }
        let end = start + Duration::from_secs(300);
        lines.extend(outage.ended(end));
        lines.extend(outage.ended(end));
        assert_eq!(
            lines,
            [
                "saving the state failed: answered 503",
                "saving the state still fails after 60 s and 601 attempts: answered 503",
                "saving the state still fails after 120 s and 1201 attempts: answered 503",
                "saving the state still fails after 180 s and 1801 attempts: answered 503",
                "saving the state still fails after 240 s and 2401 attempts: answered 503",
                "saving the state works again after 300.0 s and 3000 failed attempts",
            ]
        );
    }

    #[test]
    fn each_outage_is_logged_when_it_begins() {
        let mut outage = Outage::of("reading the state");
        let now = Instant::now();
        assert!(outage.ended(now).is_none());
        for _ in 0..2 {
            assert!(outage.failed(now, "no route").is_some());
            assert!(outage.failed(now, "no route").is_none());
            assert!(outage.ended(now).is_some());
        }
    }
}
