//! Multivariate drift: the observations in the space of the training's principal
//! components, compared with the Gaussian of the training.
//!
//! Sums are enough for a mean and a covariance, so they can be merged. They are sums of
//! differences from the reference's mean, which keeps the subtraction of large squares accurate.

use crate::matrix::{Matrix, dot, log_determinant, quadratic_form};
use crate::profile::Pca;
use crate::sketch::Sketch;

/// The quantile 0.99 of the standard normal distribution: 1 % of the reference's own rows are
/// further away.
const Z_OUTLIER: f64 = 2.326_347_874_040_840_8;

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Projections {
    outliers: u64,
    distances: Sketch,
    /// All rows, and those that are not outliers.
    all: Sums,
    bulk: Sums,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Sums {
    rows: u64,
    sum: Vec<f64>,
    /// The upper triangle of the sum of products, by rows.
    products: Vec<f64>,
}

/// How observations differ from the reference.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shift {
    pub(crate) rows: u64,
    /// The distance of the centres in standard deviations of the reference.
    pub(crate) centroid_shift: f64,
    /// How much wider the observations are spread than the reference, for each component.
    pub(crate) dispersion_ratio: Option<f64>,
    /// The share of rows beyond the reference's 99 %.
    pub(crate) outlier_rate: f64,
    pub(crate) outlier_threshold: f64,
    pub(crate) mean_distance: f64,
    pub(crate) p95_distance: f64,
}

impl Projections {
    /// Adds a row: the values of the PCA's features, in their order.
    pub(crate) fn add(&mut self, row: &[f64], pca: &Pca) {
        let scaled: Vec<f64> = (0..row.len())
            .map(|i| (row[i] - pca.scaler_mean[i]) / pca.scaler_scale[i] - pca.mean[i])
            .collect();
        let scores = pca.components.iter().map(|axis| dot(axis, &scaled));
        let means = pca.reference_mean.iter();
        let difference: Vec<f64> = scores
            .zip(means)
            .map(|(score, mean)| score - mean)
            .collect();
        let squared = quadratic_form(&difference, &pca.precision).max(0.0);
        if !squared.is_finite() {
            return;
        }
        self.distances.insert(squared.sqrt());
        self.all.add(&difference);
        match squared > outlier_limit(difference.len()) {
            true => self.outliers += 1,
            false => self.bulk.add(&difference),
        }
    }

    pub(crate) fn merge(&mut self, other: &Projections) {
        self.outliers += other.outliers;
        self.distances.merge(&other.distances);
        self.all.merge(&other.all);
        self.bulk.merge(&other.bulk);
    }

    /// `None` without rows.
    pub(crate) fn shift(&self, pca: &Pca) -> Option<Shift> {
        if self.all.rows == 0 {
            return None;
        }
        // Outliers would dominate mean and covariance: their share is a figure of its own.
        let bulk = match self.bulk.rows < 2 {
            true => &self.all,
            false => &self.bulk,
        };
        let mean = bulk.mean();
        let limit = outlier_limit(pca.reference_mean.len());
        Some(Shift {
            rows: self.all.rows,
            centroid_shift: quadratic_form(&mean, &pca.precision).max(0.0).sqrt(),
            dispersion_ratio: dispersion(&bulk.covariance(&mean), &pca.covariance),
            outlier_rate: self.outliers as f64 / self.all.rows as f64,
            outlier_threshold: limit.sqrt(),
            mean_distance: self.distances.mean(),
            p95_distance: self.distances.quantile(0.95),
        })
    }
}

impl Sums {
    fn add(&mut self, row: &[f64]) {
        let k = row.len();
        self.rows += 1;
        self.sum.resize(k, 0.0);
        self.products.resize(k * (k + 1) / 2, 0.0);
        let mut products = self.products.iter_mut();
        for i in 0..k {
            self.sum[i] += row[i];
            for other in &row[i..] {
                if let Some(product) = products.next() {
                    *product += row[i] * other;
                }
            }
        }
    }

    fn merge(&mut self, other: &Sums) {
        self.rows += other.rows;
        add_all(&mut self.sum, &other.sum);
        add_all(&mut self.products, &other.products);
    }

    fn mean(&self) -> Vec<f64> {
        let rows = self.rows.max(1) as f64;
        self.sum.iter().map(|sum| sum / rows).collect()
    }

    /// The covariance of the sample; zeros for a single row.
    fn covariance(&self, mean: &[f64]) -> Matrix {
        let k = mean.len();
        let mut matrix = vec![vec![0.0; k]; k];
        if self.rows < 2 {
            return matrix;
        }
        let rows = self.rows as f64;
        let mut products = self.products.iter();
        for i in 0..k {
            for j in i..k {
                let product = products.next().copied().unwrap_or_default();
                let value = (product - rows * mean[i] * mean[j]) / (rows - 1.0);
                matrix[i][j] = value;
                matrix[j][i] = value;
            }
        }
        matrix
    }
}

/// `(det live / det reference)^(1/k)`, by logarithms: with many components the determinants
/// would overflow.
fn dispersion(live: &Matrix, reference: &Matrix) -> Option<f64> {
    let k = reference.len() as f64;
    let ratio = (log_determinant(live)? - log_determinant(reference)?) / k;
    Some(ratio.exp()).filter(|ratio| ratio.is_finite())
}

/// The quantile 0.99 of the chi-square distribution, by Wilson and Hilferty's approximation.
fn outlier_limit(components: usize) -> f64 {
    let k = components as f64;
    let spread = 2.0 / (9.0 * k);
    k * (1.0 - spread + Z_OUTLIER * spread.sqrt()).powi(3)
}

fn add_all(into: &mut Vec<f64>, from: &[f64]) {
    if into.len() < from.len() {
        into.resize(from.len(), 0.0);
    }
    for (into, from) in into.iter_mut().zip(from) {
        *into += from;
    }
}
