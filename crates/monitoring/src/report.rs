//! The figures of one window, and the thresholds that they break.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bucket::{Bucket, FeatureCounts};
use crate::history::Point;
use crate::profile::{Feature, Kind, OutputKind, Profile};
use crate::psi::psi;
use crate::threshold::{Severity, Threshold, Thresholds};

/// The figures of a deployment in one window.
///
/// ```
/// use satellite_monitoring::{Event, Monitor, Profile, Settings};
///
/// let mut monitor = Monitor::new(Settings::default());
/// monitor.watch("d-1", Profile::default(), 0);
/// monitor.record("d-1", &Event { status: 200, latency_ms: 3.0, ..Event::default() });
/// let reports = monitor.tick(60_000);
/// assert_eq!((reports[0].requests, reports[0].error_rate), (1, 0.0));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The deployment's id.
    pub deployment: String,
    /// The window, in milliseconds since 1970; the end is not part of it.
    pub start_ms: u64,
    /// The end of the window.
    pub end_ms: u64,
    /// Calls.
    pub requests: u64,
    /// Calls that did not succeed.
    pub errors: u64,
    /// `errors / requests`.
    pub error_rate: f64,
    /// Calls that failed in the model: status 5xx, no response, or too late.
    pub failed_inferences: u64,
    /// Calls that the model did not respond to in time.
    pub timeouts: u64,
    /// The median latency in milliseconds, to within 1 %.
    pub latency_p50_ms: f64,
    /// The 95th percentile, to within 1 %.
    pub latency_p95_ms: f64,
    /// The longest latency.
    pub latency_max_ms: f64,
    /// Bytes of all requests.
    pub request_bytes: u64,
    /// Bytes of all responses.
    pub response_bytes: u64,
    /// Calls whose inputs the figures of features contain.
    pub summarised: u64,
    /// The last interval of the window.
    pub interval: Point,
    /// The features of the profile, by name.
    pub features: BTreeMap<String, FeatureReport>,
    /// Drift of the predictions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputReport>,
    /// Drift of the features together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multivariate: Option<MultivariateReport>,
    /// The most serious of the thresholds that are broken.
    pub severity: Severity,
    /// All thresholds that are broken.
    pub signals: Vec<Signal>,
}

/// The figures of one feature. A rate is a share of its observations.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeatureReport {
    /// Observed values, missing ones included.
    pub observations: u64,
    /// Absent, null or NaN.
    pub missing_rate: f64,
    /// Not a number, or of a categorical feature not a text.
    pub type_mismatch_rate: f64,
    /// Outside the range of the training data; numerical features only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range_violation_rate: Option<f64>,
    /// Not a category of the training data; categorical features only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen_category_rate: Option<f64>,
    /// The unseen categories with their counts, most frequent first, at most five.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<(String, u64)>,
    /// The population stability index; `None` without a reference or without valid values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<f64>,
    /// The most serious of its signals.
    pub severity: Severity,
}

/// Drift of the predictions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutputReport {
    /// The population stability index.
    pub psi: f64,
    /// Predictions.
    pub count: u64,
    /// Mean, median, 5th and 95th percentile of a numerical prediction; the last three to
    /// within 1 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trend: Option<[f64; 4]>,
}

/// Drift of the features together, in the space of the training's principal components.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MultivariateReport {
    /// Complete rows.
    pub count: u64,
    /// The distance of the centre from the training's, in standard deviations.
    pub centroid_shift: f64,
    /// How much wider the rows are spread than the training's, for each component.
    pub dispersion_ratio: Option<f64>,
    /// The share of rows beyond the distance that 1 % of the training's rows exceed.
    pub outlier_rate: f64,
    /// That distance.
    pub outlier_threshold: f64,
    /// The mean Mahalanobis distance of the rows.
    pub mean_distance: f64,
    /// Its 95th percentile, to within 1 %.
    pub p95_distance: f64,
}

/// A threshold that a figure breaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// The group and the figure: `runtime:error_rate`, `feature_drift:age`.
    pub metric: String,
    /// The figure.
    pub value: f64,
    /// The threshold.
    pub threshold: f64,
    /// How serious it is.
    pub severity: Severity,
}

/// What a window is evaluated with.
pub(crate) struct Evaluation<'a> {
    pub(crate) profile: &'a Profile,
    pub(crate) thresholds: &'a Thresholds,
    /// Timeouts have been going on for longer than this window.
    pub(crate) timeouts_repeat: bool,
}

impl Evaluation<'_> {
    /// `window`: its start and end.
    pub(crate) fn report(&self, deployment: &str, window: (u64, u64), sum: &Bucket) -> Report {
        let errors = sum.calls.requests - sum.calls.successes;
        let mut report = Report {
            deployment: deployment.to_owned(),
            start_ms: window.0,
            end_ms: window.1,
            requests: sum.calls.requests,
            errors,
            error_rate: rate(errors, sum.calls.requests),
            failed_inferences: sum.calls.failed_inferences,
            timeouts: sum.calls.timeouts,
            latency_p50_ms: sum.calls.latency.quantile(0.50),
            latency_p95_ms: sum.calls.latency.quantile(0.95),
            latency_max_ms: sum.calls.latency.max(),
            request_bytes: sum.calls.request_bytes,
            response_bytes: sum.calls.response_bytes,
            summarised: sum.summarised,
            ..Report::default()
        };
        self.runtime(&mut report);
        for (feature, counts) in self.profile.features.iter().zip(&sum.features) {
            self.feature(&mut report, feature, counts);
        }
        self.output(&mut report, sum);
        self.multivariate(&mut report, sum);
        let severities = report.signals.iter().map(|signal| signal.severity);
        report.severity = severities.max().unwrap_or_default();
        report
    }

    fn runtime(&self, report: &mut Report) {
        let bounds = self.thresholds;
        let (errors, latency) = (report.error_rate, report.latency_p95_ms);
        report.check(&bounds.error_rate, "runtime:error_rate", errors);
        report.check(&bounds.latency_p95_ms, "runtime:latency_p95", latency);
        if report.timeouts > 0 {
            report.signals.push(Signal {
                metric: "runtime:timeout_count".into(),
                value: report.timeouts as f64,
                threshold: 0.0,
                // Any timeout is a warning; timeouts that go on are an outage.
                severity: match self.timeouts_repeat {
                    true => Severity::Critical,
                    false => Severity::Warning,
                },
            });
        }
    }

    fn feature(&self, report: &mut Report, feature: &Feature, counts: &FeatureCounts) {
        let Feature { name, kind, .. } = feature;
        let all = counts.observations;
        let mut figures = FeatureReport {
            observations: all,
            missing_rate: rate(counts.missing, all),
            type_mismatch_rate: rate(counts.mismatched, all),
            ..FeatureReport::default()
        };
        match kind {
            Kind::Numerical { bins, .. } => {
                figures.range_violation_rate = Some(rate(counts.below + counts.above, all));
                let bins = bins.as_ref().filter(|_| !counts.bins.is_empty());
                figures.psi = bins.map(|bins| psi(&counts.bins, &bins.shares));
            }
            Kind::Categorical { shares, .. } => {
                figures.unseen_category_rate = Some(rate(counts.unseen, all));
                figures.unseen = most_frequent(&counts.unseen_names);
                let shares = shares.as_ref().filter(|_| counts.categories.total() > 0);
                figures.psi = shares.map(|shares| counts.categories.psi(shares));
            }
        }
        let bounds = self.thresholds;
        let before = report.signals.len();
        for (check, threshold, value) in [
            ("missing", &bounds.missing, Some(figures.missing_rate)),
            (
                "type_mismatch",
                &bounds.type_mismatch,
                Some(figures.type_mismatch_rate),
            ),
            (
                "range_violation",
                &bounds.range_violation,
                figures.range_violation_rate,
            ),
            (
                "unseen_category",
                &bounds.unseen_category,
                figures.unseen_category_rate,
            ),
        ] {
            if let Some(value) = value {
                report.check(threshold, &format!("data_quality:{name}.{check}"), value);
            }
        }
        if let Some(psi) = figures.psi {
            report.check(&bounds.psi, &format!("feature_drift:{name}"), psi);
        }
        let own = report.signals[before..]
            .iter()
            .map(|signal| signal.severity);
        figures.severity = own.max().unwrap_or_default();
        report.features.insert(name.clone(), figures);
    }

    fn output(&self, report: &mut Report, sum: &Bucket) {
        let Some(output) = &self.profile.output else {
            return;
        };
        let (counts, values) = (&sum.output, &sum.output.values);
        let figures = match &output.kind {
            OutputKind::Numerical(bins) if values.count() > 0 => OutputReport {
                psi: psi(&counts.bins, &bins.shares),
                count: values.count(),
                trend: Some([
                    values.mean(),
                    values.quantile(0.50),
                    values.quantile(0.05),
                    values.quantile(0.95),
                ]),
            },
            OutputKind::Categorical(shares) if counts.categories.total() > 0 => OutputReport {
                psi: counts.categories.psi(shares),
                count: counts.categories.total(),
                trend: None,
            },
            _ => return,
        };
        report.check(&self.thresholds.psi, "output_drift:prediction", figures.psi);
        report.output = Some(figures);
    }

    fn multivariate(&self, report: &mut Report, sum: &Bucket) {
        let pca = self.profile.pca.as_ref();
        let Some(shift) = pca.and_then(|pca| sum.projections.shift(pca)) else {
            return;
        };
        let bounds = self.thresholds;
        let (centroid, outliers) = (shift.centroid_shift, shift.outlier_rate);
        report.check(
            &bounds.centroid_shift,
            "multivariate:centroid_shift",
            centroid,
        );
        report.check(
            &bounds.outlier_rate,
            "multivariate:mahalanobis_outliers",
            outliers,
        );
        report.multivariate = Some(MultivariateReport {
            count: shift.rows,
            centroid_shift: centroid,
            dispersion_ratio: shift.dispersion_ratio,
            outlier_rate: outliers,
            outlier_threshold: shift.outlier_threshold,
            mean_distance: shift.mean_distance,
            p95_distance: shift.p95_distance,
        });
    }
}

impl Report {
    /// The largest drift of a feature, with its name.
    pub fn worst_drift(&self) -> Option<(&str, f64)> {
        let drifts = self.features.iter();
        drifts
            .filter_map(|(name, feature)| Some((name.as_str(), feature.psi?)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
    }

    fn check(&mut self, threshold: &Threshold, metric: &str, value: f64) {
        if let Some((severity, threshold)) = threshold.evaluate(value) {
            self.signals.push(Signal {
                metric: metric.to_owned(),
                value,
                threshold,
                severity,
            });
        }
    }
}

fn rate(count: u64, total: u64) -> f64 {
    match total {
        0 => 0.0,
        total => count as f64 / total as f64,
    }
}

fn most_frequent(names: &BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let mut all: Vec<_> = names.iter().map(|(name, n)| (name.clone(), *n)).collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(5);
    all
}
