//! The figures of the platform's own agent for the same calls: inputs and expected values, by
//! the agent's formulas. Its tests contain the same data.

use satellite_monitoring::{Event, Report, Severity};
use serde_json::{Value, json};

use crate::{call, inputs, output, report, timeout};

const CLOSE: f64 = 1e-9;

/// `-Σ` by hand: (0.4-0.25)·ln(0.4/0.25) + (0.1-0.25)·ln(0.1/0.25).
const MODERATE: f64 = 0.207_944_154_167_983_6;

fn numerical(summary: Value) -> Value {
    json!({ "task_type": "regression", "feature_summaries": { "numerical_features": { "age": summary } } })
}

fn categorical(summary: Value) -> Value {
    json!({ "task_type": "regression", "feature_summaries": { "categorical_features": { "region": summary } } })
}

fn ages(profile: &Value, values: &[(Value, usize)]) -> Report {
    events(profile, "age", values)
}

fn regions(profile: &Value, values: &[(Value, usize)]) -> Report {
    events(profile, "region", values)
}

fn events(profile: &Value, name: &str, values: &[(Value, usize)]) -> Report {
    let events: Vec<Event> = values
        .iter()
        .flat_map(|(value, times)| vec![inputs(json!({ name: value })); *times])
        .collect();
    report(profile, &events)
}

/// The signal of a figure, as severity and threshold.
fn signal(report: &Report, metric: &str) -> Option<(Severity, f64)> {
    let signal = report.signals.iter().find(|s| s.metric == metric)?;
    Some((signal.severity, signal.threshold))
}

#[test]
fn runtime_figures_are_those_of_the_reference() {
    let mut calls = vec![call(200, 10.0); 9];
    calls.push(call(400, 10.0));
    let found = report(&json!({}), &calls);
    assert_eq!(
        (found.requests, found.errors, found.error_rate),
        (10, 1, 0.1)
    );

    let statuses = [
        call(200, 1.0),
        call(400, 1.0),
        call(500, 1.0),
        call(503, 1.0),
    ];
    let found = report(&json!({}), &statuses);
    assert_eq!((found.errors, found.failed_inferences), (3, 2));

    let latencies = [10.0, 20.0, 30.0, 40.0, 50.0].map(|ms| call(200, ms));
    let found = report(&json!({}), &latencies);
    assert!((found.latency_p50_ms - 30.0).abs() <= 0.3);
    assert!((found.latency_p95_ms - 48.0).abs() <= 0.48);
    assert_eq!(found.latency_max_ms, 50.0);

    let timeouts = [call(200, 1.0), timeout(), call(504, 1.0), timeout()];
    let found = report(&json!({}), &timeouts);
    assert_eq!((found.timeouts, found.failed_inferences), (3, 3));
}

#[test]
fn runtime_thresholds_are_those_of_the_reference() {
    let share_of_errors = |errors: usize| {
        let mut calls = vec![call(200, 10.0); 100 - errors];
        calls.extend(vec![call(500, 10.0); errors]);
        report(&json!({}), &calls)
    };
    for (errors, expected) in [
        (0, None),
        (1, None), // strictly above
        (3, Some((Severity::Warning, 0.01))),
        (5, Some((Severity::Warning, 0.01))),
        (10, Some((Severity::Critical, 0.05))),
    ] {
        let found = share_of_errors(errors);
        assert_eq!(signal(&found, "runtime:error_rate"), expected, "{errors} %");
    }
    let slow = vec![call(200, 2000.0); 20];
    for (rules, expected) in [
        (json!({}), Some((Severity::Warning, 1000.0))),
        (
            json!({ "thresholds": { "latency_p95_ms": { "warning": 1500, "critical": 1800 } } }),
            Some((Severity::Critical, 1800.0)),
        ),
        (
            json!({ "thresholds": { "latency_p95_ms": { "warning": 3000, "critical": 4000 } } }),
            None,
        ),
    ] {
        assert_eq!(
            signal(&report(&rules, &slow), "runtime:latency_p95"),
            expected
        );
    }
    let found = report(&json!({}), &[call(200, 1.0), timeout()]);
    let expected = Some((Severity::Warning, 0.0));
    assert_eq!(signal(&found, "runtime:timeout_count"), expected);
}

#[test]
fn data_quality_of_numbers_is_that_of_the_reference() {
    let profile = numerical(json!({ "min": 18.0, "max": 75.0 }));
    // The values with their counts, then the rates: missing, mistyped, out of range.
    for (values, rates, metric, expected) in [
        (vec![(json!(30), 10)], [0.0, 0.0, 0.0], "missing", None),
        (
            vec![(json!(30), 9), (json!(null), 1)],
            [0.1, 0.0, 0.0],
            "missing",
            Some((Severity::Critical, 0.05)),
        ),
        (
            vec![(json!(30), 99), (json!("oops"), 1)],
            [0.0, 0.01, 0.0],
            "type_mismatch",
            Some((Severity::Warning, 0.0)),
        ),
        (
            vec![(json!(true), 10)],
            [0.0, 1.0, 0.0],
            "type_mismatch",
            Some((Severity::Critical, 0.01)),
        ),
        (
            vec![(json!(30), 8), (json!(200), 1), (json!(5), 1)],
            [0.0, 0.0, 0.2],
            "range_violation",
            Some((Severity::Critical, 0.05)),
        ),
        (
            vec![(json!(30), 98), (json!(200), 2)],
            [0.0, 0.0, 0.02],
            "range_violation",
            Some((Severity::Warning, 0.01)),
        ),
        (
            vec![(json!([30.0, 5.0, 100.0, "x"]), 1)],
            [0.0, 0.25, 0.5],
            "range_violation",
            Some((Severity::Critical, 0.05)),
        ),
    ] {
        let found = ages(&profile, &values);
        let age = &found.features["age"];
        let range = age.range_violation_rate.unwrap();
        assert_eq!([age.missing_rate, age.type_mismatch_rate, range], rates);
        let metric = format!("data_quality:age.{metric}");
        assert_eq!(signal(&found, &metric), expected, "{values:?}");
    }
    let found = report(&profile, &[inputs(json!({})), inputs(json!({ "age": 30 }))]);
    assert_eq!(found.features["age"].missing_rate, 0.5, "absent is missing");
}

#[test]
fn data_quality_of_categories_is_that_of_the_reference() {
    let profile = categorical(json!({ "categories": ["north", "south", "east", "west"] }));
    let found = regions(&profile, &[(json!("north"), 9), (json!("mars"), 1)]);
    let region = &found.features["region"];
    assert_eq!(region.unseen_category_rate, Some(0.1));
    assert_eq!(region.unseen, [("mars".to_owned(), 1)]);
    assert_eq!(
        signal(&found, "data_quality:region.unseen_category"),
        Some((Severity::Critical, 0.01))
    );
    let found = regions(&profile, &[(json!("north"), 9), (json!(123), 1)]);
    let region = &found.features["region"];
    assert_eq!(
        (region.type_mismatch_rate, region.unseen_category_rate),
        (0.1, Some(0.0))
    );
}

#[test]
fn the_drift_of_features_is_that_of_the_reference() {
    let ages_profile = numerical(
        json!({ "bin_edges": [0, 10, 20, 30, 40], "probabilities": [0.25, 0.25, 0.25, 0.25] }),
    );
    let spread = |counts: [usize; 4]| {
        let values = [5, 15, 25, 35].into_iter().zip(counts);
        values
            .map(|(value, n)| (json!(value), n))
            .collect::<Vec<_>>()
    };
    let ln = f64::ln;
    let all_in_one = 0.75 * ln(4.0) + 3.0 * (1e-6 - 0.25) * ln(1e-6 / 0.25);
    for (counts, psi, expected) in [
        ([25, 25, 25, 25], 0.0, None),
        ([40, 25, 25, 10], MODERATE, Some((Severity::Warning, 0.1))),
        ([100, 0, 0, 0], all_in_one, Some((Severity::Critical, 0.25))),
    ] {
        let found = ages(&ages_profile, &spread(counts));
        assert!(
            (found.features["age"].psi.unwrap() - psi).abs() < CLOSE,
            "{counts:?}"
        );
        assert_eq!(signal(&found, "feature_drift:age"), expected, "{counts:?}");
    }
    // A batch counts as its rows; values outside the edges are in the first and last bin.
    let found = ages(&ages_profile, &[(json!([-5.0, 15.0, 25.0, 400.0]), 1)]);
    assert!(found.features["age"].psi.unwrap().abs() < CLOSE);
    // Nothing to compare: no reference, or no valid value.
    let found = ages(
        &numerical(json!({ "min": 0, "max": 40 })),
        &[(json!(5), 100)],
    );
    assert_eq!(found.features["age"].psi, None);
    let found = ages(&ages_profile, &[(json!(null), 5), (json!("x"), 5)]);
    assert_eq!(found.features["age"].psi, None);
}

#[test]
fn the_drift_of_categories_is_that_of_the_reference() {
    let profile =
        categorical(json!({ "categories": ["a", "b"], "probabilities": { "a": 0.5, "b": 0.5 } }));
    let ln = f64::ln;
    let unseen = 2.0 * (0.45 - 0.5) * ln(0.45 / 0.5) + (0.1 - 1e-6) * ln(0.1 / 1e-6);
    let shifted = 0.5 * ln(2.0) + (1e-6 - 0.5) * ln(1e-6 / 0.5);
    let value = |text: &str, n| (json!(text), n);
    for (values, psi, severity) in [
        (vec![value("a", 50), value("b", 50)], 0.0, None),
        (vec![value("a", 100)], shifted, Some(Severity::Critical)),
        (
            vec![value("a", 45), value("b", 45), value("z", 10)],
            unseen,
            Some(Severity::Critical),
        ),
    ] {
        let found = regions(&profile, &values);
        assert!((found.features["region"].psi.unwrap() - psi).abs() < CLOSE);
        let found = signal(&found, "feature_drift:region");
        assert_eq!(found.map(|(severity, _)| severity), severity);
    }
}

#[test]
fn the_drift_of_predictions_is_that_of_the_reference() {
    let bins =
        json!({ "bin_edges": [0, 10, 20, 30, 40], "probabilities": [0.25, 0.25, 0.25, 0.25] });
    let shares = json!({ "probabilities": { "cat": 0.5, "dog": 0.5 } });
    let numbers = |name: Value| json!({ "task_type": "regression", "output_summary": { "name": name, "type": "numerical", "summary": bins } });
    let labels = |name: Value| json!({ "task_type": "classification", "output_summary": { "name": name, "type": "categorical", "summary": shares } });
    let even = |wrap: fn(Value) -> Value| {
        let values = [5, 15, 25, 35].into_iter();
        values
            .flat_map(|v| vec![wrap(json!(v)); 25])
            .collect::<Vec<_>>()
    };
    let animals = |wrap: fn(Value) -> Value| {
        ["cat", "dog"]
            .into_iter()
            .flat_map(|v| vec![wrap(json!(v)); 50])
            .collect::<Vec<_>>()
    };
    // The profile, the responses, then the number of predictions and whether they have drifted.
    for (profile, responses, expected) in [
        (numbers(json!(null)), even(|v| v), Some((100, false))),
        (
            numbers(json!(null)),
            vec![json!(5.0); 100],
            Some((100, true)),
        ),
        (numbers(json!(null)), vec![json!(null), json!("oops")], None),
        (
            numbers(json!("y")),
            even(|v| json!({ "y": [v], "decision": ["assisted"] })),
            Some((100, false)),
        ),
        (
            numbers(json!("y")),
            vec![json!({ "y": [5, 15, 25, 35] }); 25],
            Some((100, false)),
        ),
        (
            numbers(json!(null)),
            vec![json!({ "prediction": 5.0 }); 100],
            Some((100, true)),
        ),
        (
            numbers(json!("y")),
            vec![json!({ "score": 5.0, "confidence": 0.9 }); 100],
            None,
        ),
        (labels(json!(null)), animals(|v| v), Some((100, false))),
        (
            labels(json!(null)),
            vec![json!("cat"); 100],
            Some((100, true)),
        ),
        (
            labels(json!("label")),
            animals(|v| json!({ "label": [v] })),
            Some((100, false)),
        ),
    ] {
        let events: Vec<Event> = responses.iter().map(output).collect();
        let found = report(&profile, &events);
        let drifted = signal(&found, "output_drift:prediction");
        let summary = found.output.as_ref().map(|o| (o.count, o.psi > 0.25));
        assert_eq!(summary, expected, "{profile} {}", responses[0]);
        assert_eq!(drifted.is_some(), expected.is_some_and(|(_, is)| is));
    }
    let found = report(
        &numbers(json!(null)),
        &even(|v| v).iter().map(output).collect::<Vec<_>>(),
    );
    let trend = found.output.unwrap().trend.unwrap();
    for (found, expected) in trend.into_iter().zip([20.0, 20.0, 5.0, 35.0]) {
        assert!((found - expected).abs() <= expected * 0.01, "{trend:?}");
    }
    let no_task = json!({ "output_summary": { "type": "numerical", "summary": bins } });
    assert_eq!(report(&no_task, &[output(&json!(5))]).output, None);
}

#[test]
fn the_rules_of_a_profile_replace_the_default_thresholds() {
    let summary = json!({ "bin_edges": [0.0, 10.0, 20.0], "probabilities": [0.5, 0.5], "min": 0.0, "max": 20.0 });
    let with = |rules: Value| {
        let mut profile = numerical(summary.clone());
        profile["thresholds"] = rules;
        profile
    };
    let missing = [(json!(5.0), 9), (json!(null), 1)];
    let drifted = [(json!(15.0), 20)];
    let metric = "data_quality:age.missing";
    for (rules, expected) in [
        (json!(null), Some(0.05)),
        (
            json!({ "missing_rate": { "warning": 0.2, "critical": 0.5 } }),
            None,
        ),
        // Invalid rules are ignored.
        (
            json!({ "missing_rate": { "warning": 0.5, "critical": 0.1 } }),
            Some(0.05),
        ),
        (json!({ "missing_rate": { "warning": "high" } }), Some(0.05)),
        (json!({ "missing_rate": [0.1, 0.2] }), Some(0.05)),
    ] {
        let found = signal(&ages(&with(rules), &missing), metric);
        assert_eq!(found.map(|(_, threshold)| threshold), expected);
    }
    let relaxed = with(json!({ "psi": { "warning": 8.0, "critical": 12.0 } }));
    assert_eq!(signal(&ages(&relaxed, &drifted), "feature_drift:age"), None);
    let strict = signal(&ages(&with(json!(null)), &drifted), "feature_drift:age");
    assert_eq!(strict, Some((Severity::Critical, 0.25)));
}
