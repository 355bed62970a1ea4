//! One ONNX model, run by tract.

mod external;
mod plans;
mod survey;

use std::panic::{AssertUnwindSafe, catch_unwind};

use tract_onnx::Onnx;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};
use tract_onnx::prelude::{Framework, InferenceModel, TVec, TValue, TractError};
use tract_onnx::tract_hir::internal::{DimLike, Factoid};

pub use plans::{PlanError, Plans};
pub use survey::Survey;

use crate::artifact::{Dim, Files, OnnxAttributes, OpInstance, OpPort, Shape};
use crate::failure::{Failure, Result};
use crate::tensor::{Dtype, Labels};

/// An operator `ONNX_v1` of an artifact, ready to run.
#[derive(Debug)]
pub struct Model {
    pub id: String,
    pub inputs: Vec<Port>,
    /// For each output that ZipMap makes: the keys of its maps.
    pub labels: Vec<Option<Labels>>,
    plans: Plans,
}

/// An input: its type, and its sizes as far as they are fixed.
#[derive(Debug, Clone)]
pub struct Port {
    /// The name in the graph.
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<Dim>,
}

/// A model that was read but not built.
pub struct Parsed<'a> {
    op: &'a OpInstance,
    files: &'a Files,
    proto: ModelProto,
    pub survey: Survey,
}

impl<'a> Parsed<'a> {
    /// Reads `model.onnx` of an op instance, and lists what it needs.
    pub fn read(op: &'a OpInstance, files: &'a Files) -> Result<Parsed<'a>> {
        let name = format!("{}/model.onnx", folder(op));
        let attributes: OnnxAttributes = serde_path_to_error::deserialize(&op.attributes)
            .map_err(|e| Failure::invalid(format_args!("ops.json: attributes of {}: {e}", op.id)))?;
        let bytes = files
            .read(&name, u64::MAX)?
            .ok_or_else(|| Failure::invalid(format_args!("the artifact has no file {name}")))?;
        let proto = onnx()
            .proto_model_for_read(&mut bytes.as_slice())
            .map_err(|e| Failure::invalid(format_args!("{name} is not an ONNX model: {e:#}")))?;
        drop(bytes);
        let mut survey = Survey::of(&proto, &onnx());
        for opset in &attributes.opsets {
            survey.opset(&opset.domain, opset.version);
            if !["", "ai.onnx", "ai.onnx.ml"].contains(&opset.domain.as_str()) {
                survey.unsupported.insert(format!(
                    "ops.json declares operators of the domain {:?}; only ai.onnx and ai.onnx.ml \
                     are supported",
                    opset.domain
                ));
            }
        }
        Ok(Parsed {
            op,
            files,
            proto,
            survey,
        })
    }

    /// Builds the model. At most `plans` optimized versions of it are kept.
    pub fn build(self, plans: usize) -> Result<Model> {
        let Parsed {
            op,
            files,
            mut proto,
            survey,
        } = self;
        if !survey.unsupported.is_empty() {
            let list: Vec<_> = survey.unsupported.into_iter().collect();
            return Err(Failure::unsupported(list.join("\n")));
        }
        let graph = proto
            .graph
            .as_mut()
            .ok_or_else(|| Failure::invalid("model.onnx has no graph"))?;
        external::embed(graph, files, &folder(op))?;
        let labels = graph.output.iter().map(|output| zip_labels(graph, &output.name));
        let labels: Vec<_> = labels.collect();
        for (output, labels) in graph.output.iter().zip(&labels) {
            let value = output.r#type.as_ref().and_then(|kind| kind.value.as_ref());
            if value.is_none() && labels.is_none() && output.r#type.is_some() {
                return Err(Failure::unsupported(format_args!(
                    "the output {:?} is not a tensor; sequences and maps other than those of \
                     ZipMap are not supported",
                    output.name
                )));
            }
        }
        let model = parse(&proto)?;
        drop(proto);
        for (what, declared, has) in [
            ("inputs", op.inputs.len(), model.inputs.len()),
            ("outputs", op.outputs.len(), model.outputs.len()),
        ] {
            if declared != has {
                return Err(Failure::invalid(format_args!(
                    "ops.json declares {declared} {what}, but model.onnx has {has}"
                )));
            }
        }
        let inputs = op.inputs.iter().enumerate();
        let inputs = inputs.map(|(at, declared)| input(&model, at, declared));
        Ok(Model {
            id: op.id.clone(),
            inputs: inputs.collect::<Result<_>>()?,
            labels,
            plans: Plans::new(model, plans),
        })
    }
}

impl Model {
    /// Computes the outputs. The sizes of the inputs were checked.
    pub fn run(&self, inputs: TVec<TValue>) -> std::result::Result<TVec<TValue>, PlanError> {
        self.plans.run(inputs)
    }

    /// How many plans are in memory, and how many were built.
    pub fn plans(&self) -> (usize, u64) {
        self.plans.figures()
    }
}

/// tract with all operators of this server.
fn onnx() -> Onnx {
    let mut onnx = tract_onnx::onnx()
        // A size that an exporter noted may be a name there and a number in a request.
        .with_ignore_value_info(true);
    crate::onnx_ml::register(&mut onnx);
    onnx
}

/// The folder of an op instance.
fn folder(op: &OpInstance) -> String {
    format!("ops_artifacts/{}", op.id)
}

fn parse(proto: &ModelProto) -> Result<InferenceModel> {
    let result = catching(|| onnx().model_for_proto_model(proto));
    result.map_err(|text| Failure::unsupported(format_args!("tract cannot build it: {text}")))
}

/// Runs code of tract. The text of an error has all its causes; a panic is an error too.
fn catching<T>(
    run: impl FnOnce() -> std::result::Result<T, TractError>,
) -> std::result::Result<T, String> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let text = format!("{error:#}").replace('\n', " ");
            Err(text.chars().take(500).collect())
        }
        Err(_) => Err("it panicked; the log has the message".into()),
    }
}

/// Compares an input of the model with its declaration, and takes the sizes that either fixes.
fn input(model: &InferenceModel, at: usize, declared: &OpPort) -> Result<Port> {
    let outlet = model.inputs[at];
    let name = model.node(outlet.node).name.clone();
    let place = format!("the input {name:?} of model.onnx");
    let dtype = Dtype::parse(&declared.dtype)
        .map_err(|why| Failure::unsupported(format_args!("ops.json: {why}")).within(&place))?;
    let fact = model
        .input_fact(at)
        .map_err(|e| Failure::invalid(e).within(&place))?;
    let own = fact.datum_type.concretize();
    if own != Some(dtype.datum()) {
        let own = own.map_or("of no type".into(), |own| {
            Dtype::of(own).map_or(format!("{own:?}"), |own| format!("Array[{}]", own.name()))
        });
        return Err(Failure::invalid(format_args!(
            "{place} is {own}, but ops.json declares {}",
            declared.dtype
        )));
    }
    let mut shape = declared.shape.clone();
    if !fact.shape.is_open() {
        let sizes: Vec<_> = fact.shape.dims().collect();
        let mut differs = sizes.len() != shape.len();
        for (dim, size) in shape.iter_mut().zip(&sizes) {
            let size = size.concretize().and_then(|size| size.to_usize().ok());
            match (&dim, size) {
                (Dim::Fixed(own), Some(size)) => differs |= *own != size,
                (Dim::Named(_), Some(size)) => *dim = Dim::Fixed(size),
                (_, None) => {}
            }
        }
        if differs {
            return Err(Failure::invalid(format_args!(
                "{place} is {}, but ops.json declares {}",
                fact.format_dt_shape(),
                Shape(&declared.shape)
            )));
        }
    }
    Ok(Port { name, dtype, shape })
}

/// The keys of the maps that ZipMap makes for this output of the graph.
fn zip_labels(graph: &GraphProto, output: &str) -> Option<Labels> {
    let makes = |node: &&NodeProto| node.output.first().is_some_and(|own| own == output);
    let node = graph.node.iter().find(makes)?;
    if node.op_type != "ZipMap" {
        return None;
    }
    let attribute = |name: &str| node.attribute.iter().find(|own| own.name == name);
    if let Some(strings) = attribute("classlabels_strings").filter(|a| !a.strings.is_empty()) {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        return Some(strings.strings.iter().map(text).collect());
    }
    let integers = attribute("classlabels_int64s")?;
    Some(integers.ints.iter().map(i64::to_string).collect())
}
