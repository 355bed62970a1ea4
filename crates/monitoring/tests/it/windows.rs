//! Windows, alerts and their life.

use satellite_monitoring::{AlertState, Event, Monitor, Profile, Settings, Severity};
use serde_json::{Value, json};

use crate::{call, inputs, timeout};

const MINUTE: u64 = 60_000;

fn monitor(profile: &Value) -> Monitor {
    let mut monitor = Monitor::new(Settings::default());
    monitor.watch("d", Profile::of(profile), 0);
    monitor
}

fn states(monitor: &Monitor) -> Vec<(String, AlertState)> {
    let alerts = monitor.alerts("d");
    alerts.map(|a| (a.metric.clone(), a.state)).collect()
}

#[test]
fn a_window_is_the_sum_of_its_intervals_also_when_ticks_are_late() {
    let mut monitor = monitor(&json!({}));
    let mut expected = Vec::new();
    for (n, late) in [0, 9, 3, 14, 0, 7, 11, 2, 5, 0].into_iter().enumerate() {
        let n = n as u64 + 1;
        (0..n).for_each(|_| monitor.record("d", &call(200, 5.0)));
        expected.push(n);
        let report = monitor.tick(n * MINUTE + late * 1000).remove(0);
        let window: u64 = expected.iter().rev().take(5).sum();
        assert_eq!(report.requests, window, "minute {n}");
    }
    let points = monitor.history("d");
    let requests: Vec<u64> = points.iter().map(|point| point.requests).collect();
    assert_eq!(requests, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0]);
}

#[test]
fn steps_of_the_clock_lose_no_calls_and_leave_no_old_ones() {
    let mut monitor = monitor(&json!({}));
    let mut requests = |now_ms: u64, calls: u64| {
        (0..calls).for_each(|_| monitor.record("d", &call(200, 5.0)));
        monitor.tick(now_ms)[0].requests
    };
    let day = 24 * 60 * MINUTE;
    assert_eq!(requests(day, 7), 7);
    assert_eq!(requests(day + MINUTE, 1), 1, "the first interval was a day");
    // Set back by a day: the earlier intervals have no place in time.
    assert_eq!(requests(2 * MINUTE, 2), 2);
    let later: Vec<u64> = (3..12).map(|n| requests(n * MINUTE, 1)).collect();
    assert_eq!(later, [3, 4, 5, 6, 5, 5, 5, 5, 5]);
    // Set forward, or a host that was suspended.
    assert_eq!(requests(9 * day, 4), 4);
    assert_eq!(requests(9 * day + MINUTE, 1), 1);
}

#[test]
fn alerts_of_a_deployment_that_is_not_monitored_any_more_are_resolved() {
    let mut monitor = monitor(&json!({}));
    monitor.record("d", &call(500, 5.0));
    monitor.tick(MINUTE);
    monitor.take_changed_alerts();
    monitor.retain(|id| id == "d", 2 * MINUTE);
    assert!(monitor.take_changed_alerts().is_empty());
    monitor.retain(|id| id != "d", 2 * MINUTE);
    let changed = monitor.take_changed_alerts();
    assert_eq!(changed.len(), 1);
    assert_eq!(
        (changed[0].state, changed[0].last_seen_ms),
        (AlertState::Resolved, 2 * MINUTE)
    );
    assert!(!monitor.is_watched("d") && monitor.alerts("d").next().is_none());
}

#[test]
fn all_figures_of_extreme_values_are_finite() {
    let profile = json!({
        "task_type": "regression",
        "feature_summaries": { "numerical_features": { "x": {
            "position": 1, "bin_edges": [0.0, 1.0], "probabilities": [1e306],
        } } },
        "output_summary": { "name": "y", "type": "numerical", "summary": {
            "bin_edges": [0.0, 1.0], "probabilities": [1e306],
        } },
    });
    let mut monitor = monitor(&profile);
    for _ in 0..3 {
        let event = Event {
            outputs: Some(br#"{"y": [1.7e308, 1.7e308, -1.7e308]}"#.to_vec()),
            ..inputs(json!({ "x": [1.7e308, -1.7e308] }))
        };
        monitor.record("d", &event);
    }
    let report = monitor.tick(MINUTE).remove(0);
    assert!(report.output.is_some());
    let text = serde_json::to_string(&report).unwrap();
    let read = serde_json::from_str(&text);
    assert_eq!(
        report,
        read.unwrap(),
        "JSON has no infinite numbers: {text}"
    );
}

#[test]
fn the_work_of_one_call_is_bounded() {
    let features = (1..=512).map(|n| {
        let summary = json!({ "position": n, "bin_edges": [0, 1], "probabilities": [1.0] });
        (format!("f{n}"), summary)
    });
    let features: serde_json::Map<String, Value> = features.collect();
    let mut monitor = monitor(&json!({ "feature_summaries": { "numerical_features": features } }));
    let rows = vec![[0]; 16_000];
    monitor.record("d", &inputs(json!({ "x": rows })));
    let report = monitor.tick(MINUTE).remove(0);
    assert_eq!(report.features["f1"].observations, 1_000_000 / 512);
    // Names that are repeated are no profile.
    let pca = json!({ "pca": { "feature_names": vec!["x"; 512] } });
    assert_eq!(Profile::of(&pca), Profile::default());
}

#[test]
fn an_alert_opens_is_acknowledged_and_is_resolved_by_a_window_without_it() {
    let mut monitor = monitor(&json!({}));
    let metric = "runtime:error_rate".to_owned();
    monitor.record("d", &call(500, 5.0));
    monitor.tick(MINUTE);
    assert_eq!(states(&monitor), [(metric.clone(), AlertState::Open)]);
    assert!(monitor.acknowledge("d", &metric));
    assert!(!monitor.acknowledge("d", &metric), "it is known already");
    assert!(!monitor.acknowledge("d", "runtime:latency_p95"));
    monitor.record("d", &call(500, 5.0));
    monitor.tick(2 * MINUTE);
    assert_eq!(
        states(&monitor),
        [(metric.clone(), AlertState::Acknowledged)]
    );
    let alert = monitor.alerts("d").next().unwrap();
    assert_eq!(
        (alert.first_seen_ms, alert.last_seen_ms),
        (MINUTE, 2 * MINUTE)
    );
    assert_eq!(alert.severity, Severity::Critical);
    // A window without calls says nothing.
    for minute in 3..10 {
        monitor.tick(minute * MINUTE);
    }
    assert_eq!(
        states(&monitor),
        [(metric.clone(), AlertState::Acknowledged)]
    );
    monitor.record("d", &call(200, 5.0));
    monitor.tick(10 * MINUTE);
    assert_eq!(states(&monitor), [(metric.clone(), AlertState::Resolved)]);
    let changed = monitor.take_changed_alerts();
    assert_eq!(changed.last().unwrap().last_seen_ms, 10 * MINUTE);
    assert!(monitor.take_changed_alerts().is_empty());
    monitor.record("d", &call(500, 5.0));
    monitor.tick(11 * MINUTE);
    let alert = monitor.alerts("d").next().unwrap();
    assert_eq!(
        (alert.state, alert.first_seen_ms),
        (AlertState::Open, 11 * MINUTE)
    );
}

#[test]
fn timeouts_are_critical_when_they_go_on_for_longer_than_a_window() {
    let mut monitor = monitor(&json!({}));
    let severity = |monitor: &Monitor| {
        let alert = monitor
            .alerts("d")
            .find(|a| a.metric == "runtime:timeout_count");
        alert.unwrap().severity
    };
    for minute in 1..=8 {
        monitor.record("d", &timeout());
        monitor.tick(minute * MINUTE);
        let expected = if minute > 5 {
            Severity::Critical
        } else {
            Severity::Warning
        };
        assert_eq!(severity(&monitor), expected, "minute {minute}");
    }
}

#[test]
fn alerts_of_an_earlier_process_continue() {
    let mut first = monitor(&json!({}));
    first.record("d", &call(500, 5.0));
    first.tick(MINUTE);
    first.acknowledge("d", "runtime:error_rate");
    let mut second = Monitor::new(Settings::default());
    for alert in first.take_changed_alerts() {
        second.restore(alert);
    }
    assert!(second.tick(2 * MINUTE).is_empty(), "not watched yet");
    second.watch("d", Profile::default(), 2 * MINUTE);
    second.record("d", &call(500, 5.0));
    second.tick(3 * MINUTE);
    let alert = second.alerts("d").next().unwrap();
    assert_eq!(
        (alert.state, alert.first_seen_ms),
        (AlertState::Acknowledged, MINUTE)
    );
}

#[test]
fn columns_of_a_matrix_are_features_by_position() {
    let profile = json!({ "feature_summaries": { "numerical_features": {
        "width": { "position": 2, "min": 0, "max": 10 },
        "height": { "position": 1, "min": 0, "max": 1 },
    } } });
    let mut monitor = monitor(&profile);
    monitor.record("d", &inputs(json!({ "x": [[0.5, 20.0], [0.25, 5.0]] })));
    monitor.record(
        "d",
        &inputs(json!({ "width": [[30]], "height": [["NaN"]] })),
    );
    let report = monitor.tick(MINUTE).remove(0);
    let rates = |name: &str| {
        let feature = &report.features[name];
        (
            feature.observations,
            feature.range_violation_rate.unwrap(),
            feature.missing_rate,
        )
    };
    assert_eq!(rates("width"), (3, 2.0 / 3.0, 0.0));
    assert_eq!(rates("height"), (3, 0.0, 1.0 / 3.0));
}

#[test]
fn classes_that_are_numbers_count_as_the_categories_they_name() {
    let profile = json!({ "task_type": "classification", "output_summary": {
        "name": "label", "type": "categorical", "summary": { "probabilities": { "0": 0.5, "1": 0.5 } }
    } });
    let mut monitor = monitor(&profile);
    let event = Event {
        status: 200,
        outputs: Some(br#"{"label": [0, 1, 0, 1], "probabilities": [[0.1, 0.9]]}"#.to_vec()),
        ..Event::default()
    };
    monitor.record("d", &event);
    let output = monitor.tick(MINUTE).remove(0).output.unwrap();
    assert_eq!((output.count, output.psi.abs() < 1e-9), (4, true));
}

#[test]
fn hostile_bodies_and_profiles_are_counted_and_nothing_else() {
    let names: Vec<String> = (0..10_000).map(|n| format!("n{n}")).collect();
    let features: serde_json::Map<_, _> = names
        .iter()
        .map(|name| (name.clone(), json!({ "min": 0 })))
        .collect();
    let profile = json!({
        "task_type": [],
        "feature_summaries": { "numerical_features": features, "categorical_features": 7 },
        "output_summary": { "type": "numerical", "summary": { "bin_edges": [3, 1], "probabilities": [1] } },
        "pca_profile": { "pca": { "feature_names": [] } },
        "thresholds": "none",
    });
    let mut monitor = monitor(&profile);
    let bodies = [
        "",
        "{",
        "[]",
        "{\"inputs\": []}",
        "{\"inputs\": {\"n1\": {}}}",
    ];
    let deep = format!(
        "{{\"inputs\": {}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    for body in bodies.into_iter().chain([deep.as_str()]) {
        monitor.record(
            "d",
            &Event {
                status: 200,
                inputs: Some(body.as_bytes().to_vec()),
                outputs: Some(body.as_bytes().to_vec()),
                ..Event::default()
            },
        );
    }
    let report = monitor.tick(MINUTE).remove(0);
    assert_eq!((report.requests, report.summarised), (6, 1));
    assert_eq!(report.features.len(), 512);
}
