//! The sketch's stated error.

use proptest::prelude::*;
use satellite_monitoring::{RELATIVE_ERROR, Sketch};

fn exact(sorted: &[f64], q: f64) -> f64 {
    let position = q * (sorted.len() - 1) as f64;
    let (low, high) = (position.floor() as usize, position.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (position - position.floor())
}

fn sketch(values: &[f64]) -> Sketch {
    let mut sketch = Sketch::default();
    values.iter().for_each(|value| sketch.insert(*value));
    sketch
}

proptest! {
    #[test]
    fn a_quantile_is_within_the_stated_error(
        mut values in proptest::collection::vec(1e-6..1e9_f64, 1..400),
        q in 0.0..=1.0_f64,
    ) {
        let found = sketch(&values).quantile(q);
        values.sort_by(f64::total_cmp);
        let expected = exact(&values, q);
        prop_assert!((found - expected).abs() <= expected * RELATIVE_ERROR * 1.000_001);
    }

    #[test]
    fn a_quantile_of_any_sign_is_within_the_error_of_its_neighbours(
        mut values in proptest::collection::vec(-1e4..1e4_f64, 1..400),
        q in 0.0..=1.0_f64,
    ) {
        let found = sketch(&values).quantile(q);
        values.sort_by(f64::total_cmp);
        let position = q * (values.len() - 1) as f64;
        let (low, high) = (values[position.floor() as usize], values[position.ceil() as usize]);
        let slack = |value: f64| value.abs() * RELATIVE_ERROR + 1e-6;
        prop_assert!(found >= low - slack(low) && found <= high + slack(high));
    }

    #[test]
    fn merged_sketches_equal_the_sketch_of_all_values(
        a in proptest::collection::vec(-1e3..1e3_f64, 0..100),
        b in proptest::collection::vec(-1e3..1e3_f64, 0..100),
    ) {
        let mut merged = sketch(&a);
        merged.merge(&sketch(&b));
        let all = sketch(&[a, b].concat());
        for q in [0.0, 0.05, 0.5, 0.95, 1.0] {
            prop_assert_eq!(merged.quantile(q), all.quantile(q));
        }
        prop_assert_eq!((merged.count(), merged.max(), merged.min()), (all.count(), all.max(), all.min()));
        prop_assert!((merged.sum() - all.sum()).abs() < 1e-6);
    }
}

#[test]
fn memory_is_bounded_whatever_the_values() {
    let extremes = [
        0.0,
        -0.0,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        1e-300,
        -1e300,
    ];
    let found = sketch(&extremes);
    assert_eq!(found.count(), 7);
    assert_eq!((found.max(), found.min()), (1e12, -1e12));
    assert!(found.sum().is_finite());
    let ignored = sketch(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    assert_eq!(
        (ignored.count(), ignored.quantile(0.5), ignored.mean()),
        (0, 0.0, 0.0)
    );
}
