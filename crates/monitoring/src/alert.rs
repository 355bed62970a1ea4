//! Alerts: a broken threshold, from the window that first broke it to the one that did not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::report::Report;
use crate::threshold::Severity;

/// Resolved alerts that are kept for each deployment.
const MAX_RESOLVED: usize = 100;

/// An alert of a deployment.
///
/// ```
/// use satellite_monitoring::{AlertState, Event, Monitor, Profile, Settings};
///
/// let mut monitor = Monitor::new(Settings::default());
/// monitor.watch("d-1", Profile::default(), 0);
/// monitor.record("d-1", &Event { status: 500, ..Event::default() });
/// monitor.tick(60_000);
/// let alert = monitor.alerts("d-1").next().cloned().unwrap();
/// assert_eq!((alert.metric.as_str(), alert.state), ("runtime:error_rate", AlertState::Open));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The deployment's id.
    pub deployment: String,
    /// The group and the figure: `runtime:error_rate`, `feature_drift:age`.
    pub metric: String,
    /// The figure in the last window that broke the threshold.
    pub value: f64,
    /// The threshold.
    pub threshold: f64,
    /// How serious it is.
    pub severity: Severity,
    /// Whether it is over.
    pub state: AlertState,
    /// The end of the first window with it, in milliseconds since 1970.
    pub first_seen_ms: u64,
    /// The end of the last window with it; of a resolved alert, of the first one without it.
    pub last_seen_ms: u64,
}

/// The state of an alert.
///
/// ```
/// assert_eq!(satellite_monitoring::AlertState::Open.name(), "open");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// The last window broke the threshold.
    Open,
    /// The same, and somebody knows.
    Acknowledged,
    /// A later window did not break it.
    Resolved,
}

impl AlertState {
    /// `open`, `acknowledged` or `resolved`.
    pub fn name(self) -> &'static str {
        match self {
            AlertState::Open => "open",
            AlertState::Acknowledged => "acknowledged",
            AlertState::Resolved => "resolved",
        }
    }
}

/// The alerts of one deployment by metric: the current one, or the last one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alerts(BTreeMap<String, Alert>);

impl Alerts {
    /// Continues with the alerts of an earlier process.
    pub(crate) fn restore(&mut self, alert: Alert) {
        self.0.insert(alert.metric.clone(), alert);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Alert> {
        self.0.values()
    }

    pub(crate) fn active(&self, metric: &str) -> Option<&Alert> {
        let alert = self.0.get(metric);
        alert.filter(|alert| alert.state != AlertState::Resolved)
    }

    /// Opens, continues and resolves alerts by the signals of a report; returns what changed.
    /// A window without calls says nothing, and changes nothing.
    pub(crate) fn update(&mut self, report: &Report) -> Vec<Alert> {
        if report.requests == 0 {
            return Vec::new();
        }
        let mut changed = Vec::new();
        for signal in &report.signals {
            let earlier = self.active(&signal.metric);
            let alert = Alert {
                deployment: report.deployment.clone(),
                metric: signal.metric.clone(),
                value: signal.value,
                threshold: signal.threshold,
                severity: signal.severity,
                state: earlier.map_or(AlertState::Open, |alert| alert.state),
                first_seen_ms: earlier.map_or(report.end_ms, |alert| alert.first_seen_ms),
                last_seen_ms: report.end_ms,
            };
            self.0.insert(signal.metric.clone(), alert.clone());
            changed.push(alert);
        }
        for alert in self.0.values_mut() {
            let is_broken = report.signals.iter().any(|s| s.metric == alert.metric);
            if alert.state != AlertState::Resolved && !is_broken {
                alert.state = AlertState::Resolved;
                alert.last_seen_ms = report.end_ms;
                changed.push(alert.clone());
            }
        }
        self.forget_oldest();
        changed
    }

    /// Resolves all alerts of a deployment that is not monitored any more; returns what changed.
    pub(crate) fn resolve(&mut self, now_ms: u64) -> Vec<Alert> {
        let open = self.0.values_mut();
        let open = open.filter(|alert| alert.state != AlertState::Resolved);
        open.map(|alert| {
            alert.state = AlertState::Resolved;
            alert.last_seen_ms = now_ms;
            alert.clone()
        })
        .collect()
    }

    /// Marks an open alert as known to somebody; `None` if there is none.
    pub(crate) fn acknowledge(&mut self, metric: &str) -> Option<Alert> {
        let alert = self.0.get_mut(metric)?;
        if alert.state != AlertState::Open {
            return None;
        }
        alert.state = AlertState::Acknowledged;
        Some(alert.clone())
    }

    fn forget_oldest(&mut self) {
        let resolved = |alert: &&Alert| alert.state == AlertState::Resolved;
        let mut ends: Vec<u64> = self
            .0
            .values()
            .filter(resolved)
            .map(|alert| alert.last_seen_ms)
            .collect();
        if ends.len() > MAX_RESOLVED {
            ends.sort_unstable();
            let oldest = ends[ends.len() - MAX_RESOLVED];
            self.0
                .retain(|_, a| a.state != AlertState::Resolved || a.last_seen_ms >= oldest);
        }
    }
}
