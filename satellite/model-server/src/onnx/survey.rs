//! What an ONNX model needs, compared with what this server has. Everything that is missing is
//! named before the model is built.

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::Onnx;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

/// The versions of ONNX's own operators whose definitions tract's operators follow. From 19 on
/// they gained element types and attributes; an attribute that tract lacks is an error when the
/// model is built.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=28;
const ML_OPSETS: std::ops::RangeInclusive<i64> = 1..=5;

/// The operators and opsets of a model.
#[derive(Debug, Default)]
pub struct Survey {
    /// Operators with the number of their nodes; those of `ai.onnx.ml` with that prefix.
    pub operators: BTreeMap<String, usize>,
    /// Opsets as `ai.onnx 17`.
    pub opsets: Vec<String>,
    /// What this server cannot run, each as a sentence.
    pub unsupported: BTreeSet<String>,
}

impl Survey {
    /// Looks at all nodes, also those of the branches and loop bodies.
    pub fn of(model: &ModelProto, onnx: &Onnx) -> Survey {
        let mut survey = Survey::default();
        for opset in &model.opset_import {
            survey.opset(&opset.domain, opset.version);
            let domain = domain(&opset.domain);
            survey.opsets.push(format!("{domain} {}", opset.version));
        }
        for function in &model.functions {
            survey.unsupported.insert(format!(
                "the model defines the function {:?}; functions are not supported",
                function.name
            ));
        }
        if let Some(graph) = &model.graph {
            survey.graph(graph, onnx);
        }
        survey
    }

    /// Checks one declared opset. A domain of which no operator is used does no harm.
    pub fn opset(&mut self, name: &str, version: i64) {
        let supported = match domain(name) {
            "ai.onnx" => OPSETS,
            "ai.onnx.ml" => ML_OPSETS,
            _ => return,
        };
        if !supported.contains(&version) {
            self.unsupported.insert(format!(
                "opset {version} of {} is not supported; versions {} to {} are",
                domain(name),
                supported.start(),
                supported.end()
            ));
        }
    }

    fn graph(&mut self, graph: &GraphProto, onnx: &Onnx) {
        for node in &graph.node {
            self.node(node, onnx);
            for attribute in &node.attribute {
                let own = attribute.g.iter();
                for graph in own.chain(&attribute.graphs) {
                    self.graph(graph, onnx);
                }
            }
        }
        if !graph.sparse_initializer.is_empty() {
            let text = "the model has sparse initializers, which are not supported";
            self.unsupported.insert(text.to_owned());
        }
    }

    fn node(&mut self, node: &NodeProto, onnx: &Onnx) {
        let kind = &node.op_type;
        let place = if node.name.is_empty() {
            String::new()
        } else {
            format!(" (node {:?})", node.name)
        };
        let name = match domain(&node.domain) {
            "ai.onnx" => kind.clone(),
            "ai.onnx.ml" => format!("ai.onnx.ml.{kind}"),
            other => {
                self.unsupported.insert(format!(
                    "the operator {kind}{place} is of the domain {other:?}; only ai.onnx and \
                     ai.onnx.ml are supported"
                ));
                format!("{other}.{kind}")
            }
        };
        let is_known = ["ai.onnx", "ai.onnx.ml"].contains(&domain(&node.domain));
        if is_known && !crate::onnx_ml::supports(onnx, &node.domain, kind) {
            self.unsupported
                .insert(format!("the operator {name}{place} is not supported"));
        }
        *self.operators.entry(name).or_default() += 1;
    }
}

/// The full name of a domain; the empty one is ONNX's own.
fn domain(name: &str) -> &str {
    if name.is_empty() { "ai.onnx" } else { name }
}
