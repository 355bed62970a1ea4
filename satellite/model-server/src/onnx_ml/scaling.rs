//! `Scaler`, `Normalizer` and `Binarizer`: numbers to numbers of the same shape.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::kernel::{Built, Form, Kernel, build};
use super::values::{floats, slice, tensor};

pub(super) fn scaler(_context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let (offset, scale) = (floats(node, "offset")?, floats(node, "scale")?);
    node.expect(!offset.is_empty() && !scale.is_empty(), "offset and scale")?;
    build(node, Scaler { offset, scale })
}

pub(super) fn normalizer(_context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let norm = match node.get_attr_opt::<&str>("norm")?.unwrap_or("MAX") {
        "MAX" => Norm::Max,
        "L1" => Norm::Sum,
        "L2" => Norm::Euclidean,
        other => bail!("norm is {other:?}, which ONNX does not define"),
    };
    build(node, Normalizer { norm })
}

pub(super) fn binarizer(_context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    build(
        node,
        Binarizer {
            threshold: node.get_attr_opt("threshold")?.unwrap_or(0.0),
        },
    )
}

#[derive(Debug)]
struct Scaler {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

impl Scaler {
    fn check(&self, columns: &TDim) -> TractResult<()> {
        let Ok(columns) = columns.to_usize() else {
            return Ok(());
        };
        for (name, list) in [("offset", &self.offset), ("scale", &self.scale)] {
            let len = list.len();
            ensure!(
                len == 1 || len == columns,
                "{name} has {len} values, the input has {columns} columns"
            );
        }
        Ok(())
    }
}

impl Kernel for Scaler {
    fn name(&self) -> &'static str {
        "Scaler"
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        if let Some(columns) = inputs[0].shape.last() {
            self.check(columns)?;
        }
        Ok(vec![Form::new(
            f32::datum_type(),
            inputs[0].shape.iter().cloned(),
        )])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let shape = inputs[0].shape();
        let columns = shape.last().copied().unwrap_or(1);
        self.check(&columns.to_dim())?;
        let at = |list: &[f32], column: usize| {
            if list.len() == 1 {
                list[0]
            } else {
                list[column]
            }
        };
        let input = inputs[0].cast_to::<f32>()?;
        let scaled = slice::<f32>(&input)?
            .iter()
            .enumerate()
            .map(|(index, value)| {
                let column = index % columns;
                (value - at(&self.offset, column)) * at(&self.scale, column)
            });
        Ok(vec![tensor(shape, scaled.collect())?])
    }
}

#[derive(Clone, Copy, Debug)]
enum Norm {
    Max,
    Sum,
    Euclidean,
}

impl Norm {
    /// What a row is divided by; zero leaves it as it is. Like onnxruntime, `MAX` is the
    /// largest value, not the largest magnitude.
    fn of(self, row: &[f32]) -> f64 {
        let wide = row.iter().map(|value| f64::from(*value));
        match self {
            Norm::Max => wide.fold(f64::NEG_INFINITY, f64::max),
            Norm::Sum => wide.map(f64::abs).sum(),
            Norm::Euclidean => wide.map(|value| value * value).sum::<f64>().sqrt(),
        }
    }
}

#[derive(Debug)]
struct Normalizer {
    norm: Norm,
}

impl Kernel for Normalizer {
    fn name(&self) -> &'static str {
        "Normalizer"
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        inputs[0].rows_and_columns()?;
        Ok(vec![Form::new(
            f32::datum_type(),
            inputs[0].shape.iter().cloned(),
        )])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let shape = inputs[0].shape();
        let columns = shape.last().copied().unwrap_or(1).max(1);
        let input = inputs[0].cast_to::<f32>()?;
        let mut all = Vec::with_capacity(input.len());
        for row in slice::<f32>(&input)?.chunks_exact(columns) {
            let norm = self.norm.of(row);
            let divisor = if norm == 0.0 { 1.0 } else { norm };
            all.extend(row.iter().map(|value| (f64::from(*value) / divisor) as f32));
        }
        Ok(vec![tensor(shape, all)?])
    }
}

#[derive(Debug)]
struct Binarizer {
    threshold: f32,
}

impl Kernel for Binarizer {
    fn name(&self) -> &'static str {
        "Binarizer"
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        Ok(vec![inputs[0].clone()])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let input = inputs[0].cast_to::<f64>()?;
        let threshold = f64::from(self.threshold);
        let sides = slice::<f64>(&input)?
            .iter()
            .map(|value| f64::from(u8::from(*value > threshold)));
        let sides = tensor(inputs[0].shape(), sides.collect())?;
        Ok(vec![sides.cast_to_dt(inputs[0].datum_type())?.into_owned()])
    }
}
