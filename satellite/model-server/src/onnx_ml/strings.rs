//! `StringNormalizer` and `StringConcat` of the standard domain.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_core::broadcast::multi_broadcast;

use super::kernel::{Built, Form, Kernel, build};
use super::values::{slice, strings, tensor};

pub(super) fn normalizer(_context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    // The number of strings that remain would depend on the input.
    let stopwords = strings(node, "stopwords")?;
    node.expect(
        stopwords.is_empty(),
        "no stopwords, which are not supported",
    )?;
    let case = match node
        .get_attr_opt::<&str>("case_change_action")?
        .unwrap_or("NONE")
    {
        "NONE" => Case::Keep,
        "LOWER" => Case::Lower,
        "UPPER" => Case::Upper,
        other => bail!("case_change_action is {other:?}, which ONNX does not define"),
    };
    build(node, StringNormalizer { case })
}

pub(super) fn concat(_context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    build(node, StringConcat)
}

#[derive(Clone, Copy, Debug)]
enum Case {
    Keep,
    Lower,
    Upper,
}

#[derive(Debug)]
struct StringNormalizer {
    case: Case,
}

impl Kernel for StringNormalizer {
    fn name(&self) -> &'static str {
        "StringNormalizer"
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        Ok(vec![inputs[0].clone()])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let change = |text: &String| match self.case {
            Case::Keep => text.clone(),
            Case::Lower => text.to_lowercase(),
            Case::Upper => text.to_uppercase(),
        };
        let changed = slice::<String>(&inputs[0])?.iter().map(change).collect();
        Ok(vec![tensor(inputs[0].shape(), changed)?])
    }
}

#[derive(Debug)]
struct StringConcat;

impl Kernel for StringConcat {
    fn name(&self) -> &'static str {
        "StringConcat"
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        ensure!(
            inputs.len() == 2,
            "expected two inputs, got {}",
            inputs.len()
        );
        let shape = multi_broadcast(&[&inputs[0].shape, &inputs[1].shape])?;
        Ok(vec![Form::new(String::datum_type(), shape)])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let shape = multi_broadcast(&[inputs[0].shape(), inputs[1].shape()])?;
        let first = inputs[0].broadcast_to_shape(&shape)?;
        let second = inputs[1].broadcast_to_shape(&shape)?;
        let pairs = slice::<String>(&first)?
            .iter()
            .zip(slice::<String>(&second)?);
        Ok(vec![tensor(
            &shape,
            pairs.map(|(a, b)| format!("{a}{b}")).collect(),
        )?])
    }
}
