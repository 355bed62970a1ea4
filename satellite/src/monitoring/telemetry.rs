//! The export of spans and metrics to an OpenTelemetry collector.

use satellite_monitoring::otlp::{Data, Exporter, Histogram, Metric, Point, Settings, Span};
use satellite_sdk::metrics::{self, Kind, Metrics, Series};

use super::queue::Record;
use super::trace::{Trace, uuid_text};
use crate::settings::MonitoringSettings;
use crate::shared::Shared;

static DROPPED: metrics::Metric = metrics::Metric::counter(
    "satellite_otlp_dropped_spans_total",
    "Spans that the collector did not get.",
);
static EXPORTS: metrics::Metric = metrics::Metric::counter(
    "satellite_otlp_exports_total",
    "Exports to the collector, by outcome.",
);

pub struct Telemetry(Exporter);

impl Telemetry {
    /// `None` without an endpoint.
    pub fn start(
        settings: &MonitoringSettings,
        shared: &Shared,
        metrics: &Metrics,
    ) -> Option<Self> {
        let endpoint = settings.otlp_endpoint.clone()?;
        let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let settings = Settings {
            endpoint: endpoint.clone(),
            headers: settings.otlp_headers.clone(),
            resource: vec![
                text("service.name", &settings.service_name),
                text("service.version", env!("CARGO_PKG_VERSION")),
                text("service.instance.id", shared.instance_id()),
            ],
            scope: "luml-satellite",
            version: env!("CARGO_PKG_VERSION"),
            metrics_interval: settings.otlp_metrics_interval,
            traces_interval: settings.otlp_traces_interval,
        };
        let source = metrics.clone();
        let exporter = Exporter::start(settings, move || {
            let series = source.series();
            let families = series.chunk_by(|a, b| a.metric.name == b.metric.name);
            families.filter_map(converted).collect()
        });
        match exporter {
            Ok(exporter) => {
                log::info!("telemetry: metrics and traces go to {endpoint}");
                let counts = exporter.counter();
                metrics.collect(move |metrics| {
                    let counts = counts();
                    metrics.set(&DROPPED, &[], counts.dropped_spans as f64);
                    for (outcome, count) in [("ok", counts.exports), ("failed", counts.failures)] {
                        metrics.set(&EXPORTS, &[("outcome", outcome)], count as f64);
                    }
                });
                Some(Telemetry(exporter))
            }
            Err(error) => {
                log::error!("telemetry: {error}");
                None
            }
        }
    }

    pub fn span(&self, record: &Record) {
        let Some(trace) = record.trace.filter(Trace::is_sampled) else {
            return;
        };
        let event = &record.event;
        let start_ns = event.at_ms * 1_000_000;
        self.0.span(Span {
            trace_id: trace.trace_id,
            span_id: trace.span_id,
            parent_id: trace.parent_id,
            start_ns,
            end_ns: start_ns + (event.latency_ms * 1e6) as u64,
            deployment: record.deployment.to_string(),
            event: uuid_text(record.id),
            status: event.status,
            is_success: event.is_success(),
        });
    }
}

/// All series of one metric.
fn converted(family: &[Series]) -> Option<Metric> {
    let metrics::Metric { name, kind, help } = family.first()?.metric;
    let data = match *kind {
        Kind::Counter => Data::Counter(points(family, |value| value.sum)),
        Kind::Gauge => Data::Gauge(points(family, |value| value.sum)),
        Kind::Summary => Data::Histogram(points(family, |value| distribution(value, &[]))),
        Kind::Histogram(bounds) => {
            Data::Histogram(points(family, |value| distribution(value, bounds)))
        }
    };
    let unit = match name {
        name if name.contains("_seconds") => "s",
        name if name.contains("_bytes") => "By",
        _ => "1",
    };
    Some(Metric {
        name: (*name).to_owned(),
        description: (*help).to_owned(),
        unit,
        data,
    })
}

fn points<T>(family: &[Series], value: impl Fn(&metrics::Value) -> T) -> Vec<Point<T>> {
    let point = |series: &Series| Point {
        labels: series
            .labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
        value: value(&series.value),
    };
    family.iter().map(point).collect()
}

fn distribution(value: &metrics::Value, bounds: &[f64]) -> Histogram {
    Histogram {
        count: value.count,
        sum: value.sum,
        // As many buckets as bounds and one, or none of both.
        bounds: match value.buckets.is_empty() {
            true => Vec::new(),
            false => bounds.to_vec(),
        },
        buckets: value.buckets.clone(),
    }
}
