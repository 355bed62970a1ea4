//! Metrics and traces for an OpenTelemetry collector: OTLP over HTTP, as JSON.

mod encode;
mod exporter;

pub use exporter::{Counts, Exporter, Settings};

/// A span: one call of a deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The trace.
    pub trace_id: u128,
    /// The span.
    pub span_id: u64,
    /// The caller's span.
    pub parent_id: Option<u64>,
    /// When it began, in nanoseconds since 1970.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// The deployment's id.
    pub deployment: String,
    /// The event's id, a UUID.
    pub event: String,
    /// The response's status.
    pub status: u16,
    /// Whether the call succeeded.
    pub is_success: bool,
}

/// A metric with the values of its series.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// What it counts.
    pub description: String,
    /// Its unit, by the Unified Code for Units of Measure: `s`, `By`, `1`.
    pub unit: &'static str,
    /// Its values.
    pub data: Data,
}

/// The values of a metric, by labels.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Values that only increase.
    Counter(Vec<Point<f64>>),
    /// Current values.
    Gauge(Vec<Point<f64>>),
    /// Distributions.
    Histogram(Vec<Point<Histogram>>),
}

/// The value of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Point<T> {
    /// Names and values.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: T,
}

/// A distribution.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// Observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The upper bounds of the buckets.
    pub bounds: Vec<f64>,
    /// The observations in each bucket; one more than bounds, or none.
    pub buckets: Vec<u64>,
}
