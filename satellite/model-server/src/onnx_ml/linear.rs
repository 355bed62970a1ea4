//! `LinearClassifier` and `LinearRegressor`.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::kernel::{Built, Form, Kernel, build};
use super::labels::Labels;
use super::scores::{Pair, PostTransform, position_of_largest, reject_probit_of_one_score};
use super::values::{floats, rows_and_columns, slice, tensor};

pub(super) fn regressor(_context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let targets: usize = node.get_attr_opt("targets")?.unwrap_or(1);
    let map = Map::parse(node, targets)?;
    build(
        node,
        Regressor {
            map,
            transform: PostTransform::parse(node)?,
        },
    )
}

pub(super) fn classifier(_context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let labels = Labels::parse(node, "classlabels_ints", "classlabels_strings")?;
    let intercepts = floats(node, "intercepts")?.len();
    // Without intercepts nothing but the labels tells the number of scores.
    let map = Map::parse(
        node,
        if intercepts > 0 {
            intercepts
        } else {
            labels.len()
        },
    )?;
    let transform = PostTransform::parse(node)?;
    let is_pair = map.outputs == 1 && labels.len() == 2;
    if is_pair {
        reject_probit_of_one_score(node, transform)?;
    }
    let labels = if map.outputs == 1 {
        labels.or_zero_and_one()
    } else {
        labels
    };
    node.expect(labels.len() >= map.outputs, "a label for each score")?;
    build(
        node,
        Classifier {
            map,
            labels,
            transform,
            is_pair,
        },
    )
}

/// A linear map with an offset.
#[derive(Debug)]
pub(super) struct Map {
    /// One row of coefficients for each output.
    coefficients: Vec<f32>,
    /// Empty for none; one value may serve all outputs.
    intercepts: Vec<f32>,
    pub(super) outputs: usize,
    columns: usize,
}

impl Map {
    fn parse(node: &NodeProto, outputs: usize) -> TractResult<Map> {
        Map::new(
            node,
            floats(node, "coefficients")?,
            floats(node, "intercepts")?,
            outputs,
        )
    }

    pub(super) fn new(
        node: &NodeProto,
        coefficients: Vec<f32>,
        intercepts: Vec<f32>,
        outputs: usize,
    ) -> TractResult<Map> {
        node.expect(
            outputs > 0 && !coefficients.is_empty(),
            "coefficients of at least one output",
        )?;
        let columns = coefficients.len() / outputs;
        node.expect(
            columns * outputs == coefficients.len(),
            "as many coefficients for each output",
        )?;
        let matches = [0, 1, outputs].contains(&intercepts.len());
        node.expect(matches, "one intercept for each output")?;
        Ok(Map {
            coefficients,
            intercepts,
            outputs,
            columns,
        })
    }

    /// Rejects, when the model is loaded, an input with another number of columns.
    pub(super) fn check_columns(&self, columns: &TDim) -> TractResult<()> {
        let expected = self.columns;
        match columns.to_usize() {
            Ok(columns) if columns != expected => {
                bail!("there are coefficients for {expected} columns, the input has {columns}")
            }
            _ => Ok(()),
        }
    }

    /// Calls `row` with the outputs for each row.
    pub(super) fn for_each_row(
        &self,
        input: &Tensor,
        mut row: impl FnMut(&mut [f64]),
    ) -> TractResult<()> {
        let (_, columns) = rows_and_columns(input)?;
        self.check_columns(&columns.to_dim())?;
        let input = input.cast_to::<f32>()?;
        let mut outputs = vec![0.0; self.outputs];
        for features in slice::<f32>(&input)?.chunks_exact(self.columns) {
            let all = self.coefficients.chunks_exact(self.columns).enumerate();
            for (output, (at, coefficients)) in outputs.iter_mut().zip(all) {
                let intercept = match &*self.intercepts {
                    [] => 0.0,
                    [one] => *one,
                    many => many[at],
                };
                *output = f64::from(intercept) + dot(features, coefficients);
            }
            row(&mut outputs);
        }
        Ok(())
    }
}

pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

#[derive(Debug)]
struct Regressor {
    map: Map,
    transform: PostTransform,
}

impl Kernel for Regressor {
    fn name(&self) -> &'static str {
        "LinearRegressor"
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        let (rows, columns) = inputs[0].rows_and_columns()?;
        self.map.check_columns(&columns)?;
        Ok(vec![Form::new(
            f32::datum_type(),
            [rows, self.map.outputs.to_dim()],
        )])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let (rows, _) = rows_and_columns(&inputs[0])?;
        let mut all = Vec::with_capacity(rows * self.map.outputs);
        self.map.for_each_row(&inputs[0], |row| {
            if let [one] = row {
                *one = self.transform.apply_to_one(*one);
            } else {
                self.transform.apply(row);
            }
            all.extend(row.iter().map(|value| *value as f32));
        })?;
        Ok(vec![tensor(&[rows, self.map.outputs], all)?])
    }
}

#[derive(Debug)]
struct Classifier {
    map: Map,
    labels: Labels,
    transform: PostTransform,
    /// One score for two classes.
    is_pair: bool,
}

impl Classifier {
    fn scores(&self) -> usize {
        if self.is_pair { 2 } else { self.map.outputs }
    }
}

impl Kernel for Classifier {
    fn name(&self) -> &'static str {
        "LinearClassifier"
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        let (rows, columns) = inputs[0].rows_and_columns()?;
        self.map.check_columns(&columns)?;
        Ok(vec![
            Form::new(self.labels.datum_type(), [rows.clone()]),
            Form::new(f32::datum_type(), [rows, self.scores().to_dim()]),
        ])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let (rows, _) = rows_and_columns(&inputs[0])?;
        let mut chosen = Vec::with_capacity(rows);
        let mut all = Vec::with_capacity(rows * self.scores());
        self.map.for_each_row(&inputs[0], |row| {
            // The raw scores decide.
            if let [score] = row {
                chosen.push(usize::from(*score > 0.0));
                if self.is_pair {
                    let pair = Pair::Complement.of(*score, self.transform);
                    all.extend(pair.map(|score| score as f32));
                } else {
                    all.push(self.transform.apply_to_one(*score) as f32);
                }
                return;
            }
            chosen.push(position_of_largest(row));
            self.transform.apply(row);
            all.extend(row.iter().map(|score| *score as f32));
        })?;
        Ok(vec![
            self.labels.of(&chosen)?,
            tensor(&[rows, self.scores()], all)?,
        ])
    }
}
