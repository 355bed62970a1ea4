//! The little linear algebra that multivariate drift needs.

/// Pivots below this count as zero.
const TINY: f64 = 1e-12;

/// A square matrix, by rows.
pub(crate) type Matrix = Vec<Vec<f64>>;

/// The inverse. A nearly singular matrix gets a small ridge before it is given up.
pub(crate) fn inverse(matrix: &Matrix) -> Option<Matrix> {
    [0.0, 1e-9, 1e-6]
        .into_iter()
        .find_map(|ridge| inverse_with_ridge(matrix, ridge))
}

fn inverse_with_ridge(matrix: &Matrix, ridge: f64) -> Option<Matrix> {
    let n = matrix.len();
    let mut work: Matrix = (0..n)
        .map(|i| {
            let mut row = matrix[i].clone();
            row[i] += ridge;
            row.extend((0..n).map(|j| f64::from(u8::from(i == j))));
            row
        })
        .collect();
    for column in 0..n {
        let pivot = pivot_row(&work, column)?;
        work.swap(column, pivot);
        let divisor = work[column][column];
        work[column].iter_mut().for_each(|value| *value /= divisor);
        for row in 0..n {
            if row != column {
                subtract(&mut work, row, column, |work| work[row][column]);
            }
        }
    }
    Some(work.into_iter().map(|mut row| row.split_off(n)).collect())
}

/// The logarithm of the determinant's magnitude; `None` if the matrix is singular.
pub(crate) fn log_determinant(matrix: &Matrix) -> Option<f64> {
    let n = matrix.len();
    let mut work = matrix.clone();
    let mut total = 0.0;
    for column in 0..n {
        let pivot = pivot_row(&work, column)?;
        work.swap(column, pivot);
        total += work[column][column].abs().ln();
        for row in column + 1..n {
            subtract(&mut work, row, column, |work| {
                work[row][column] / work[column][column]
            });
        }
    }
    Some(total)
}

/// `vᵀ M v`.
pub(crate) fn quadratic_form(vector: &[f64], matrix: &Matrix) -> f64 {
    let rows = matrix.iter().zip(vector);
    rows.map(|(row, left)| left * dot(row, vector)).sum()
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The row with the largest entry in this column, at or below the diagonal.
fn pivot_row(work: &Matrix, column: usize) -> Option<usize> {
    let magnitude = |row: &usize| work[*row][column].abs();
    let rows = column..work.len();
    let row = rows.max_by(|a, b| magnitude(a).total_cmp(&magnitude(b)))?;
    (magnitude(&row) >= TINY).then_some(row)
}

/// Subtracts a multiple of row `from` from `row`.
fn subtract(work: &mut Matrix, row: usize, from: usize, factor: impl Fn(&Matrix) -> f64) {
    let factor = factor(work);
    if factor == 0.0 {
        return;
    }
    let source = work[from].clone();
    for (value, source) in work[row].iter_mut().zip(source) {
        *value -= factor * source;
    }
}
