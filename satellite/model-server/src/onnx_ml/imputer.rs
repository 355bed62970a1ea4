//! `Imputer`: replaces one value, usually NaN, by another for each column.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::kernel::{Built, Form, Kernel, build};
use super::values::{floats, ints, slice, tensor};

pub(super) fn imputer(_context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let (floats, ints) = (
        floats(node, "imputed_value_floats")?,
        ints(node, "imputed_value_int64s")?,
    );
    let one = floats.is_empty() != ints.is_empty();
    node.expect(one, "either imputed_value_floats or imputed_value_int64s")?;
    let float = node.get_attr_opt("replaced_value_float")?.unwrap_or(0.0);
    let int = node.get_attr_opt("replaced_value_int64")?.unwrap_or(0);
    build(
        node,
        Imputer {
            floats: (float, floats),
            ints: (int, ints),
        },
    )
}

/// The value to replace, and its replacements, for either sort of number.
#[derive(Debug)]
struct Imputer {
    floats: (f32, Vec<f32>),
    ints: (i64, Vec<i64>),
}

impl Imputer {
    fn check(&self, kind: DatumType, columns: &TDim) -> TractResult<()> {
        let count = if kind.is_float() {
            self.floats.1.len()
        } else {
            self.ints.1.len()
        };
        let name = if kind.is_float() {
            "imputed_value_floats"
        } else {
            "imputed_value_int64s"
        };
        ensure!(
            count > 0,
            "the input has the type {kind:?}, but {name} is not set"
        );
        match columns.to_usize() {
            Ok(columns) if count != 1 && count != columns => {
                bail!("{name} has {count} values, the input has {columns} columns")
            }
            _ => Ok(()),
        }
    }
}

impl Kernel for Imputer {
    fn name(&self) -> &'static str {
        "Imputer"
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        let one = 1.to_dim();
        self.check(inputs[0].datum_type, inputs[0].shape.last().unwrap_or(&one))?;
        Ok(vec![inputs[0].clone()])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let (kind, shape) = (inputs[0].datum_type(), inputs[0].shape());
        let columns = shape.last().copied().unwrap_or(1);
        self.check(kind, &columns.to_dim())?;
        let imputed = if kind.is_float() {
            let (replaced, values) = &self.floats;
            let (replaced, values) = (
                f64::from(*replaced),
                values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>(),
            );
            let is_replaced = |v: f64| v == replaced || (v.is_nan() && replaced.is_nan());
            impute(&*inputs[0].cast_to::<f64>()?, columns, &values, is_replaced)?
        } else {
            let (replaced, values) = &self.ints;
            impute(&*inputs[0].cast_to::<i64>()?, columns, values, |v| {
                v == *replaced
            })?
        };
        Ok(vec![imputed.cast_to_dt(kind)?.into_owned()])
    }
}

fn impute<T: Datum + Copy>(
    input: &Tensor,
    columns: usize,
    values: &[T],
    is_replaced: impl Fn(T) -> bool,
) -> TractResult<Tensor> {
    let one = |(index, value): (usize, &T)| match values {
        _ if !is_replaced(*value) => *value,
        [all] => *all,
        each => each[index % columns],
    };
    tensor(
        input.shape(),
        slice::<T>(input)?.iter().enumerate().map(one).collect(),
    )
}
