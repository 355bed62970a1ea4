//! `Sigmoid` of the standard domain, also for doubles, which tract does not have. The
//! converter of scikit-learn models writes it for inputs of doubles.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_core::ops::nn::sigmoid as tract_sigmoid;

use super::kernel::{Built, Form, Kernel, wire};
use super::scores::logistic;
use super::values::{slice, tensor};

pub(super) fn sigmoid(_context: &ParsingContext<'_>, _node: &NodeProto) -> Built {
    Ok((expand(Sigmoid), vec![]))
}

#[derive(Clone, Debug)]
struct Sigmoid;

impl Expansion for Sigmoid {
    fn name(&self) -> StaticName {
        "Sigmoid".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        if model.outlet_fact(inputs[0])?.datum_type == f64::datum_type() {
            return wire(prefix, model, inputs, OfDoubles);
        }
        model.wire_node(prefix, tract_sigmoid(), inputs)
    }
}

#[derive(Debug)]
struct OfDoubles;

impl Kernel for OfDoubles {
    fn name(&self) -> &'static str {
        "Sigmoid"
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        Ok(vec![inputs[0].clone()])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let all = slice::<f64>(&inputs[0])?
            .iter()
            .map(|value| logistic(*value))
            .collect();
        Ok(vec![tensor(inputs[0].shape(), all)?])
    }
}
