//! The monitor: the aggregates, windows and alerts of all deployments.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::alert::{Alert, Alerts};
use crate::bucket::Bucket;
use crate::calls::Calls;
use crate::event::Event;
use crate::history::{History, Point};
use crate::profile::Profile;
use crate::report::{Evaluation, Report};
use crate::threshold::Thresholds;

/// How windows are made.
///
/// ```
/// use satellite_monitoring::Settings;
/// use std::time::Duration;
///
/// let settings = Settings { window: Duration::from_secs(900), ..Settings::default() };
/// assert_eq!(settings.interval, Duration::from_secs(60));
/// ```
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often a window is evaluated.
    pub interval: Duration,
    /// The length of a window; rounded to a multiple of the interval.
    pub window: Duration,
    /// The 95th percentile of the latency above which there is a warning, in milliseconds.
    pub latency_p95_threshold_ms: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            interval: Duration::from_secs(60),
            window: Duration::from_secs(300),
            latency_p95_threshold_ms: 1000.0,
        }
    }
}

/// Aggregates the events of deployments. It has no clock: the caller says what time it is.
///
/// ```
/// use satellite_monitoring::{Event, Monitor, Profile, Settings};
///
/// let mut monitor = Monitor::new(Settings::default());
/// monitor.watch("d-1", Profile::default(), 0);
/// for minute in 1..=5 {
///     monitor.record("d-1", &Event { status: 200, ..Event::default() });
///     let reports = monitor.tick(minute * 60_000);
///     assert_eq!(reports[0].requests, minute, "a window is five minutes long");
/// }
/// assert_eq!(monitor.tick(6 * 60_000)[0].requests, 4);
/// ```
#[derive(Debug)]
pub struct Monitor {
    settings: Settings,
    deployments: BTreeMap<String, Deployment>,
    /// Alerts of deployments that are not monitored any more.
    resolved: Vec<Alert>,
}

#[derive(Debug)]
struct Deployment {
    /// False while only its alerts are known, from an earlier process.
    is_watched: bool,
    profile: Profile,
    thresholds: Thresholds,
    /// Since the last tick.
    current: Bucket,
    /// The intervals of the last window before it.
    buckets: VecDeque<(u64, Bucket)>,
    history: History,
    report: Option<Report>,
    alerts: Alerts,
    changed: Vec<Alert>,
    /// The end of the last interval.
    ended_ms: u64,
}

impl Monitor {
    /// A monitor without deployments.
    pub fn new(settings: Settings) -> Self {
        Monitor {
            settings,
            deployments: BTreeMap::new(),
            resolved: Vec::new(),
        }
    }

    /// Monitors a deployment from now on. With another profile than before, its aggregates
    /// begin anew; its alerts continue.
    pub fn watch(&mut self, deployment: &str, profile: Profile, now_ms: u64) {
        let known = self.deployments.get_mut(deployment);
        let is_same = |known: &&mut Deployment| known.is_watched && known.profile == profile;
        if known.as_ref().is_some_and(is_same) {
            return;
        }
        let latency = self.settings.latency_p95_threshold_ms;
        let before = known.map(std::mem::take);
        let fresh = Deployment {
            thresholds: Thresholds::new(latency, &profile.thresholds),
            profile,
            is_watched: true,
            ended_ms: now_ms,
            ..before.unwrap_or_default().without_figures()
        };
        self.deployments.insert(deployment.to_owned(), fresh);
    }

    /// The profile of a deployment that is monitored.
    pub fn profile(&self, deployment: &str) -> Option<&Profile> {
        let deployment = self.deployments.get(deployment)?;
        deployment.is_watched.then_some(&deployment.profile)
    }

    /// Ends the monitoring of a deployment and resolves its alerts.
    pub fn unwatch(&mut self, deployment: &str, now_ms: u64) {
        if let Some(mut deployment) = self.deployments.remove(deployment) {
            self.resolved.append(&mut deployment.changed);
            self.resolved.extend(deployment.alerts.resolve(now_ms));
        }
    }

    /// The same for all deployments but these.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool, now_ms: u64) {
        let others = self.deployments.keys().filter(|id| !keep(id));
        for id in others.cloned().collect::<Vec<_>>() {
            self.unwatch(&id, now_ms);
        }
    }

    /// Continues with an alert of an earlier process.
    pub fn restore(&mut self, alert: Alert) {
        let deployment = self.deployments.entry(alert.deployment.clone());
        deployment.or_default().alerts.restore(alert);
    }

    /// Continues the history of a deployment with the stored reports of an earlier process, and
    /// shows the last one if its window has not been over for longer than its length.
    pub fn restore_reports(&mut self, deployment: &str, reports: &[Report], now_ms: u64) {
        let points: Vec<Point> = reports.iter().map(|report| report.interval).collect();
        let interval = self.settings.interval.as_millis().max(1) as u64;
        let window = self.settings.window.as_millis() as u64;
        let deployment = self.deployments.entry(deployment.to_owned()).or_default();
        deployment.history.restore(&points, now_ms, interval);
        let is_recent = |report: &&Report| report.end_ms.saturating_add(window) > now_ms;
        deployment.report = reports.last().filter(is_recent).cloned();
    }

    /// Adds an event: [`count`](Self::count) and [`summarise`](Self::summarise). Events of
    /// deployments that are not watched are ignored.
    pub fn record(&mut self, deployment: &str, event: &Event) {
        let mut calls = Calls::default();
        calls.add(event);
        self.count(deployment, &calls);
        self.summarise(deployment, event);
    }

    /// Adds the figures of calls that need no body.
    pub fn count(&mut self, deployment: &str, calls: &Calls) {
        if let Some(deployment) = self.watched(deployment) {
            deployment.current.calls.merge(calls);
        }
    }

    /// Adds the inputs and outputs of a call that is counted elsewhere.
    pub fn summarise(&mut self, deployment: &str, event: &Event) {
        if let Some(deployment) = self.watched(deployment) {
            deployment.current.summarise(event, &deployment.profile);
        }
    }

    /// Ends an interval and evaluates the window that ends with it: one report for each
    /// deployment.
    pub fn tick(&mut self, now_ms: u64) -> Vec<Report> {
        let Settings {
            interval, window, ..
        } = &self.settings;
        let interval = interval.as_millis().max(1) as u64;
        let window = (window.as_millis() as u64).max(interval);
        let deployments = self.deployments.iter_mut();
        deployments
            .filter(|(_, deployment)| deployment.is_watched)
            .map(|(id, deployment)| deployment.tick(id, now_ms, window, interval))
            .collect()
    }

    /// The last report of a deployment.
    pub fn report(&self, deployment: &str) -> Option<&Report> {
        let deployment = self.deployments.get(deployment)?;
        deployment.report.as_ref().filter(|_| deployment.is_watched)
    }

    /// The current and last alerts of a deployment, one for each figure.
    pub fn alerts(&self, deployment: &str) -> impl Iterator<Item = &Alert> {
        let deployment = self.deployments.get(deployment);
        deployment.into_iter().flat_map(|d| d.alerts.iter())
    }

    /// The last intervals of a deployment, oldest first; the last one is not over yet.
    pub fn history(&self, deployment: &str) -> Vec<Point> {
        let Some(deployment) = self.deployments.get(deployment) else {
            return Vec::new();
        };
        let current = Point::of(&deployment.current, 0);
        deployment
            .history
            .iter()
            .copied()
            .chain([current])
            .collect()
    }

    /// Marks an open alert as known to somebody; false if there is none.
    pub fn acknowledge(&mut self, deployment: &str, metric: &str) -> bool {
        let Some(deployment) = self.deployments.get_mut(deployment) else {
            return false;
        };
        let alert = deployment.alerts.acknowledge(metric);
        let is_known = alert.is_some();
        deployment.changed.extend(alert);
        is_known
    }

    /// The alerts that changed since the last call.
    pub fn take_changed_alerts(&mut self) -> Vec<Alert> {
        let mut changed = std::mem::take(&mut self.resolved);
        for deployment in self.deployments.values_mut() {
            changed.append(&mut deployment.changed);
        }
        changed
    }

    /// Whether the deployment is monitored.
    pub fn is_watched(&self, deployment: &str) -> bool {
        self.profile(deployment).is_some()
    }

    fn watched(&mut self, deployment: &str) -> Option<&mut Deployment> {
        let deployment = self.deployments.get_mut(deployment);
        deployment.filter(|deployment| deployment.is_watched)
    }

    /// The ids of the deployments.
    pub fn deployments(&self) -> impl Iterator<Item = &str> {
        self.deployments.keys().map(String::as_str)
    }
}

impl Default for Deployment {
    fn default() -> Self {
        Deployment {
            thresholds: Thresholds::new(f64::INFINITY, &serde_json::Value::Null),
            is_watched: false,
            profile: Profile::default(),
            current: Bucket::default(),
            buckets: VecDeque::new(),
            history: History::default(),
            report: None,
            alerts: Alerts::default(),
            changed: Vec::new(),
            ended_ms: 0,
        }
    }
}

impl Deployment {
    /// What outlives a change of the profile, or a restart.
    fn without_figures(self) -> Self {
        Deployment {
            report: self.report.filter(|_| !self.is_watched),
            history: self.history,
            alerts: self.alerts,
            changed: self.changed,
            ..Deployment::default()
        }
    }

    fn tick(&mut self, id: &str, now_ms: u64, window: u64, interval: u64) -> Report {
        let ended = std::mem::take(&mut self.current);
        let point = Point::of(&ended, now_ms);
        self.history.push(point);
        if now_ms < self.ended_ms {
            // The clock was set back: the starts of the intervals say nothing any more.
            self.buckets.clear();
            self.ended_ms = now_ms.saturating_sub(interval);
        }
        // By the start of an interval: a late tick must not lengthen the window by one.
        self.buckets.push_back((self.ended_ms, ended));
        self.ended_ms = now_ms;
        let start = now_ms.saturating_sub(window);
        let is_over = |begun: u64| begun + interval / 2 < start;
        // The last one is always evaluated, even if the clock was set forward.
        while self.buckets.len() > 1 && self.buckets.front().is_some_and(|(at, _)| is_over(*at)) {
            self.buckets.pop_front();
        }
        let mut sum = Bucket::default();
        for (_, bucket) in &self.buckets {
            sum.merge(bucket);
        }
        let timeouts = self.alerts.active("runtime:timeout_count");
        let evaluation = Evaluation {
            profile: &self.profile,
            thresholds: &self.thresholds,
            // Windows overlap: only an alert that is older than this window is a repetition.
            timeouts_repeat: timeouts.is_some_and(|alert| alert.first_seen_ms <= start),
        };
        let mut report = evaluation.report(id, (start, now_ms), &sum);
        report.interval = point;
        self.changed.extend(self.alerts.update(&report));
        self.report = Some(report.clone());
        report
    }
}
