//! `ZipMap`: pairs a classifier's scores with the labels of the classes.
//!
//! Its output in ONNX is a sequence of maps, one for each row, which no tensor can hold. Here
//! the operator passes the scores on as they are, with the shape `[rows, classes]`; the
//! attributes of the node have the keys, in the order of the columns. The server writes such
//! an output as a list of objects, one for each row, as the Python runtime of the format does:
//! `[{"setosa": 0.9, "virginica": 0.1}]`. Keys that are integers become strings, as in all
//! JSON.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::kernel::{Built, Form, Kernel, build};
use super::labels::Labels;

pub(super) fn zip_map(_context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let classes = Labels::parse(node, "classlabels_int64s", "classlabels_strings")?.len();
    node.expect(classes > 0, "the labels of the classes")?;
    build(node, ZipMap { classes })
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
