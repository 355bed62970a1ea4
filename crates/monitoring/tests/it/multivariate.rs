//! Drift of the features together. The expected values are those of the reference's formulas,
//! computed by numpy: see the table.

use satellite_monitoring::{Event, Severity};
use serde_json::{Value, json};

use crate::{inputs, report};

/// `cos 0.6` and `sin 0.6`: the components are a rotation.
const COS: f64 = 0.825_335_614_909_678_3;
const SIN: f64 = 0.564_642_473_395_035_4;

fn profile() -> Value {
    json!({ "pca_profile": {
        "scaler": { "mean_": [10.0, 20.0], "scale_": [2.0, 4.0] },
        "pca": {
            "feature_names": ["x1", "x2"],
            "components": [[COS, SIN], [-SIN, COS]],
            "mean_": [0.1, -0.1],
        },
        "reference_distribution": { "mean": [0.05, -0.02], "covariance": [[1.2, 0.1], [0.1, 0.6]] },
    } })
}

const ROWS: [(f64, f64); 9] = [
    (10.0, 20.0),
    (12.0, 25.0),
    (9.0, 17.0),
    (11.0, 23.0),
    (8.5, 16.0),
    (13.0, 27.0),
    (10.5, 20.5),
    (9.5, 22.0),
    (40.0, -30.0), // an outlier
];

fn single(rows: &[(f64, f64)]) -> Vec<Event> {
    let row = |(x1, x2): &(f64, f64)| inputs(json!({ "x1": x1, "x2": x2 }));
    rows.iter().map(row).collect()
}

#[test]
fn the_figures_are_those_of_the_reference() {
    let columns = json!({
        "x1": ROWS.map(|row| row.0),
        "x2": ROWS.map(|row| row.1),
    });
    for events in [single(&ROWS), vec![inputs(columns)]] {
        let found = report(&profile(), &events);
        let figures = found.multivariate.unwrap();
        assert_eq!(figures.count, 9);
        for (name, found, expected) in [
            (
                "centroid shift",
                figures.centroid_shift,
                0.452_228_356_510_607_9,
            ),
            (
                "dispersion ratio",
                figures.dispersion_ratio.unwrap(),
                0.283_573_844_663_543_63,
            ),
            ("outlier rate", figures.outlier_rate, 1.0 / 9.0),
            (
                "outlier threshold",
                figures.outlier_threshold,
                3.036_528_502_306_527_6,
            ),
            (
                "mean distance",
                figures.mean_distance,
                3.678_520_262_019_556_5,
            ),
        ] {
            assert!(
                (found - expected).abs() < 1e-9,
                "{name}: {found}, not {expected}"
            );
        }
        let signals: Vec<_> = found
            .signals
            .iter()
            .map(|s| (s.metric.as_str(), s.severity))
            .collect();
        assert_eq!(
            signals,
            [("multivariate:mahalanobis_outliers", Severity::Critical)]
        );
    }
}

#[test]
fn a_moved_centre_is_drift_although_no_row_is_an_outlier() {
    let moved = ROWS[..8].iter().map(|(x1, x2)| (x1 + 3.0, x2 + 5.0));
    let moved: Vec<_> = moved.collect();
    let found = report(&profile(), &single(&moved));
    let signal = &found.signals[0];
    assert_eq!(
        (signal.metric.as_str(), signal.threshold),
        ("multivariate:centroid_shift", 1.0)
    );
}

#[test]
fn incomplete_rows_are_left_out() {
    let events = [
        inputs(json!({ "x1": 1.0 })),
        inputs(json!({ "x1": "bad", "x2": 1.0 })),
        inputs(json!({ "x1": "NaN", "x2": 1.0 })),
        inputs(json!({ "x1": true, "x2": 1.0 })),
        inputs(json!({ "x1": [], "x2": [] })),
    ];
    assert_eq!(report(&profile(), &events).multivariate, None);
}

#[test]
fn malformed_profiles_are_left_out() {
    for (path, value) in [
        ("/pca_profile/pca/components", json!([[COS]])),
        ("/pca_profile/pca/feature_names", json!([])),
        ("/pca_profile/scaler/scale_", json!([0.0, 1.0])),
        ("/pca_profile/reference_distribution", json!({})),
        (
            "/pca_profile/reference_distribution/covariance",
            json!([[0.0, 0.0], [0.0, 1.0]]),
        ),
        (
            "/pca_profile/reference_distribution/covariance",
            json!([[1.0, 2.0], [2.0]]),
        ),
    ] {
        let mut profile = profile();
        *profile.pointer_mut(path).unwrap() = value;
        assert_eq!(
            report(&profile, &single(&ROWS)).multivariate,
            None,
            "{path}"
        );
    }
}
