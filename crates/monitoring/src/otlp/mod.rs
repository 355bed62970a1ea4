//! Metrics and traces for an OpenTelemetry collector: OTLP over HTTP, as JSON.

mod encode;
mod exporter;

pub use exporter::{Counts, Exporter, Settings};

use satellite_core::Secret;
use satellite_core::http::unescaped;

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

/// The headers of `OTEL_EXPORTER_OTLP_HEADERS`: `name=value`, as in W3C baggage. Values may be
/// percent-encoded.
///
/// ```
/// let headers = satellite_monitoring::otlp::headers(&["X-Key = a%20b".to_owned()]);
/// assert_eq!((headers[0].0.as_str(), headers[0].1.expose()), ("x-key", "a b"));
/// ```
pub fn headers(items: &[String]) -> Vec<(String, Secret)> {
    let pairs = items.iter().filter_map(|item| item.split_once('='));
    pairs
        .map(|(name, value)| {
            let name = name.trim().to_ascii_lowercase();
            (name, Secret::new(unescaped(value.trim())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_pairs_with_percent_encoded_values() {
        let items = [
            "Authorization=Basic%20abc=".to_owned(),
            " x-a = 1".into(),
            "none".into(),
        ];
        let read = headers(&items);
        let read: Vec<_> = read
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose()))
            .collect();
        assert_eq!(read, [("authorization", "Basic abc="), ("x-a", "1")]);
    }
}
