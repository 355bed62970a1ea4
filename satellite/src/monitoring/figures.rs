//! The metrics of the satellite for Prometheus. Calls are counted in plain fields, and copied
//! when somebody asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use satellite_monitoring::{AlertState, Report};
use satellite_sdk::metrics::{Metric, Metrics};

use super::counted::BOUNDS;
use super::{Inner, lock};

static REQUESTS: Metric = Metric::counter(
    "satellite_inference_requests_total",
    "Calls of monitored deployments, by outcome.",
);
static DURATION: Metric = Metric::histogram(
    "satellite_inference_duration_seconds",
    "From the access check of a call to the end of the model's response.",
    BOUNDS,
);
static REQUEST_BYTES: Metric = Metric::counter(
    "satellite_inference_request_bytes_total",
    "Bytes of the calls' bodies.",
);
static RESPONSE_BYTES: Metric = Metric::counter(
    "satellite_inference_response_bytes_total",
    "Bytes of the responses' bodies.",
);
static FEATURE_DRIFT: Metric = Metric::gauge(
    "satellite_feature_drift_psi",
    "Population stability index of a feature in the last window.",
);
static QUALITY: Metric = Metric::gauge(
    "satellite_feature_quality_ratio",
    "Share of a feature's values that failed a check in the last window.",
);
static OUTPUT_DRIFT: Metric = Metric::gauge(
    "satellite_output_drift_psi",
    "Population stability index of the predictions in the last window.",
);
static CENTROID: Metric = Metric::gauge(
    "satellite_multivariate_centroid_shift",
    "Distance of the inputs' centre from the training's, in standard deviations.",
);
static OUTLIERS: Metric = Metric::gauge(
    "satellite_multivariate_outlier_ratio",
    "Share of inputs beyond the distance that 1 % of the training's exceed.",
);
static ALERTS: Metric = Metric::gauge(
    "satellite_alerts",
    "Alerts that are not resolved, by severity.",
);
static DEPLOYMENTS: Metric = Metric::gauge(
    "satellite_deployments",
    "Deployments of this satellite, by status.",
);
static RESPONSES: Metric = Metric::counter(
    "satellite_gateway_responses_total",
    "Responses of the gateway, by class of their status.",
);
static DROPPED: Metric = Metric::counter(
    "satellite_monitoring_events_dropped_total",
    "Calls that were served and counted, but found the queue for bodies and spans full.",
);
static STORE_BYTES: Metric = Metric::gauge(
    "satellite_monitoring_store_bytes",
    "Size of the monitoring store.",
);
static STORE_FAILURES: Metric = Metric::counter(
    "satellite_monitoring_store_failures_total",
    "Failed writes to the monitoring store.",
);

/// Sets the metrics whenever they are asked for.
pub fn collect(metrics: &Metrics, inner: &Arc<Inner>) {
    metrics.show([&DROPPED, &STORE_FAILURES]);
    let inner = Arc::clone(inner);
    metrics.collect(move |metrics| {
        inner.calls(metrics);
        inner.windows(metrics);
        inner.own(metrics);
    });
}

impl Inner {
    fn calls(&self, metrics: &Metrics) {
        let counted = lock(&self.counted);
        for metric in [&REQUESTS, &DURATION, &REQUEST_BYTES, &RESPONSE_BYTES] {
            metrics.retain(metric, |labels| counted.contains_key(&labels[0].1));
        }
        for (id, counted) in counted.iter() {
            let totals = counted.totals();
            let of = ("deployment", id.as_str());
            for (outcome, count) in [("success", totals.successes), ("error", totals.errors)] {
                metrics.set(&REQUESTS, &[of, ("outcome", outcome)], count as f64);
            }
            metrics.put(&DURATION, &[of], totals.duration);
            metrics.set(&REQUEST_BYTES, &[of], totals.request_bytes as f64);
            metrics.set(&RESPONSE_BYTES, &[of], totals.response_bytes as f64);
        }
    }

    /// The figures of the last windows: those of earlier ones must not stay.
    fn windows(&self, metrics: &Metrics) {
        let all = [
            &FEATURE_DRIFT,
            &QUALITY,
            &OUTPUT_DRIFT,
            &CENTROID,
            &OUTLIERS,
            &ALERTS,
        ];
        for metric in all {
            metrics.retain(metric, |_| false);
        }
        let monitor = lock(&self.monitor);
        for id in monitor.deployments() {
            let of = ("deployment", id);
            if let Some(report) = monitor.report(id) {
                window(metrics, of, report);
            }
            for severity in ["warning", "critical"] {
                let is_open = |alert: &&satellite_monitoring::Alert| {
                    alert.state != AlertState::Resolved && alert.severity.name() == severity
                };
                let open = monitor.alerts(id).filter(is_open).count();
                metrics.set(&ALERTS, &[of, ("severity", severity)], open as f64);
            }
        }
    }

    fn own(&self, metrics: &Metrics) {
        let mut by_status = BTreeMap::<String, u64>::new();
        for seen in lock(&self.overview).values() {
            *by_status.entry(seen.status.clone()).or_default() += 1;
        }
        metrics.retain(&DEPLOYMENTS, |_| false);
        for (status, count) in by_status {
            metrics.set(&DEPLOYMENTS, &[("status", &status)], count as f64);
        }
        let classes = self
            .responses
            .iter()
            .zip(["0xx", "1xx", "2xx", "3xx", "4xx", "5xx"]);
        for (count, class) in classes.skip(2) {
            let count = count.load(Ordering::Relaxed) as f64;
            metrics.set(&RESPONSES, &[("class", class)], count);
        }
        metrics.set(&DROPPED, &[], self.queue.dropped() as f64);
        let bytes = self.store_bytes.load(Ordering::Relaxed) as f64;
        metrics.set(&STORE_BYTES, &[], bytes);
        let failures = self.store_failures.load(Ordering::Relaxed) as f64;
        metrics.set(&STORE_FAILURES, &[], failures);
    }
}

fn window(metrics: &Metrics, of: (&'static str, &str), report: &Report) {
    for (name, feature) in &report.features {
        let name = ("feature", name.as_str());
        if let Some(psi) = feature.psi {
            metrics.set(&FEATURE_DRIFT, &[of, name], psi);
        }
        for (check, rate) in [
            ("missing", Some(feature.missing_rate)),
            ("type_mismatch", Some(feature.type_mismatch_rate)),
            ("range_violation", feature.range_violation_rate),
            ("unseen_category", feature.unseen_category_rate),
        ] {
            if let Some(rate) = rate {
                metrics.set(&QUALITY, &[of, name, ("check", check)], rate);
            }
        }
    }
    if let Some(output) = &report.output {
        metrics.set(&OUTPUT_DRIFT, &[of], output.psi);
    }
    if let Some(shift) = &report.multivariate {
        metrics.set(&CENTROID, &[of], shift.centroid_shift);
        metrics.set(&OUTLIERS, &[of], shift.outlier_rate);
    }
}
