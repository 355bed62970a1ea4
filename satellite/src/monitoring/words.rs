//! An alert in words.

use satellite_monitoring::Alert;

/// What it is about.
pub fn what(metric: &str) -> String {
    match metric.split_once(':') {
        Some(("runtime", "error_rate")) => "Error rate".into(),
        Some(("runtime", "latency_p95")) => "Latency, 95th percentile".into(),
        Some(("runtime", "timeout_count")) => "Timeouts".into(),
        Some(("feature_drift", feature)) => format!("Input drift of {feature}"),
        Some(("output_drift", _)) => "Drift of the predictions".into(),
        Some(("multivariate", "centroid_shift")) => "Shift of the inputs' centre".into(),
        Some(("multivariate", _)) => "Outliers among the inputs".into(),
        Some(("data_quality", subject)) => quality(subject),
        _ => metric.to_owned(),
    }
}

/// `feature.check`; a feature's name may contain dots.
fn quality(subject: &str) -> String {
    let checks = [
        (".missing", "Missing values of"),
        (".type_mismatch", "Values of another type of"),
        (".range_violation", "Values out of range of"),
        (".unseen_category", "Unseen categories of"),
    ];
    let found = checks
        .iter()
        .find_map(|(suffix, words)| Some((subject.strip_suffix(suffix)?, words)));
    match found {
        Some((feature, words)) => format!("{words} {feature}"),
        None => subject.to_owned(),
    }
}

/// The figure and the threshold, with their unit.
pub fn values(alert: &Alert) -> (String, String) {
    let Alert {
        metric,
        value,
        threshold,
        ..
    } = alert;
    let format = |value: f64| match metric.as_str() {
        "runtime:latency_p95" => format!("{value:.0} ms"),
        "runtime:timeout_count" => format!("{value:.0}"),
        "multivariate:centroid_shift" => format!("{value:.2} σ"),
        metric if metric.starts_with("feature_drift:") || metric.starts_with("output_drift:") => {
            format!("{value:.2} (PSI)")
        }
        _ => format!("{:.1} %", value * 100.0),
    };
    (format(*value), format(*threshold))
}
