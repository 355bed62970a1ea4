//! Metrics for Prometheus in its text format 0.0.4, and for other exporters as values.
//!
//! One sorted list with one lock is enough: there are a few hundred series at most, which change
//! a few times a second. What changes more often is counted elsewhere and copied by a
//! [collector](Metrics::collect).

use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The definition of a metric.
#[derive(Debug, PartialEq, PartialOrd)]
pub struct Metric {
    /// The name in the exposition format, `satellite_polls_total`.
    pub name: &'static str,
    /// The type of the metric.
    pub kind: Kind,
    /// One line of help.
    pub help: &'static str,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub enum Kind {
    /// A value that only increases.
    Counter,
    /// The current value.
    Gauge,
    /// The number of observations and their sum.
    Summary,
    /// The number of observations up to each of these bounds, and their sum.
    Histogram(&'static [f64]),
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

    /// A histogram of durations, in seconds. The bounds ascend.
    pub const fn histogram(name: &'static str, help: &'static str, bounds: &'static [f64]) -> Self {
        let kind = Kind::Histogram(bounds);
        Metric { name, kind, help }
    }
}

/// All metrics of a process. Clones share them.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Shared>);

#[derive(Default)]
struct Shared {
    series: Mutex<Vec<Series>>,
    collectors: Mutex<Vec<Arc<Collector>>>,
    /// Held by an export: another one would see what a collector is about to replace.
    export: Mutex<()>,
}

type Collector = dyn Fn(&Metrics) + Send + Sync;

/// A value of a metric. They are sorted: by the metric's name, then by the labels.
#[derive(Debug, Clone)]
pub struct Series {
    /// The definition.
    pub metric: &'static Metric,
    /// The names and values of the labels.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: Value,
}

impl Series {
    fn compare(&self, metric: &Metric, labels: Labels<'_>) -> Ordering {
        let mine = self.labels.iter().map(|(name, value)| (*name, &**value));
        let order = self.metric.name.cmp(metric.name);
        order.then_with(|| mine.cmp(labels.iter().copied()))
    }
}

/// The value of a series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Value {
    /// The value of a counter or a gauge, or the sum of all observations.
    pub sum: f64,
    /// Observations.
    pub count: u64,
    /// Of a histogram: the observations in each bucket, not added up; the last one is that
    /// beyond all bounds.
    pub buckets: Vec<u64>,
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

    /// Sets a gauge, or a counter that is counted elsewhere.
    pub fn set(&self, metric: &'static Metric, labels: Labels<'_>, now: f64) {
        self.with(metric, labels, |value| value.sum = now);
    }

    /// Sets the value of a series that is counted elsewhere, such as a histogram.
    pub fn put(&self, metric: &'static Metric, labels: Labels<'_>, now: Value) {
        self.with(metric, labels, |value| *value = now);
    }

    /// Records one duration.
    pub fn observe(&self, metric: &'static Metric, labels: Labels<'_>, took: Duration) {
        let seconds = took.as_secs_f64();
        self.with(metric, labels, |value| {
            value.sum += seconds;
            value.count += 1;
            if let Kind::Histogram(bounds) = metric.kind {
                value.buckets.resize(bounds.len() + 1, 0);
                value.buckets[bounds.partition_point(|bound| *bound < seconds)] += 1;
            }
        });
    }

    /// Removes the series of a metric for which `keep` is false, for example those of something
    /// that was deleted.
    pub fn retain(
        &self,
        metric: &'static Metric,
        keep: impl Fn(&[(&'static str, String)]) -> bool,
    ) {
        self.lock()
            .retain(|series| series.metric.name != metric.name || keep(&series.labels));
    }

    /// Calls `collect` before each export: it sets metrics from values that are kept elsewhere.
    pub fn collect(&self, collect: impl Fn(&Metrics) + Send + Sync + 'static) {
        let collectors = self.0.collectors.lock();
        let mut collectors = collectors.unwrap_or_else(PoisonError::into_inner);
        collectors.push(Arc::new(collect));
    }

    /// All series, sorted by the metric's name and the labels.
    pub fn series(&self) -> Vec<Series> {
        let _export = self.0.export.lock().unwrap_or_else(PoisonError::into_inner);
        let collectors = self.0.collectors.lock();
        // Released first: a collector may take locks of its own.
        let collectors = collectors.unwrap_or_else(PoisonError::into_inner).clone();
        collectors.iter().for_each(|collect| collect(self));
        self.lock().clone()
    }

    /// The metrics in the exposition format.
    pub fn page(&self) -> String {
        let mut page = String::new();
        let mut described = "";
        for series in self.series() {
            let Metric { name, kind, help } = series.metric;
            if described != *name {
                let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
                described = name;
            }
            write_series(&mut page, &series);
        }
        page
    }

    fn with(&self, metric: &'static Metric, labels: Labels<'_>, change: impl FnOnce(&mut Value)) {
        let mut all = self.lock();
        let found = all.binary_search_by(|series| series.compare(metric, labels));
        let at = found.unwrap_or_else(|at| {
            let labels = labels.iter().map(|(name, value)| (*name, (*value).into()));
            let new = Series {
                metric,
                labels: labels.collect(),
                value: Value::default(),
            };
            all.insert(at, new);
            at
        });
        change(&mut all[at].value);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Series>> {
        let series = self.0.series.lock();
        series.unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_series(page: &mut String, series: &Series) {
    let name = series.metric.name;
    let Value { sum, count, .. } = &series.value;
    let labels = formatted(&series.labels, None);
    match series.metric.kind {
        Kind::Counter | Kind::Gauge => {
            let _ = writeln!(page, "{name}{labels} {sum}");
            return;
        }
        Kind::Summary => {}
        Kind::Histogram(bounds) => {
            let mut total = 0;
            let ends = bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
            for (at, end) in ends.enumerate() {
                total += series.value.buckets.get(at).copied().unwrap_or_default();
                let labels = formatted(&series.labels, Some(&end));
                let _ = writeln!(page, "{name}_bucket{labels} {total}");
            }
        }
    }
    let _ = write!(
        page,
        "{name}_sum{labels} {sum}\n{name}_count{labels} {count}\n"
    );
}

/// `{a="b"}`; `bound` is the label `le` of a histogram's bucket.
fn formatted(labels: &[(&'static str, String)], bound: Option<&str>) -> String {
    let labels = labels.iter().map(|(name, value)| (*name, value.as_str()));
    let mut text = String::new();
    for (name, value) in labels.chain(bound.map(|bound| ("le", bound))) {
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
            Kind::Histogram(_) => "histogram",
        })
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metrics").field(&self.lock().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static POLLS: Metric = Metric::counter("polls_total", "Polls.");
    static TOOK: Metric = Metric::summary("took_seconds", "How long it took.");
    static CALLS: Metric = Metric::histogram("call_seconds", "Calls.", &[0.1, 1.0]);
    static OPEN: Metric = Metric::gauge("open", "Open.");

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

    #[test]
    fn the_buckets_of_a_histogram_add_up() {
        let metrics = Metrics::default();
        for ms in [50, 100, 500, 5000] {
            metrics.observe(&CALLS, &[("of", "a")], Duration::from_millis(ms));
        }
        assert_eq!(
            metrics.page(),
            "# HELP call_seconds Calls.\n# TYPE call_seconds histogram\n\
             call_seconds_bucket{of=\"a\",le=\"0.1\"} 2\n\
             call_seconds_bucket{of=\"a\",le=\"1\"} 3\n\
             call_seconds_bucket{of=\"a\",le=\"+Inf\"} 4\n\
             call_seconds_sum{of=\"a\"} 5.65\ncall_seconds_count{of=\"a\"} 4\n"
        );
    }

    #[test]
    fn exports_at_the_same_time_are_each_complete() {
        let metrics = Metrics::default();
        let pause = || std::thread::sleep(Duration::from_millis(20));
        metrics.collect(move |metrics| {
            metrics.retain(&OPEN, |_| false);
            pause();
            metrics.set(&OPEN, &[], 3.0);
            pause();
        });
        std::thread::scope(|scope| {
            // The second begins while the first still pauses after its value was set.
            for delay in [0, 25, 30, 35] {
                let metrics = &metrics;
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_millis(delay));
                    let page = metrics.page();
                    assert!(page.ends_with("open 3\n"), "{page}");
                });
            }
        });
    }

    #[test]
    fn collectors_run_before_an_export_and_series_can_be_removed() {
        let metrics = Metrics::default();
        metrics.collect(|metrics| metrics.set(&OPEN, &[("of", "a")], 3.0));
        metrics.set(&OPEN, &[("of", "b")], 1.0);
        assert!(
            metrics
                .page()
                .contains("open{of=\"a\"} 3\nopen{of=\"b\"} 1\n")
        );
        metrics.retain(&OPEN, |labels| labels[0].1 == "a");
        assert!(!metrics.page().contains("of=\"b\""));
    }
}
