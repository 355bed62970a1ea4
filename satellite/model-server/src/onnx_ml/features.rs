//! `ArrayFeatureExtractor` and `FeatureVectorizer`: columns chosen, and columns put together.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::kernel::{Built, Form, Kernel, build};
use super::values::{indices, rows_and_columns, slice, tensor};

pub(super) fn array_feature_extractor(_context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    build(node, ArrayFeatureExtractor)
}

pub(super) fn feature_vectorizer(_context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let widths = indices(node, "inputdimensions")?;
    node.expect(
        widths.len() == node.input.len(),
        "one of inputdimensions for each input",
    )?;
    build(node, FeatureVectorizer { widths })
}

#[derive(Debug)]
struct ArrayFeatureExtractor;

impl ArrayFeatureExtractor {
    fn extract<T: Datum>(input: &Tensor, columns: &[i64], shape: &[usize]) -> TractResult<Tensor> {
        let width = input.shape().last().copied().unwrap_or(1);
        let mut all = Vec::with_capacity(shape.iter().product());
        for column in columns {
            let exists = usize::try_from(*column).is_ok_and(|column| column < width);
            ensure!(exists, "there is no column {column}, the input has {width}");
        }
        if width > 0 {
            for row in slice::<T>(input)?.chunks_exact(width) {
                all.extend(columns.iter().map(|column| row[*column as usize].clone()));
            }
        }
        tensor(shape, all)
    }
}

impl Kernel for ArrayFeatureExtractor {
    fn name(&self) -> &'static str {
        "ArrayFeatureExtractor"
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        ensure!(
            inputs.len() == 2,
            "expected two inputs, got {}",
            inputs.len()
        );
        let count = inputs[1].shape.iter().product::<TDim>();
        let rank = inputs[0].shape.len();
        ensure!(rank > 0, "expected an input of rank 1 at least");
        // A vector is one row.
        let mut shape: TVec<TDim> = inputs[0].shape[..rank - 1].into();
        if rank == 1 {
            shape.push(1.to_dim());
        }
        shape.push(count);
        Ok(vec![Form::new(inputs[0].datum_type, shape)])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let columns = inputs[1].cast_to::<i64>()?;
        let columns = slice::<i64>(&columns)?;
        let mut shape = inputs[0].shape()[..inputs[0].rank().saturating_sub(1)].to_vec();
        if shape.is_empty() {
            shape.push(1);
        }
        shape.push(columns.len());
        let kind = inputs[0].datum_type();
        Ok(vec![dispatch_datum!(Self::extract(kind)(
            &inputs[0], columns, &shape
        ))?])
    }
}

#[derive(Debug)]
struct FeatureVectorizer {
    /// How many columns of the output each input fills: cut or filled up with zeros.
    widths: Vec<usize>,
}

impl Kernel for FeatureVectorizer {
    fn name(&self) -> &'static str {
        "FeatureVectorizer"
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        ensure!(!inputs.is_empty(), "expected at least one input");
        let (rows, _) = inputs[0].rows_and_columns()?;
        let width: usize = self.widths.iter().sum();
        Ok(vec![Form::new(f32::datum_type(), [rows, width.to_dim()])])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let (rows, _) = rows_and_columns(&inputs[0])?;
        let total: usize = self.widths.iter().sum();
        let mut all = vec![0.0f32; rows * total];
        let mut offset = 0;
        for (input, width) in inputs.iter().zip(&self.widths) {
            let (own_rows, columns) = rows_and_columns(input)?;
            ensure!(
                own_rows == rows,
                "the inputs have {rows} and {own_rows} rows"
            );
            let taken = columns.min(*width);
            let input = input.cast_to::<f32>()?;
            let input = slice::<f32>(&input)?;
            for row in 0..rows {
                all[row * total + offset..][..taken]
                    .copy_from_slice(&input[row * columns..][..taken]);
            }
            offset += width;
        }
        Ok(vec![tensor(&[rows, total], all)?])
    }
}
