//! `ZipMap`: pairs a classifier's scores with the labels of the classes.
//!
//! Its output in ONNX is a sequence of maps, one for each row, which no tensor can hold. Here
//! the operator passes the scores on as they are, with the shape `[rows, classes]`, and
//! [`zip_map_keys`] tells for an output of the graph whether it stands for maps, and with
//! which keys. A server writes such an output as a list of objects, one for each row, as the
//! Python runtime of the format does: `[{"setosa": 0.9, "virginica": 0.1}]`. Keys that are
//! integers become strings, as everywhere in JSON.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};
use tract_onnx::tract_hir::internal::*;

use super::kernel::{Built, Form, Kernel, build};
use super::labels::Labels;

/// The keys of the maps that an output of the graph stands for, in the order of the columns of
/// its tensor; `None` if the output is a tensor in ONNX, too.
pub fn zip_map_keys(model: &ModelProto, output: &str) -> Option<Vec<String>> {
    let graph: &GraphProto = model.graph.as_ref()?;
    let mut name = output;
    // A name is defined once, so this ends, except for a graph with a cycle.
    for _ in 0..graph.node.len() {
        let node = graph
            .node
            .iter()
            .find(|node| node.output.iter().any(|o| o == name))?;
        match &*node.op_type {
            "Identity" => name = node.input.first()?,
            "ZipMap" => return Some(keys(&labels(node).ok()?)),
            _ => return None,
        }
    }
    None
}

pub(super) fn zip_map(_context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let classes = labels(node)?.len();
    node.expect(classes > 0, "the labels of the classes")?;
    build(node, ZipMap { classes })
}

fn labels(node: &NodeProto) -> TractResult<Labels> {
    Labels::parse(node, "classlabels_int64s", "classlabels_strings")
}

fn keys(labels: &Labels) -> Vec<String> {
    match labels {
        Labels::Ints(labels) => labels.iter().map(i64::to_string).collect(),
        Labels::Strings(labels) => labels.clone(),
    }
}

#[derive(Debug)]
struct ZipMap {
    classes: usize,
}

impl Kernel for ZipMap {
    fn name(&self) -> &'static str {
        "ZipMap"
    }

    fn outputs(&self, inputs: &[Form]) -> TractResult<Vec<Form>> {
        let (rows, columns) = inputs[0].rows_and_columns()?;
        let classes = self.classes;
        if let Ok(columns) = columns.to_usize() {
            ensure!(
                columns == classes,
                "there are {classes} labels for {columns} scores"
            );
        }
        Ok(vec![Form::new(
            inputs[0].datum_type,
            [rows, classes.to_dim()],
        )])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let mut scores = inputs[0].clone().into_tensor();
        if scores.rank() == 1 {
            scores.insert_axis(0)?;
        }
        Ok(vec![scores])
    }
}
