//! `Gemm`: `alpha * A * B + beta * C`. tract's takes only single floats: its factors are.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_hir::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_hir::tract_core::ops::math::{add, mul};

use super::kernel::Built;
use super::values::flag;

pub(super) fn gemm(_context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let gemm = Gemm {
        alpha: node.get_attr_opt("alpha")?.unwrap_or(1.0),
        beta: node.get_attr_opt("beta")?.unwrap_or(1.0),
        transpose_a: flag(node, "transA", false)?,
        transpose_b: flag(node, "transB", false)?,
    };
    Ok((expand(gemm), vec![]))
}

#[derive(Clone, Debug)]
struct Gemm {
    alpha: f32,
    beta: f32,
    transpose_a: bool,
    transpose_b: bool,
}

impl Gemm {
    /// Multiplies by a factor, in the type of the tensor.
    fn scale(
        name: &str,
        model: &mut TypedModel,
        wire: OutletId,
        factor: f32,
    ) -> TractResult<OutletId> {
        if factor == 1.0 {
            return Ok(wire);
        }
        let fact = model.outlet_fact(wire)?;
        let (kind, rank) = (fact.datum_type, fact.rank());
        let factor = tensor0(factor).cast_to_dt(kind)?.into_owned();
        let factor = factor.broadcast_into_rank(rank)?;
        let factor = model.add_const(format!("{name}.factor"), factor)?;
        Ok(model.wire_node(name, mul(), &[wire, factor])?[0])
    }
}

impl Expansion for Gemm {
    fn name(&self) -> StaticName {
        "Gemm".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        ensure!(
            [2, 3].contains(&inputs.len()),
            "expected 2 or 3 inputs, got {}",
            inputs.len()
        );
        check_output_arity(outputs, 1)?;
        for input in inputs {
            s.equals(&input.datum_type, &outputs[0].datum_type)?;
        }
        for matrix in [&inputs[0], &inputs[1], &outputs[0]] {
            s.equals(&matrix.rank, 2)?;
        }
        let (a, b) = (usize::from(self.transpose_a), usize::from(self.transpose_b));
        s.equals(&inputs[0].shape[a], &outputs[0].shape[0])?;
        s.equals(&inputs[0].shape[1 - a], &inputs[1].shape[b])?;
        s.equals(&inputs[1].shape[1 - b], &outputs[0].shape[1])
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let axes = AxesMapping::for_numpy_matmul(2, self.transpose_a, self.transpose_b, false)?;
        let product = EinSum::new(axes, model.outlet_fact(inputs[0])?.datum_type);
        let product = model.wire_node(format!("{prefix}.product"), product, &inputs[..2])?[0];
        let mut sum = Gemm::scale(&format!("{prefix}.alpha"), model, product, self.alpha)?;
        if let Some(&bias) = inputs.get(2).filter(|_| self.beta != 0.0) {
            let mut bias = Gemm::scale(&format!("{prefix}.beta"), model, bias, self.beta)?;
            for axis in model.outlet_fact(bias)?.rank()..2 {
                let name = format!("{prefix}.bias-axis-{axis}");
                bias = model.wire_node(name, AxisOp::Add(0), &[bias])?[0];
            }
            sum = model.wire_node(prefix, add(), &[sum, bias])?[0];
        }
        Ok(tvec!(sum))
    }
}
