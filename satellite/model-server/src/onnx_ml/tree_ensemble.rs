//! `TreeEnsembleClassifier`, `TreeEnsembleRegressor` and `TreeEnsemble`.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::forest::{Aggregate, Score};
use super::kernel::{Built, Form, Kernel, build};
use super::labels::Labels;
use super::scores::{Pair, PostTransform, position_of_largest, reject_probit_of_one_score};
use super::trees::{Trees, aggregate, base_values};
use super::values::{attribute_tensor, floats, indices, rows_and_columns, slice, tensor};

pub(super) fn classifier(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let labels = Labels::parse(node, "classlabels_int64s", "classlabels_strings")?;
    let classes = labels.len();
    node.expect(classes > 0, "the labels of the classes")?;
    let trees = Trees::parse(context, node, "class", classes)?;
    let base = base_values(context, node)?;
    node.expect(
        base.len() <= classes,
        "at most one base value for each class",
    )?;
    let transform = PostTransform::parse(node)?;

    let ids = indices(node, "class_ids")?;
    let votes_for_one = ids.windows(2).all(|pair| pair[0] == pair[1]);
    let weights = match attribute_tensor(context, node, "class_weights_as_tensor")? {
        Some(weights) => slice::<f64>(&*weights.cast_to::<f64>()?)?.to_vec(),
        None => floats(node, "class_weights")?
            .into_iter()
            .map(f64::from)
            .collect(),
    };
    let binary = (classes == 2 && votes_for_one).then(|| {
        if weights.iter().all(|w| *w >= 0.0) {
            0.5
        } else {
            0.0
        }
    });
    if binary.is_some() {
        reject_probit_of_one_score(node, transform)?;
    }
    // Unless all leaves vote for one of two classes, onnxruntime answers 0 or 1 in place of
    // labels that are integers.
    let labels = match labels {
        Labels::Ints(_) if classes <= 2 && binary.is_none() => Labels::Ints(vec![0, 1]),
        labels => labels,
    };
    build(
        node,
        Classifier {
            trees,
            classes,
            labels,
            base,
            transform,
            binary,
        },
    )
}

pub(super) fn regressor(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let targets: usize = node.get_attr_opt("n_targets")?.unwrap_or(1);
    let trees = Trees::parse(context, node, "target", targets)?;
    let base = base_values(context, node)?;
    let transform = PostTransform::parse(node)?;
    let aggregate = aggregate(node)?;
    regression(
        node,
        Regressor {
            trees,
            targets,
            base,
            transform,
            aggregate,
            keeps_type: false,
        },
    )
}

pub(super) fn ensemble(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let targets: usize = node.get_attr_opt("n_targets")?.unwrap_or(1);
    let trees = Trees::parse_by_position(context, node, targets)?;
    let transform = PostTransform::from_number(node.get_attr_opt("post_transform")?.unwrap_or(0))?;
    let aggregate = match node.get_attr_opt("aggregate_function")?.unwrap_or(1) {
        0 => Aggregate::Average,
        1 => Aggregate::Sum,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        other => bail!("aggregate_function is {other}, which ONNX does not define"),
    };
    regression(
        node,
        Regressor {
            trees,
            targets,
            base: vec![],
            transform,
            aggregate,
            keeps_type: true,
        },
    )
}

fn regression(node: &NodeProto, regressor: Regressor) -> Built {
    node.expect(regressor.targets > 0, "at least one target")?;
    let matches = regressor.base.is_empty() || regressor.base.len() == regressor.targets;
    node.expect(matches, "one base value for each target")?;
    build(node, regressor)
}

#[derive(Debug)]
struct Classifier {
    trees: Trees,
    classes: usize,
    labels: Labels,
    base: Vec<f64>,
    transform: PostTransform,
    /// For two classes when all leaves vote for one: the score above which the second wins.
    binary: Option<f64>,
}

impl Classifier {
    /// The class of a row and its scores, from what the trees voted.
    fn classify(&self, votes: &[Score<f64>], scores: &mut [f64]) -> usize {
        if votes.len() == 2 {
            return self.classify_two([votes[0], votes[1]], scores);
        }
        for (at, (score, vote)) in scores.iter_mut().zip(votes).enumerate() {
            *score = vote.value + self.base.get(at).copied().unwrap_or(0.0);
        }
        if let [score] = scores {
            let class = usize::from(*score > 0.0);
            *score = self.transform.apply_to_one(*score);
            return class.min(self.labels.len() - 1);
        }
        // With base values every class has a score.
        let class = match self.base.is_empty() {
            true => largest_of_voted(votes, scores),
            false => position_of_largest(scores),
        };
        self.transform.apply(scores);
        class
    }

    /// Two classes, as onnxruntime treats them: the second class alone decides, and a row
    /// for which no leaf voted for the second class has one score.
    fn classify_two(&self, [first, second]: [Score<f64>; 2], scores: &mut [f64]) -> usize {
        let mut score = [first.value, second.value];
        let mut has_second = second.any;
        let mut is_pair = has_second;
        match *self.base {
            [_, base] if has_second => {
                score[1] = base + score[0];
                score[0] = -score[1];
            }
            // The second score is not used, but there are two.
            [base, _] => {
                score[0] += base;
                score[1] = 0.0;
                (has_second, is_pair) = (false, true);
            }
            [base] => score[0] += base,
            _ => {}
        }
        let deciding = if has_second { score[1] } else { score[0] };
        let class = usize::from(deciding > self.binary.unwrap_or(0.0));
        if is_pair {
            scores.copy_from_slice(&score);
            self.transform.apply(scores);
        } else {
            let pair = if self.binary == Some(0.5) {
                Pair::Complement
            } else {
                Pair::Negation
            };
            scores.copy_from_slice(&pair.of(score[0], self.transform));
        }
        class
    }
}

/// The class with the largest score among those for which a leaf voted.
fn largest_of_voted(votes: &[Score<f64>], scores: &[f64]) -> usize {
    let mut best: Option<usize> = None;
    for at in (0..scores.len()).filter(|at| votes[*at].any) {
        if best.is_none_or(|best| scores[at] > scores[best]) {
            best = Some(at);
        }
    }
    best.unwrap_or(0)
}

impl Kernel for Classifier {
    fn name(&self) -> &'static str {
        "TreeEnsembleClassifier"
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        let (rows, columns) = inputs[0].rows_and_columns()?;
        self.trees.check_columns(&columns)?;
        Ok(vec![
            Form::new(self.labels.datum_type(), [rows.clone()]),
            Form::new(f32::datum_type(), [rows, self.classes.to_dim()]),
        ])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let classes = self.classes;
        let (rows, _) = rows_and_columns(&inputs[0])?;
        let mut chosen = Vec::with_capacity(rows);
        let mut all = Vec::with_capacity(rows * classes);
        let mut scores = vec![0.0; classes];
        self.trees
            .for_each_row(&inputs[0], Aggregate::Sum, classes, |votes| {
                chosen.push(self.classify(votes, &mut scores));
                all.extend(scores.iter().map(|score| *score as f32));
            })?;
        Ok(vec![
            self.labels.of(&chosen)?,
            tensor(&[rows, classes], all)?,
        ])
    }
}

#[derive(Debug)]
struct Regressor {
    trees: Trees,
    targets: usize,
    base: Vec<f64>,
    transform: PostTransform,
    aggregate: Aggregate,
    /// `TreeEnsemble` returns the type of its input, `TreeEnsembleRegressor` floats.
    keeps_type: bool,
}

impl Kernel for Regressor {
    fn name(&self) -> &'static str {
        if self.keeps_type {
            "TreeEnsemble"
        } else {
            "TreeEnsembleRegressor"
        }
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        let (rows, columns) = inputs[0].rows_and_columns()?;
        self.trees.check_columns(&columns)?;
        let kind = if self.keeps_type {
            inputs[0].datum_type
        } else {
            f32::datum_type()
        };
        Ok(vec![Form::new(kind, [rows, self.targets.to_dim()])])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let (rows, _) = rows_and_columns(&inputs[0])?;
        let divisor = match self.aggregate {
            Aggregate::Average => self.trees.count() as f64,
            _ => 1.0,
        };
        let mut all = Vec::with_capacity(rows * self.targets);
        self.trees
            .for_each_row(&inputs[0], self.aggregate, self.targets, |votes| {
                let start = all.len();
                for (at, vote) in votes.iter().enumerate() {
                    // Like onnxruntime: among several targets, one without a vote has no base value.
                    let has_base = vote.any || self.targets == 1;
                    let base = self.base.get(at).copied().filter(|_| has_base);
                    all.push(vote.value / divisor + base.unwrap_or(0.0));
                }
                match &mut all[start..] {
                    [one] => *one = self.transform.apply_to_one(*one),
                    row => self.transform.apply(row),
                }
            })?;
        let scores = tensor(&[rows, self.targets], all)?;
        let kind = if self.keeps_type {
            inputs[0].datum_type()
        } else {
            f32::datum_type()
        };
        Ok(vec![scores.cast_to_dt(kind)?.into_owned()])
    }
}
