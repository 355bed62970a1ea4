//! What is common to the predictors: how raw scores become the scores that they return.
//!
//! Where the specification leaves room, these follow onnxruntime, so that a model answers
//! here as it does there.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// The attribute `post_transform`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PostTransform {
    None,
    Softmax,
    Logistic,
    SoftmaxZero,
    Probit,
}

impl PostTransform {
    pub(super) fn parse(node: &NodeProto) -> TractResult<PostTransform> {
        Ok(
            match node
                .get_attr_opt::<&str>("post_transform")?
                .unwrap_or("NONE")
            {
                "NONE" => PostTransform::None,
                "SOFTMAX" => PostTransform::Softmax,
                "LOGISTIC" => PostTransform::Logistic,
                "SOFTMAX_ZERO" => PostTransform::SoftmaxZero,
                "PROBIT" => PostTransform::Probit,
                other => bail!("post_transform is {other:?}, which ONNX does not define"),
            },
        )
    }

    /// The numbers that `TreeEnsemble` uses in place of names, as onnxruntime reads them; the
    /// specification has 1 and 2 the other way round.
    pub(super) fn from_number(number: i64) -> TractResult<PostTransform> {
        Ok(match number {
            0 => PostTransform::None,
            1 => PostTransform::Logistic,
            2 => PostTransform::Softmax,
            3 => PostTransform::SoftmaxZero,
            4 => PostTransform::Probit,
            other => bail!("post_transform is {other}, which ONNX does not define"),
        })
    }

    /// Transforms one row of at least two scores.
    pub(super) fn apply(self, row: &mut [f64]) {
        match self {
            PostTransform::None => {}
            PostTransform::Softmax => softmax(row),
            PostTransform::SoftmaxZero => softmax_zero(row),
            PostTransform::Logistic => row.iter_mut().for_each(|score| *score = logistic(*score)),
            PostTransform::Probit => row.iter_mut().for_each(|score| *score = probit(*score)),
        }
    }

    /// Transforms the only score of a regressor: onnxruntime applies `PROBIT` alone.
    pub(super) fn apply_to_one(self, score: f64) -> f64 {
        if self == PostTransform::Probit {
            probit(score)
        } else {
            score
        }
    }
}

/// How a classifier of two classes with one score makes two scores of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pair {
    /// `1 - score` and `score`: the score is a probability.
    Complement,
    /// `-score` and `score`.
    Negation,
}

impl Pair {
    /// The two scores. `LOGISTIC` makes probabilities of either sort; the other transforms have
    /// no effect.
    pub(super) fn of(self, score: f64, transform: PostTransform) -> [f64; 2] {
        match (self, transform) {
            (_, PostTransform::Logistic) => [logistic(-score), logistic(score)],
            (Pair::Negation, _) => [-score, score],
            (Pair::Complement, _) => [1.0 - score, score],
        }
    }
}

/// Rejects, when the model is loaded, what no runtime gives a meaning to.
pub(super) fn reject_probit_of_one_score(
    node: &NodeProto,
    transform: PostTransform,
) -> TractResult<()> {
    node.expect(
        transform != PostTransform::Probit,
        "a post_transform other than PROBIT for a classifier of two classes with one score",
    )
}

/// The first of the largest values; NaN is never larger.
pub(super) fn position_of_largest(values: &[f64]) -> usize {
    let mut best = 0;
    for (at, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = at;
        }
    }
    best
}

pub(super) fn logistic(value: f64) -> f64 {
    let positive = 1.0 / (1.0 + (-value.abs()).exp());
    if value < 0.0 {
        1.0 - positive
    } else {
        positive
    }
}

fn softmax(row: &mut [f64]) {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    row.iter_mut()
        .for_each(|score| *score = (*score - largest).exp());
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|score| *score /= sum);
}

/// A softmax in which scores of zero stay (about) zero.
fn softmax_zero(row: &mut [f64]) {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for score in row.iter_mut() {
        let is_zero = score.abs() <= 1e-7;
        *score = if is_zero {
            *score * (-largest).exp()
        } else {
            (*score - largest).exp()
        };
    }
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|score| *score /= sum);
}

/// The quantile of the normal distribution, by the approximation of the inverse error function
/// that onnxruntime uses.
fn probit(probability: f64) -> f64 {
    let x = 2.0 * probability - 1.0;
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let first = 2.0 / (std::f64::consts::PI * 0.147) + 0.5 * log;
    let second = log / 0.147;
    let inverse = (-first + (first * first - second).sqrt()).sqrt();
    std::f64::consts::SQRT_2 * if x < 0.0 { -inverse } else { inverse }
}
