//! Metrics for Prometheus in its text format 0.0.4.
//!
//! One sorted list with one lock is enough: there are a few dozen series, which change
//! a few times a second.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The definition of a metric.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// The name in the exposition format, `satellite_polls_total`.
    pub name: &'static str,
    /// The type of the metric.
    pub kind: Kind,
    /// One line of help.
    pub help: &'static str,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A value that only increases.
    Counter,
    /// The current value.
    Gauge,
    /// The number of observations and their sum.
    Summary,
}

impl Metric {
    /// A counter.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        let kind = Kind::Counter;
        Metric { name, kind, help }
    }

    /// A gauge.
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        let kind = Kind::Gauge;
        Metric { name, kind, help }
    }

    /// A summary of durations, in seconds.
    pub const fn summary(name: &'static str, help: &'static str) -> Self {
        let kind = Kind::Summary;
        Metric { name, kind, help }
    }
}

/// All metrics of a process. Clones share them.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<Vec<Series>>>);

/// A value of a metric. They are sorted: by the metric, then by the labels.
struct Series {
    metric: &'static Metric,
    /// In the exposition format: `{a="b"}`.
    labels: String,
    sum: f64,
    count: u64,
}

impl Series {
    fn new(metric: &'static Metric, labels: String) -> Self {
        Series {
            metric,
            labels,
            sum: 0.0,
            count: 0,
        }
    }
}

/// The label names and values of a series.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

impl Metrics {
    /// Exposes these metrics from now on, with an initial value of 0.
    pub fn show(&self, metrics: impl IntoIterator<Item = &'static Metric>) {
        for metric in metrics {
            self.with(metric, &[], |_| {});
        }
    }

    /// Adds `more` to a counter.
    pub fn add(&self, metric: &'static Metric, labels: Labels<'_>, more: u64) {
        self.with(metric, labels, |value| value.sum += more as f64);
    }

    /// Sets a gauge.
    pub fn set(&self, metric: &'static Metric, labels: Labels<'_>, now: f64) {
        self.with(metric, labels, |value| value.sum = now);
    }

    /// Records one duration.
    pub fn observe(&self, metric: &'static Metric, labels: Labels<'_>, took: Duration) {
        self.with(metric, labels, |value| {
            value.sum += took.as_secs_f64();
            value.count += 1;
        });
    }

    /// The metrics in the exposition format.
    pub fn page(&self) -> String {
        let mut page = String::new();
        let mut described = None;
        for series in self.all().iter() {
            let Metric { name, kind, help } = series.metric;
            if described.replace(series.metric) != Some(series.metric) {
                let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
            }
            let (labels, sum, count) = (&series.labels, series.sum, series.count);
            let _ = match kind {
                Kind::Counter | Kind::Gauge => writeln!(page, "{name}{labels} {sum}"),
                Kind::Summary => writeln!(
                    page,
                    "{name}_sum{labels} {sum}\n{name}_count{labels} {count}"
                ),
            };
        }
        page
    }

    fn with(&self, metric: &'static Metric, labels: Labels<'_>, change: impl FnOnce(&mut Series)) {
        let labels = formatted(labels);
        let mut all = self.all();
        let found = all.binary_search_by(|s| (s.metric, &s.labels).cmp(&(metric, &labels)));
        let at = match found {
            Ok(at) => at,
            Err(at) => {
                all.insert(at, Series::new(metric, labels));
                at
            }
        };
        change(&mut all[at]);
    }

    fn all(&self) -> MutexGuard<'_, Vec<Series>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn formatted(labels: Labels<'_>) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        text.push(if text.is_empty() { '{' } else { ',' });
        text.push_str(name);
        text.push_str("=\"");
        for character in value.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    if !text.is_empty() {
        text.push('}');
    }
    text
}

/// The response for `/metrics`.
pub fn page(metrics: &Metrics) -> satellite_serve::Response {
    satellite_serve::Response::new(200)
        .header("content-type", "text/plain; version=0.0.4; charset=utf-8")
        .header("cache-control", "no-store")
        .body(metrics.page())
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Summary => "summary",
        })
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metrics").field(&self.all().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static POLLS: Metric = Metric::counter("polls_total", "Polls.");
    static TOOK: Metric = Metric::summary("took_seconds", "How long it took.");

    #[test]
    fn metrics_have_the_prometheus_text_format() {
        let metrics = Metrics::default();
        metrics.show([&POLLS]);
        metrics.observe(&TOOK, &[("of", "a\"b\\")], Duration::from_millis(1500));
        metrics.observe(&TOOK, &[("of", "a\"b\\")], Duration::from_millis(500));
        assert_eq!(
            metrics.page(),
            "# HELP polls_total Polls.\n# TYPE polls_total counter\npolls_total 0\n\
             # HELP took_seconds How long it took.\n# TYPE took_seconds summary\n\
             took_seconds_sum{of=\"a\\\"b\\\\\"} 2\ntook_seconds_count{of=\"a\\\"b\\\\\"} 2\n"
        );
    }
}
