//! Access to attributes and to the elements of tensors.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::prelude::tract_ndarray::{ArrayD, IxDyn};
use tract_onnx::tract_hir::internal::*;

/// The elements of a tensor in row-major order.
pub(super) fn slice<T: Datum>(tensor: &Tensor) -> TractResult<&[T]> {
    tensor.try_as_plain_ram()?.as_slice::<T>()
}

/// A tensor from its elements in row-major order.
pub(super) fn tensor<T: Datum>(shape: &[usize], elements: Vec<T>) -> TractResult<Tensor> {
    Ok(ArrayD::from_shape_vec(IxDyn(shape), elements)?.into_tensor())
}

/// The number of rows and of columns; a vector is one row.
pub(super) fn rows_and_columns(tensor: &Tensor) -> TractResult<(usize, usize)> {
    match tensor.shape() {
        [columns] => Ok((1, *columns)),
        [rows, columns] => Ok((*rows, *columns)),
        other => bail!("expected an input of rank 1 or 2, got the shape {other:?}"),
    }
}

/// A list of floats; empty when the node does not have the attribute.
pub(super) fn floats(node: &NodeProto, name: &str) -> TractResult<Vec<f32>> {
    Ok(node.get_attr_opt_vec(name)?.unwrap_or_default())
}

/// A list of integers; empty when the node does not have the attribute.
pub(super) fn ints(node: &NodeProto, name: &str) -> TractResult<Vec<i64>> {
    Ok(node.get_attr_opt_vec(name)?.unwrap_or_default())
}

/// A list of strings; empty when the node does not have the attribute.
pub(super) fn strings(node: &NodeProto, name: &str) -> TractResult<Vec<String>> {
    Ok(node.get_attr_opt_vec(name)?.unwrap_or_default())
}

/// A flag, 0 or 1.
pub(super) fn flag(node: &NodeProto, name: &str, default: bool) -> TractResult<bool> {
    Ok(node
        .get_attr_opt::<i64>(name)?
        .map_or(default, |value| value != 0))
}

/// A tensor.
pub(super) fn attribute_tensor(
    context: &ParsingContext<'_>,
    node: &NodeProto,
    name: &str,
) -> TractResult<Option<Tensor>> {
    node.get_attr_opt::<&TensorProto>(name)?
        .map(|proto| context.load_tensor(proto))
        .transpose()
}

/// A list of indices, none of them negative.
pub(super) fn indices(node: &NodeProto, name: &str) -> TractResult<Vec<usize>> {
    let convert = |value: i64| {
        usize::try_from(value).map_err(|_| format_err!("{name} has the negative value {value}"))
    };
    ints(node, name)?.into_iter().map(convert).collect()
}
