//! Which operators of a model cannot run here.

use std::collections::BTreeSet;

use tract_onnx::Onnx;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

use super::{ML, ML_OPERATORS, STANDARD_OPERATORS};

/// The newest version of `ai.onnx.ml` whose operators are known here.
const NEWEST_ML: i64 = 5;

/// The operators of the domain `com.microsoft` that tract has.
const MICROSOFT_OPERATORS: &[&str] = &[
    "Attention",
    "BiasGelu",
    "FastGelu",
    "GatherBlockQuantized",
    "Gelu",
    "GroupQueryAttention",
    "MatMulNBits",
    "MultiHeadAttention",
    "QuickGelu",
    "RotaryEmbedding",
    "SimplifiedLayerNormalization",
    "SkipLayerNormalization",
];

/// The operators of a model that cannot run, each as `domain.Operator`, and versions of
/// operator sets that are not known; sorted, each once. Looks into subgraphs, too.
///
/// tract finds operators by name alone. This looks at the domain as well, so that an operator
/// of an unknown domain is not taken for one of ONNX with the same name.
pub fn unsupported(onnx: &Onnx, model: &ModelProto) -> Vec<String> {
    let mut found = BTreeSet::new();
    for import in model
        .opset_import
        .iter()
        .filter(|import| import.domain == ML)
    {
        if import.version > NEWEST_ML {
            found.insert(format!(
                "{ML} version {} (known: up to {NEWEST_ML})",
                import.version
            ));
        }
    }
    if let Some(graph) = &model.graph {
        in_graph(onnx, graph, &mut found);
    }
    found.into_iter().collect()
}

fn in_graph(onnx: &Onnx, graph: &GraphProto, found: &mut BTreeSet<String>) {
    for node in &graph.node {
        if !is_supported(onnx, node) {
            let domain = if node.domain.is_empty() {
                "ai.onnx"
            } else {
                &node.domain
            };
            found.insert(format!("{domain}.{}", node.op_type));
        }
        for attribute in &node.attribute {
            for graph in attribute.g.iter().chain(&attribute.graphs) {
                in_graph(onnx, graph, found);
            }
        }
    }
}

fn is_supported(onnx: &Onnx, node: &NodeProto) -> bool {
    let name = &*node.op_type;
    let has = |list: &[&str]| list.contains(&name);
    let is_of_ml = ML_OPERATORS.iter().any(|(ml, _)| *ml == name);
    match &*node.domain {
        ML => is_of_ml,
        "com.microsoft" => has(MICROSOFT_OPERATORS),
        "" | "ai.onnx" => {
            let ours = STANDARD_OPERATORS
                .iter()
                .any(|(standard, _)| *standard == name);
            ours || (!is_of_ml && onnx.op_register.0.contains_key(name))
        }
        _ => false,
    }
}
