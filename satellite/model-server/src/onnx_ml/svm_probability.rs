//! The probabilities of a support vector classifier, from the scores of pairs of classes: a
//! sigmoid for each pair, then the coupling of Wu, Lin and Weng (2004) that libsvm uses.

use super::scores::logistic;

/// For each pair of classes, the probability of the first.
pub(super) fn pairwise(scores: &[f64], sigmoids: &[(f32, f32)]) -> Vec<f64> {
    let probability = |(score, (a, b)): (&f64, &(f32, f32))| {
        (1.0 - logistic(score * f64::from(*a) + f64::from(*b))).clamp(1e-7, 1.0 - 1e-7)
    };
    scores.iter().zip(sigmoids).map(probability).collect()
}

/// The probabilities of the classes that agree best with those of the pairs.
pub(super) fn coupled(classes: usize, pairs: &[f64]) -> Vec<f64> {
    let mut ratio = vec![vec![0.0; classes]; classes];
    let of_pairs = (0..classes).flat_map(|a| (a + 1..classes).map(move |b| (a, b)));
    for ((first, second), probability) in of_pairs.zip(pairs) {
        ratio[first][second] = *probability;
        ratio[second][first] = 1.0 - probability;
    }
    let mut matrix = vec![vec![0.0; classes]; classes];
    for t in 0..classes {
        for j in (0..classes).filter(|j| *j != t) {
            matrix[t][t] += ratio[j][t] * ratio[j][t];
            matrix[t][j] = -ratio[j][t] * ratio[t][j];
        }
    }
    minimized(&matrix)
}

/// Minimizes the quadratic form of the matrix over vectors that sum to one.
fn minimized(matrix: &[Vec<f64>]) -> Vec<f64> {
    let classes = matrix.len();
    let tolerance = 0.005 / classes as f64;
    let mut p = vec![1.0 / classes as f64; classes];
    for _ in 0..classes.max(100) {
        let mut product: Vec<f64> = matrix
            .iter()
            .map(|row| row.iter().zip(&p).map(|(q, p)| q * p).sum())
            .collect();
        let mut form: f64 = p.iter().zip(&product).map(|(p, q)| p * q).sum();
        let error = product.iter().map(|q| (q - form).abs()).fold(0.0, f64::max);
        if error < tolerance {
            break;
        }
        for t in 0..classes {
            let step = (form - product[t]) / matrix[t][t];
            p[t] += step;
            let scale = 1.0 + step;
            form = (form + step * (step * matrix[t][t] + 2.0 * product[t])) / (scale * scale);
            for j in 0..classes {
                product[j] = (product[j] + step * matrix[t][j]) / scale;
                p[j] /= scale;
            }
        }
    }
    p
}
