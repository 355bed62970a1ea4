//! Functions of single elements that tract lacks for doubles. Models of scikit-learn that take
//! doubles have them.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_hir::tract_core::ops::math::{is_inf, is_nan, round_half_to_even};
use tract_onnx::tract_hir::tract_core::ops::nn::sigmoid as tract_sigmoid;

use super::kernel::{Built, Form, Kernel, wire};
use super::scores::logistic;
use super::values::{flag, slice, tensor};

pub(super) fn sigmoid(_context: &ParsingContext<'_>, _node: &NodeProto) -> Built {
    Ok((expand(Function::Sigmoid), vec![]))
}

pub(super) fn round(_context: &ParsingContext<'_>, _node: &NodeProto) -> Built {
    Ok((expand(Function::Round), vec![]))
}

pub(super) fn is_not_a_number(_context: &ParsingContext<'_>, _node: &NodeProto) -> Built {
    Ok((expand(Function::IsNaN), vec![]))
}

pub(super) fn is_infinite(_context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let function = Function::IsInf {
        positive: flag(node, "detect_positive", true)?,
        negative: flag(node, "detect_negative", true)?,
    };
    Ok((expand(function), vec![]))
}

#[derive(Clone, Debug)]
enum Function {
    Sigmoid,
    /// Halves go to the even neighbour.
    Round,
    IsNaN,
    IsInf {
        positive: bool,
        negative: bool,
    },
}

impl Function {
    /// The operator for all other types.
    fn of_tract(&self) -> ElementWiseOp {
        match *self {
            Function::Sigmoid => tract_sigmoid(),
            Function::Round => round_half_to_even(),
            Function::IsNaN => is_nan(),
            Function::IsInf { positive, negative } => is_inf(positive, negative),
        }
    }

    fn is_test(&self) -> bool {
        matches!(self, Function::IsNaN | Function::IsInf { .. })
    }
}

impl Expansion for Function {
    fn name(&self) -> StaticName {
        Kernel::name(self).into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        match self.is_test() {
            true => s.equals(&outputs[0].datum_type, bool::datum_type())?,
            false => s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?,
        }
        s.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        if model.outlet_fact(inputs[0])?.datum_type == f64::datum_type() {
            return wire(prefix, model, inputs, self.clone());
        }
        model.wire_node(prefix, self.of_tract(), inputs)
    }
}

/// The function of doubles.
impl Kernel for Function {
    fn name(&self) -> &'static str {
        match self {
            Function::Sigmoid => "Sigmoid",
            Function::Round => "Round",
            Function::IsNaN => "IsNaN",
            Function::IsInf { .. } => "IsInf",
        }
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        let mut form = inputs[0].clone();
        if self.is_test() {
            form.datum_type = bool::datum_type();
        }
        Ok(vec![form])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let (shape, values) = (inputs[0].shape(), slice::<f64>(&inputs[0])?.iter());
        let made = match *self {
            Function::Sigmoid => tensor(shape, values.map(|value| logistic(*value)).collect()),
            Function::Round => tensor(shape, values.map(|v| v.round_ties_even()).collect()),
            Function::IsNaN => tensor(shape, values.map(|value| value.is_nan()).collect()),
            Function::IsInf { positive, negative } => {
                let is_found = |v: &f64| {
                    (positive && *v == f64::INFINITY) || (negative && *v == -f64::INFINITY)
                };
                tensor(shape, values.map(is_found).collect())
            }
        };
        Ok(vec![made?])
    }
}
