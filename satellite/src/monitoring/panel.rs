//! What the page shows of a satellite: its engine, deployments and alerts.

use std::sync::Arc;

use satellite_monitoring::{AlertState, Monitor, Report};
use satellite_sdk::Health;
use satellite_sdk::page::{Alert, Deployment, Fact, Feature, Panel};

use super::{Inner, Seen, lock, words};
use crate::shared::Shared;

pub fn provide(health: &Health, inner: &Arc<Inner>, shared: &Shared, gateway: &str) {
    let page = health.page();
    page.program("luml-satellite", env!("CARGO_PKG_VERSION"));
    let (own, engine) = (Arc::clone(inner), health.clone());
    let settings = shared.settings();
    let kind = match settings.engine.is_process() {
        true => "processes of this satellite".to_owned(),
        false => format!("containers, by {}", settings.docker),
    };
    let gateway = format!("http://{gateway}");
    page.provide(move || {
        let fault = engine.problems().remove("engine");
        let facts = [
            ("Models run as", kind.clone()),
            ("State", fault.unwrap_or_else(|| "available".into())),
            ("Gateway", gateway.clone()),
            ("Monitoring", own.settings.described()),
        ];
        let facts = facts.map(|(name, value)| Fact {
            name: name.into(),
            value,
        });
        Panel {
            engine: facts.into(),
            ..own.panel()
        }
    });
    let own = Arc::clone(inner);
    page.on_acknowledge(move |alert| {
        let parts = alert.split_once(' ');
        parts.is_some_and(|(deployment, metric)| lock(&own.monitor).acknowledge(deployment, metric))
    });
}

impl Inner {
    fn panel(&self) -> Panel {
        let overview = lock(&self.overview);
        let monitor = self.up_to_date();
        let mut panel = Panel::default();
        for (id, seen) in overview.iter() {
            panel.deployments.push(self.deployment(id, seen, &monitor));
            panel.alerts.extend(monitor.alerts(id).map(|alert| {
                let (value, threshold) = words::values(alert);
                Alert {
                    id: format!("{id} {}", alert.metric),
                    deployment: seen.name.clone(),
                    what: words::what(&alert.metric),
                    severity: alert.severity.name().into(),
                    state: alert.state.name().into(),
                    value,
                    threshold,
                    first_seen_ms: alert.first_seen_ms,
                    last_seen_ms: alert.last_seen_ms,
                }
            }));
        }
        let rank = |alert: &Alert| {
            let is_over = alert.state == AlertState::Resolved.name();
            (
                is_over,
                alert.severity != "critical",
                std::cmp::Reverse(alert.first_seen_ms),
            )
        };
        panel.alerts.sort_by_key(rank);
        panel
    }

    fn deployment(&self, id: &str, seen: &Seen, monitor: &Monitor) -> Deployment {
        let history = monitor.history(id);
        let empty = Report::default();
        let report = monitor.report(id).unwrap_or(&empty);
        let mut features: Vec<Feature> = report
            .features
            .iter()
            .map(|(name, feature)| Feature {
                name: name.clone(),
                severity: feature.severity.name().into(),
                psi: feature.psi,
                missing: feature.missing_rate,
                mistyped: feature.type_mismatch_rate,
                unexpected: feature
                    .range_violation_rate
                    .or(feature.unseen_category_rate)
                    .unwrap_or_default(),
            })
            .collect();
        features.sort_by(|a, b| b.psi.unwrap_or(-1.0).total_cmp(&a.psi.unwrap_or(-1.0)));
        let multivariate = report.multivariate.as_ref();
        Deployment {
            id: id.to_owned(),
            name: seen.name.clone(),
            status: seen.status.clone(),
            is_monitored: monitor.is_watched(id),
            interval_s: self.settings.interval.as_secs().max(1),
            window_s: self.settings.window.as_secs(),
            requests: history.iter().map(|point| point.requests).collect(),
            errors: history.iter().map(|point| point.errors).collect(),
            latency_p95_ms: history.iter().map(|point| point.latency_p95_ms).collect(),
            window_requests: report.requests,
            error_rate: report.error_rate,
            p50_ms: report.latency_p50_ms,
            p95_ms: report.latency_p95_ms,
            features,
            output_psi: report.output.as_ref().map(|output| output.psi),
            centroid_shift: multivariate.map(|shift| shift.centroid_shift),
            outlier_rate: multivariate.map(|shift| shift.outlier_rate),
        }
    }
}
