//! The documents of an artifact, as FNNX 0.1 defines them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `manifest.json` with its patches.
#[derive(Debug, Clone, Deserialize)]
pub struct Manifest {
    pub variant: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub version: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
    pub producer_name: String,
    pub producer_version: String,
    pub producer_tags: Vec<String>,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    pub dynamic_attributes: Vec<Var>,
    pub env_vars: Vec<Var>,
}

/// An input or an output of a model.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "content_type")]
pub enum Port {
    NDJSON {
        name: String,
        dtype: String,
        shape: Vec<Dim>,
    },
    JSON {
        name: String,
        dtype: String,
    },
}

impl Port {
    pub fn name(&self) -> &str {
        match self {
            Port::NDJSON { name, .. } | Port::JSON { name, .. } => name,
        }
    }

    pub fn dtype(&self) -> &str {
        match self {
            Port::NDJSON { dtype, .. } | Port::JSON { dtype, .. } => dtype,
        }
    }

    /// Empty for JSON.
    pub fn shape(&self) -> &[Dim] {
        match self {
            Port::NDJSON { shape, .. } => shape,
            Port::JSON { .. } => &[],
        }
    }
}

/// A size, or the name of a size that each request chooses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Dim {
    Fixed(usize),
    Named(String),
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Fixed(size) => write!(f, "{size}"),
            Dim::Named(name) => f.write_str(name),
        }
    }
}

/// A shape as text: `[batch, 4]`.
pub struct Shape<'a, T>(pub &'a [T]);

impl<T: fmt::Display> fmt::Display for Shape<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (at, dim) in self.0.iter().enumerate() {
            write!(f, "{}{dim}", if at > 0 { ", " } else { "" })?;
        }
        f.write_str("]")
    }
}

/// A declared variable.
#[derive(Debug, Clone, Deserialize)]
pub struct Var {
    pub name: String,
    pub description: String,
}

/// One entry of `ops.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct OpInstance {
    pub id: String,
    pub op: String,
    pub inputs: Vec<OpPort>,
    pub outputs: Vec<OpPort>,
    pub attributes: Value,
    /// Checked, but of no effect: no operator of the format reads dynamic attributes.
    #[serde(rename = "dynamic_attributes")]
    pub _dynamic_attributes: BTreeMap<String, DynamicAttribute>,
}

/// A dynamic attribute of an operator.
#[derive(Debug, Clone, Deserialize)]
pub struct DynamicAttribute {
    #[serde(rename = "name")]
    pub _name: String,
    #[serde(rename = "default_value")]
    pub _default_value: String,
}

/// An input or an output of an operator.
#[derive(Debug, Clone, Deserialize)]
pub struct OpPort {
    pub dtype: String,
    pub shape: Vec<Dim>,
}

/// The attributes of the operator `ONNX_v1`.
#[derive(Debug, Clone, Deserialize)]
pub struct OnnxAttributes {
    pub opsets: Vec<Opset>,
    #[serde(rename = "has_external_data")]
    pub _has_external_data: bool,
    #[serde(rename = "onnx_ir_version")]
    pub _onnx_ir_version: i64,
}

/// A version of a set of ONNX operators.
#[derive(Debug, Clone, Deserialize)]
pub struct Opset {
    pub domain: String,
    pub version: i64,
}

/// `variant_config.json` of a pipeline.
#[derive(Debug, Clone, Deserialize)]
pub struct PipelineConfig {
    pub nodes: Vec<PipelineNode>,
}

/// A step of a pipeline.
#[derive(Debug, Clone, Deserialize)]
pub struct PipelineNode {
    pub op_instance_id: String,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    #[serde(rename = "extra_dynattrs")]
    pub _extra_dynattrs: BTreeMap<String, String>,
}

/// `variant_config.json` of a pyfunc.
#[derive(Debug, Clone, Deserialize)]
pub struct PyFuncConfig {
    pub pyfunc_classname: String,
}

/// An entry of `meta.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct MetaEntry {
    pub id: String,
    pub producer: String,
    pub producer_version: String,
}
