//! When a figure raises a warning, and when it is critical.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How serious a figure is.
///
/// ```
/// use satellite_monitoring::Severity;
///
/// assert!(Severity::Critical > Severity::Warning);
/// assert_eq!(Severity::Warning.name(), "warning");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Within its bounds.
    #[default]
    Normal,
    /// Worth a look.
    Warning,
    /// Worth an alarm.
    Critical,
}

impl Severity {
    /// `normal`, `warning` or `critical`.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Normal => "normal",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// The bounds of one figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Threshold {
    pub(crate) warning: f64,
    pub(crate) critical: f64,
    /// Whether the warning's bound itself is a warning: so for PSI, "0.1 to 0.25 is a warning".
    pub(crate) is_inclusive: bool,
}

impl Threshold {
    pub(crate) const fn above(warning: f64, critical: f64) -> Self {
        Threshold {
            warning,
            critical,
            is_inclusive: false,
        }
    }

    /// The severity of a value and the bound that it breaks; `None` while it is normal.
    pub(crate) fn evaluate(&self, value: f64) -> Option<(Severity, f64)> {
        let is_warning = match self.is_inclusive {
            true => value >= self.warning,
            false => value > self.warning,
        };
        match value > self.critical {
            true => Some((Severity::Critical, self.critical)),
            false if is_warning => Some((Severity::Warning, self.warning)),
            false => None,
        }
    }

    /// The rule of the profile's `thresholds`, if it has a valid one under this name. A rule
    /// whose critical bound is below its warning would make every window critical.
    fn or_rule(self, rules: &Value, name: &str) -> Self {
        let rule = &rules[name];
        match (rule["warning"].as_f64(), rule["critical"].as_f64()) {
            (Some(warning), Some(critical)) if critical >= warning => Threshold {
                warning,
                critical,
                ..self
            },
            _ => self,
        }
    }
}

/// All bounds of a deployment: its profile's, or the defaults.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Thresholds {
    pub(crate) error_rate: Threshold,
    pub(crate) latency_p95_ms: Threshold,
    pub(crate) missing: Threshold,
    pub(crate) type_mismatch: Threshold,
    pub(crate) range_violation: Threshold,
    pub(crate) unseen_category: Threshold,
    pub(crate) psi: Threshold,
    pub(crate) centroid_shift: Threshold,
    pub(crate) outlier_rate: Threshold,
}

impl Thresholds {
    /// `rules`: the profile's `thresholds`, or null.
    pub(crate) fn new(latency_p95_ms: f64, rules: &Value) -> Self {
        let psi = Threshold {
            is_inclusive: true,
            ..Threshold::above(0.1, 0.25)
        };
        let rule = |default: Threshold, name| default.or_rule(rules, name);
        Thresholds {
            error_rate: rule(Threshold::above(0.01, 0.05), "error_rate"),
            // Without a rule of the profile, latency is never critical.
            latency_p95_ms: rule(
                Threshold::above(latency_p95_ms, f64::INFINITY),
                "latency_p95_ms",
            ),
            missing: rule(Threshold::above(0.01, 0.05), "missing_rate"),
            type_mismatch: rule(Threshold::above(0.0, 0.01), "type_mismatch_rate"),
            range_violation: rule(Threshold::above(0.01, 0.05), "range_violation_rate"),
            unseen_category: rule(Threshold::above(0.0, 0.01), "unseen_category_rate"),
            psi: rule(psi, "psi"),
            // Properties of the geometry, not of the deployment: no rule changes them.
            centroid_shift: Threshold::above(1.0, 2.0),
            outlier_rate: Threshold::above(0.05, 0.10),
        }
    }
}
