//! A no-op replacement for metrics, without the features `metrics` and `state`.

use std::time::Duration;

/// A metric that is not recorded.
pub struct Metric;

impl Metric {
    /// A counter.
    pub const fn counter(_: &'static str, _: &'static str) -> Self {
        Metric
    }

    /// A gauge.
    pub const fn gauge(_: &'static str, _: &'static str) -> Self {
        Metric
    }

    /// A summary.
    pub const fn summary(_: &'static str, _: &'static str) -> Self {
        Metric
    }
}

/// No metrics.
#[derive(Clone, Debug, Default)]
pub struct Metrics;

type Labels<'a> = &'a [(&'static str, &'a str)];

impl Metrics {
    /// Does nothing.
    pub fn show(&self, _: impl IntoIterator<Item = &'static Metric>) {}

    /// Does nothing.
    pub fn add(&self, _: &'static Metric, _: Labels<'_>, _: u64) {}

    /// Does nothing.
    pub fn set(&self, _: &'static Metric, _: Labels<'_>, _: f64) {}

    /// Does nothing.
    pub fn observe(&self, _: &'static Metric, _: Labels<'_>, _: Duration) {}
}
