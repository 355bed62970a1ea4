//! How an operator of this module becomes an operator of tract: a function from tensors to
//! tensors, and a rule for the types and shapes of its outputs.

use std::fmt::Debug;
use std::sync::Arc;

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_core::ops::cast::cast;

/// The type and the shape of a tensor; dimensions may be symbols, such as the batch.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub datum_type: DatumType,
    pub shape: TVec<TDim>,
}

impl Form {
    pub(super) fn new(datum_type: DatumType, shape: impl IntoIterator<Item = TDim>) -> Form {
        Form {
            datum_type,
            shape: shape.into_iter().collect(),
        }
    }

    /// The number of rows and of columns; a vector is one row.
    pub(super) fn rows_and_columns(&self) -> TractResult<(TDim, TDim)> {
        match &*self.shape {
            [columns] => Ok((1.to_dim(), columns.clone())),
            [rows, columns] => Ok((rows.clone(), columns.clone())),
            other => bail!("expected an input of rank 1 or 2, got the shape {other:?}"),
        }
    }
}

/// What an operator computes. Inputs of tract's dimension type arrive as 64-bit integers.
pub(super) trait Kernel: Debug + Send + Sync + 'static {
    /// The operator's name in ONNX.
    fn name(&self) -> &'static str;

    /// The outputs' types and shapes. An error here is reported when the model is loaded.
    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>>;

    /// The outputs' values.
    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>>;
}

/// What a builder of tract's registry returns.
pub(super) type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// Wraps a kernel for tract. A node need not name all outputs of its operator.
pub(super) fn build(node: &NodeProto, kernel: impl Kernel) -> Built {
    let named = node
        .output
        .iter()
        .enumerate()
        .filter(|(_, name)| !name.is_empty());
    let wired = Wired {
        kernel: Arc::new(kernel),
        named: named.map(|(at, _)| at).collect(),
    };
    Ok((expand(wired), vec![]))
}

/// Adds a kernel with one output to a typed model.
pub(super) fn wire(
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
    kernel: impl Kernel,
) -> TractResult<TVec<OutletId>> {
    Wired {
        kernel: Arc::new(kernel),
        named: tvec!(0),
    }
    .wire(prefix, model, inputs)
}

#[derive(Clone, Debug)]
struct Wired {
    kernel: Arc<dyn Kernel>,
    /// Which of the kernel's outputs the node names.
    named: TVec<usize>,
}

impl Wired {
    fn forms(&self, inputs: &[Form]) -> TractResult<TVec<Form>> {
        let all = self.kernel.outputs(inputs)?;
        self.select(all)
    }

    fn select<T>(&self, all: Vec<T>) -> TractResult<TVec<T>> {
        let count = all.len();
        let chosen: TVec<T> = all
            .into_iter()
            .enumerate()
            .filter(|(at, _)| self.named.contains(at))
            .map(|(_, v)| v)
            .collect();
        ensure!(
            chosen.len() == self.named.len(),
            "{} has {count} outputs, the node names more",
            self.kernel.name()
        );
        Ok(chosen)
    }
}

/// tract infers 64-bit integers as dimensions where they may be part of a shape.
fn without_dims(datum_type: DatumType) -> DatumType {
    if datum_type == TDim::datum_type() {
        i64::datum_type()
    } else {
        datum_type
    }
}

impl Expansion for Wired {
    fn name(&self) -> StaticName {
        self.kernel.name().into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.named.len())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, self.named.len())?;
        s.given_all(inputs.iter().map(|i| &i.datum_type), move |s, types| {
            s.given_all(inputs.iter().map(|i| &i.shape), move |s, shapes| {
                let forms: Vec<Form> = types
                    .iter()
                    .zip(shapes)
                    .map(|(t, shape)| Form {
                        datum_type: without_dims(*t),
                        shape,
                    })
                    .collect();
                for (output, form) in outputs.iter().zip(self.forms(&forms)?) {
                    s.equals(&output.datum_type, form.datum_type)?;
                    s.equals(&output.shape, ShapeFactoid::from(form.shape))?;
                }
                Ok(())
            })
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut wires = TVec::new();
        for (at, input) in inputs.iter().enumerate() {
            let is_dim = model.outlet_fact(*input)?.datum_type == TDim::datum_type();
            wires.push(if is_dim {
                let name = format!("{prefix}.input-{at}-to-int64");
                model.wire_node(name, cast(i64::datum_type()), &[*input])?[0]
            } else {
                *input
            });
        }
        model.wire_node(prefix, KernelOp(self.clone()), &wires)
    }
}

#[derive(Clone, Debug)]
struct KernelOp(Wired);

impl PartialEq for KernelOp {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0.kernel, &other.0.kernel) && self.0.named == other.0.named
    }
}

impl Eq for KernelOp {}

impl Op for KernelOp {
    fn name(&self) -> StaticName {
        self.0.kernel.name().into()
    }

    op_as_typed_op!();
}

impl EvalOp for KernelOp {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let outputs = self.0.kernel.eval(&inputs)?;
        Ok(self
            .0
            .select(outputs)?
            .into_iter()
            .map(Tensor::into_tvalue)
            .collect())
    }
}

impl TypedOp for KernelOp {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let forms: Vec<Form> = inputs
            .iter()
            .map(|fact| Form::new(fact.datum_type, fact.shape.iter().cloned()))
            .collect();
        let outputs = self.0.forms(&forms)?;
        Ok(outputs
            .into_iter()
            .map(|form| form.datum_type.fact(&*form.shape))
            .collect())
    }

    as_op!();
}
