//! The last intervals of a deployment.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::bucket::Bucket;

/// Intervals that are kept.
pub(crate) const LENGTH: usize = 120;

/// A point in a deployment's history: one interval.
///
/// ```
/// assert_eq!(satellite_monitoring::Point::default().requests, 0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Point {
    /// The end of the interval, in milliseconds since 1970; of the current one, 0.
    pub end_ms: u64,
    /// Calls.
    pub requests: u64,
    /// Calls that did not succeed.
    pub errors: u64,
    /// The 95th percentile of the latency in milliseconds; 0 without calls.
    pub latency_p95_ms: f64,
}

impl Point {
    pub(crate) fn of(bucket: &Bucket, end_ms: u64) -> Self {
        Point {
            end_ms,
            requests: bucket.calls.requests,
            errors: bucket.calls.requests - bucket.calls.successes,
            latency_p95_ms: bucket.calls.latency.quantile(0.95),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct History(VecDeque<Point>);

impl History {
    pub(crate) fn push(&mut self, point: Point) {
        self.0.push_back(point);
        if self.0.len() > LENGTH {
            self.0.pop_front();
        }
    }

    /// Adds points of an earlier process, and intervals without calls between them and until
    /// now.
    pub(crate) fn restore(&mut self, points: &[Point], now_ms: u64, interval_ms: u64) {
        let begin = now_ms.saturating_sub(LENGTH as u64 * interval_ms);
        let is_recent = |point: &&Point| (begin..=now_ms).contains(&point.end_ms);
        for point in points.iter().filter(is_recent) {
            self.fill(point.end_ms.saturating_sub(interval_ms / 2), interval_ms);
            self.push(*point);
        }
        self.fill(now_ms, interval_ms);
    }

    /// Adds the intervals that end after the last one and before this time.
    fn fill(&mut self, until_ms: u64, interval_ms: u64) {
        while let Some(last) = self.0.back() {
            let end_ms = last.end_ms + interval_ms;
            if end_ms >= until_ms {
                return;
            }
            self.push(Point {
                end_ms,
                ..Point::default()
            });
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Point> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(end_ms: u64) -> Point {
        Point {
            end_ms,
            requests: 1,
            ..Point::default()
        }
    }

    #[test]
    fn restored_points_have_their_places_in_time() {
        let restored = |ends: &[u64], now_ms| {
            let mut history = History::default();
            let points: Vec<_> = ends.iter().map(|end| point(*end)).collect();
            history.restore(&points, now_ms, 10);
            history.iter().map(|p| p.requests).collect::<Vec<_>>()
        };
        assert!(restored(&[], 1000).is_empty());
        assert_eq!(restored(&[1000, 1011, 1019], 1019), [1, 1, 1]);
        assert_eq!(restored(&[1000, 1030], 1055), [1, 0, 0, 1, 0, 0]);
        assert_eq!(restored(&[1000, 9000, 99_000], 9001), [1], "not the future");
        let old: Vec<u64> = (0..500).map(|n| n * 10).collect();
        assert_eq!(restored(&old, 4990).len(), LENGTH);
        assert!(restored(&[u64::MAX], 5).is_empty());
    }
}
