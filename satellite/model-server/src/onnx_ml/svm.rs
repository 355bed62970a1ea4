//! `SVMClassifier` and `SVMRegressor`: support vectors with a kernel function, or a linear map.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::kernel::{Built, Form, Kernel, build};
use super::labels::Labels;
use super::linear::{Map, dot};
use super::scores::{Pair, PostTransform, position_of_largest, reject_probit_of_one_score};
use super::svm_probability::{coupled, pairwise};
use super::values::{flag, floats, indices, rows_and_columns, slice, tensor};

pub(super) fn regressor(_context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    // onnxruntime does not apply the transform to the one score.
    PostTransform::parse(node)?;
    let count: usize = node.get_attr_opt("n_supports")?.unwrap_or(0);
    let coefficients = floats(node, "coefficients")?;
    let rho = floats(node, "rho")?;
    node.expect(!rho.is_empty(), "rho")?;
    let machine = if count == 0 {
        Machine::Linear(Map::new(node, coefficients, rho, 1)?)
    } else {
        node.expect(
            coefficients.len() >= count,
            "a coefficient for each support vector",
        )?;
        Machine::Vectors {
            vectors: Vectors::parse(node, count)?,
            coefficients,
            rho,
        }
    };
    build(
        node,
        Regressor {
            machine,
            one_class: flag(node, "one_class", false)?,
        },
    )
}

pub(super) fn classifier(_context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let labels = Labels::parse(node, "classlabels_ints", "classlabels_strings")?;
    let classes = labels.len();
    node.expect(classes > 0, "the labels of the classes")?;
    let transform = PostTransform::parse(node)?;
    let coefficients = floats(node, "coefficients")?;
    let rho = floats(node, "rho")?;
    let per_class = indices(node, "vectors_per_class")?;
    let count: usize = per_class.iter().sum();
    if count == 0 {
        let second_from = match coefficients.iter().all(|c| *c >= 0.0) {
            _ if classes != 2 || rho.len() != 1 => f64::INFINITY,
            true => 0.5,
            false => f64::MIN_POSITIVE,
        };
        let machine = Machine::Linear(Map::new(node, coefficients, rho, classes)?);
        return build(
            node,
            Classifier {
                machine,
                labels,
                per_class,
                probabilities: None,
                transform,
                second_from,
            },
        );
    }

    let pairs = classes * (classes - 1) / 2;
    node.expect(
        classes >= 2 && per_class.len() == classes,
        "support vectors of each class",
    )?;
    let complete = coefficients.len() >= (classes - 1) * count;
    node.expect(
        complete,
        "a coefficient of each support vector for each other class",
    )?;
    node.expect(rho.len() >= pairs, "rho for each pair of classes")?;
    let (a, b) = (floats(node, "prob_a")?, floats(node, "prob_b")?);
    let matches = a.len() == b.len() && (a.is_empty() || a.len() >= pairs);
    node.expect(matches, "prob_a and prob_b for each pair of classes")?;
    let probabilities = (!a.is_empty()).then(|| a.into_iter().zip(b).collect());
    if classes == 2 && probabilities.is_none() {
        reject_probit_of_one_score(node, transform)?;
    }
    let machine = Machine::Vectors {
        vectors: Vectors::parse(node, count)?,
        coefficients,
        rho,
    };
    let second_from = f64::INFINITY;
    build(
        node,
        Classifier {
            machine,
            labels,
            per_class,
            probabilities,
            transform,
            second_from,
        },
    )
}

#[derive(Debug)]
enum Machine {
    Linear(Map),
    Vectors {
        vectors: Vectors,
        coefficients: Vec<f32>,
        rho: Vec<f32>,
    },
}

impl Machine {
    fn check_columns(&self, columns: &TDim) -> TractResult<()> {
        match self {
            Machine::Linear(map) => map.check_columns(columns),
            Machine::Vectors { vectors, .. } => vectors.check_columns(columns),
        }
    }
}

/// The support vectors and the function that compares a row with them.
#[derive(Debug)]
struct Vectors {
    elements: Vec<f32>,
    columns: usize,
    function: Function,
    gamma: f64,
    coef0: f64,
    degree: f64,
}

#[derive(Clone, Copy, Debug)]
enum Function {
    Linear,
    Polynomial,
    Radial,
    Sigmoid,
}

impl Vectors {
    fn parse(node: &NodeProto, count: usize) -> TractResult<Vectors> {
        let elements = floats(node, "support_vectors")?;
        let columns = elements.len() / count;
        let whole = columns > 0 && columns * count == elements.len();
        node.expect(whole, "support vectors of one length")?;
        let function = match node
            .get_attr_opt::<&str>("kernel_type")?
            .unwrap_or("LINEAR")
        {
            "LINEAR" => Function::Linear,
            "POLY" => Function::Polynomial,
            "RBF" => Function::Radial,
            "SIGMOID" => Function::Sigmoid,
            other => bail!("kernel_type is {other:?}, which ONNX does not define"),
        };
        let (gamma, coef0, degree) = match *floats(node, "kernel_params")? {
            [] => (0.0, 0.0, 0.0),
            [gamma, coef0, degree] => (gamma.into(), coef0.into(), degree.into()),
            _ => bail!("kernel_params must be gamma, coef0 and degree"),
        };
        Ok(Vectors {
            elements,
            columns,
            function,
            gamma,
            coef0,
            degree,
        })
    }

    fn check_columns(&self, columns: &TDim) -> TractResult<()> {
        let expected = self.columns;
        match columns.to_usize() {
            Ok(columns) if columns != expected => {
                bail!("the support vectors have {expected} columns, the input has {columns}")
            }
            _ => Ok(()),
        }
    }

    /// Calls `row` with the values of the function, one for each support vector.
    fn for_each_row(&self, input: &Tensor, mut row: impl FnMut(&[f64])) -> TractResult<()> {
        let (_, columns) = rows_and_columns(input)?;
        self.check_columns(&columns.to_dim())?;
        let input = input.cast_to::<f32>()?;
        let mut values = Vec::new();
        for features in slice::<f32>(&input)?.chunks_exact(self.columns) {
            values.clear();
            let vectors = self.elements.chunks_exact(self.columns);
            values.extend(vectors.map(|vector| self.compare(features, vector)));
            row(&values);
        }
        Ok(())
    }

    fn compare(&self, features: &[f32], vector: &[f32]) -> f64 {
        match self.function {
            Function::Linear => dot(features, vector),
            Function::Polynomial => {
                (self.gamma * dot(features, vector) + self.coef0).powf(self.degree)
            }
            Function::Sigmoid => (self.gamma * dot(features, vector) + self.coef0).tanh(),
            Function::Radial => {
                let squares = features
                    .iter()
                    .zip(vector)
                    .map(|(a, b)| f64::from(a - b).powi(2));
                (-self.gamma * squares.sum::<f64>()).exp()
            }
        }
    }
}

#[derive(Debug)]
struct Regressor {
    machine: Machine,
    one_class: bool,
}

impl Kernel for Regressor {
    fn name(&self) -> &'static str {
        "SVMRegressor"
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        let (rows, columns) = inputs[0].rows_and_columns()?;
        self.machine.check_columns(&columns)?;
        Ok(vec![Form::new(f32::datum_type(), [rows, 1.to_dim()])])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let mut all = Vec::new();
        let mut push = |score: f64| {
            let side = if score > 0.0 { 1.0 } else { -1.0 };
            all.push(if self.one_class { side } else { score as f32 });
        };
        match &self.machine {
            Machine::Linear(map) => map.for_each_row(&inputs[0], |row| push(row[0]))?,
            Machine::Vectors {
                vectors,
                coefficients,
                rho,
            } => {
                vectors.for_each_row(&inputs[0], |values| {
                    push(f64::from(rho[0]) + weighted(coefficients, values));
                })?;
            }
        }
        Ok(vec![tensor(&[all.len(), 1], all)?])
    }
}

fn weighted(coefficients: &[f32], values: &[f64]) -> f64 {
    coefficients
        .iter()
        .zip(values)
        .map(|(c, v)| f64::from(*c) * v)
        .sum()
}

#[derive(Debug)]
struct Classifier {
    machine: Machine,
    labels: Labels,
    /// How many of the support vectors belong to each class; empty for a linear map.
    per_class: Vec<usize>,
    /// The sigmoid that makes a probability of each pair's score.
    probabilities: Option<Vec<(f32, f32)>>,
    transform: PostTransform,
    /// For a linear map and two classes: like onnxruntime, the second wins if the largest
    /// score is at least this, whichever it is.
    second_from: f64,
}

impl Classifier {
    fn scores(&self) -> usize {
        let classes = self.labels.len();
        match (&self.machine, &self.probabilities) {
            (Machine::Vectors { .. }, None) => (classes * (classes - 1) / 2).max(2),
            _ => classes,
        }
    }

    /// The score of each pair of classes; above zero the first of them has the vote.
    fn pair_scores(&self, coefficients: &[f32], rho: &[f32], values: &[f64]) -> Vec<f64> {
        let classes = self.per_class.len();
        let starts: Vec<usize> = self
            .per_class
            .iter()
            .scan(0, |start, count| {
                Some(std::mem::replace(start, *start + count))
            })
            .collect();
        let side = |class: usize, row: usize| {
            let range = starts[class]..starts[class] + self.per_class[class];
            weighted(
                &coefficients[row * values.len()..][range.clone()],
                &values[range],
            )
        };
        let mut scores = Vec::new();
        for first in 0..classes {
            for second in first + 1..classes {
                let rho = f64::from(rho[scores.len()]);
                scores.push(rho + side(first, second - 1) + side(second, first));
            }
        }
        scores
    }

    /// The class with the most votes, and the scores.
    fn classify(&self, pairs: Vec<f64>) -> (usize, Vec<f64>) {
        let classes = self.labels.len();
        let mut votes = vec![0.0; classes];
        let of_pairs = (0..classes).flat_map(|a| (a + 1..classes).map(move |b| (a, b)));
        for ((first, second), score) in of_pairs.zip(&pairs) {
            votes[if *score > 0.0 { first } else { second }] += 1.0;
        }
        let class = position_of_largest(&votes);
        let mut scores = match &self.probabilities {
            Some(sigmoids) => coupled(classes, &pairwise(&pairs, sigmoids)),
            None => pairs,
        };
        if let [score] = *scores {
            let pair = match self.transform {
                PostTransform::None | PostTransform::Logistic => Pair::Negation,
                _ => Pair::Complement,
            };
            return (class, pair.of(score, self.transform).to_vec());
        }
        self.transform.apply(&mut scores);
        (class, scores)
    }
}

impl Kernel for Classifier {
    fn name(&self) -> &'static str {
        "SVMClassifier"
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        let (rows, columns) = inputs[0].rows_and_columns()?;
        self.machine.check_columns(&columns)?;
        Ok(vec![
            Form::new(self.labels.datum_type(), [rows.clone()]),
            Form::new(f32::datum_type(), [rows, self.scores().to_dim()]),
        ])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let mut chosen = Vec::new();
        let mut all = Vec::new();
        let mut push = |class: usize, scores: &[f64]| {
            chosen.push(class);
            all.extend(scores.iter().map(|score| *score as f32));
        };
        match &self.machine {
            Machine::Linear(map) => map.for_each_row(&inputs[0], |row| {
                let largest = position_of_largest(row);
                let class = if row[largest] >= self.second_from {
                    1
                } else {
                    largest
                };
                self.transform.apply(row);
                push(class, row);
            })?,
            Machine::Vectors {
                vectors,
                coefficients,
                rho,
            } => {
                vectors.for_each_row(&inputs[0], |values| {
                    let (class, scores) =
                        self.classify(self.pair_scores(coefficients, rho, values));
                    push(class, &scores);
                })?;
            }
        }
        let rows = chosen.len();
        Ok(vec![
            self.labels.of(&chosen)?,
            tensor(&[rows, self.scores()], all)?,
        ])
    }
}
