//! An FNNX artifact: its files, and the documents that describe its model.

mod archive;
mod format;
mod patch;

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use archive::Files;
pub use format::{Dim, Manifest, OnnxAttributes, OpInstance, OpPort, PipelineConfig, Port, Shape};
use format::{MetaEntry, PyFuncConfig};
use patch::Operation;

use crate::failure::{Failure, Result};

/// What an artifact may contain at most.
#[derive(Debug, Clone)]
pub struct Limits {
    /// All files together, unpacked, in bytes.
    pub unpacked_bytes: u64,
    /// Members of the archive.
    pub entries: usize,
    /// One JSON document in bytes.
    pub document_bytes: u64,
}

/// The names that no type of an artifact may have.
const RESERVED_DTYPES: [&str; 11] = [
    "string",
    "integer",
    "float",
    "boolean",
    "Array",
    "NDContainer",
    "float32",
    "float64",
    "int32",
    "int64",
    "bool",
];

/// A valid artifact.
#[derive(Debug)]
pub struct Artifact {
    pub files: Files,
    pub manifest: Manifest,
    /// The manifest as JSON, with unknown members.
    pub manifest_json: Value,
    pub ops: Vec<OpInstance>,
    pub variant: Variant,
    /// The Python version that the environment names.
    pub python: Option<String>,
    pub meta: Vec<String>,
    pub reference_profile: Option<Vec<u8>>,
}

/// How the model is computed.
#[derive(Debug)]
pub enum Variant {
    Pipeline(PipelineConfig),
    PyFunc { class: String },
}

impl Artifact {
    /// Reads and checks the documents.
    pub fn read(files: Files, limits: &Limits) -> Result<Artifact> {
        let documents = Documents {
            files: &files,
            limit: limits.document_bytes,
        };
        let manifest_json = documents.patched_manifest()?;
        let manifest: Manifest = typed("manifest.json", manifest_json.clone())?;
        unique("input", manifest.inputs.iter().map(Port::name))?;
        unique("output", manifest.outputs.iter().map(Port::name))?;
        let ops: Vec<OpInstance> = typed("ops.json", documents.required("ops.json")?)?;
        check_ops(&ops)?;
        let config = documents.required("variant_config.json")?;
        let variant = match manifest.variant.as_str() {
            "pipeline" => {
                let config: PipelineConfig = typed("variant_config.json", config)?;
                check_pipeline(&manifest, &ops, &config)?;
                Variant::Pipeline(config)
            }
            "pyfunc" => {
                let config: PyFuncConfig = typed("variant_config.json", config)?;
                Variant::PyFunc {
                    class: config.pyfunc_classname,
                }
            }
            other => {
                return Err(Failure::unsupported(format_args!(
                    "the variant {other:?} is not known; there are pipeline and pyfunc"
                )));
            }
        };
        check_dtypes(documents.optional("dtypes.json")?.unwrap_or_default())?;
        let env = documents.optional("env.json")?.unwrap_or_default();
        let python = env["python3::conda_pip"]["python_version"].as_str();
        let python = python.map(str::to_owned);
        let meta = documents.meta();
        let reference_profile = documents
            .optional("reference_profile.json")?
            .map(|profile| profile.to_string().into_bytes());
        Ok(Artifact {
            files,
            manifest,
            manifest_json,
            ops,
            variant,
            python,
            meta,
            reference_profile,
        })
    }

    /// The model's name and version for messages.
    pub fn title(&self) -> String {
        let name = self.manifest.name.as_deref().unwrap_or("unnamed model");
        match &self.manifest.version {
            Some(version) => format!("{name} {version}"),
            None => name.to_owned(),
        }
    }
}

struct Documents<'a> {
    files: &'a Files,
    limit: u64,
}

impl Documents<'_> {
    fn optional(&self, name: &str) -> Result<Option<Value>> {
        let Some(bytes) = self.files.read(name, self.limit)? else {
            return Ok(None);
        };
        let document = serde_json::from_slice(&bytes)
            .map_err(|e| Failure::invalid(format_args!("{name} is not valid JSON: {e}")))?;
        Ok(Some(document))
    }

    fn required(&self, name: &str) -> Result<Value> {
        self.optional(name)?.ok_or_else(|| {
            let inner = self.files.names().find(|path| {
                let parent = path.strip_suffix(name);
                parent.is_some_and(|parent| parent.ends_with('/'))
            });
            Failure::invalid(match inner {
                Some(inner) => {
                    format!("there is no {name} at the root of the artifact, only {inner}")
                }
                None => format!("there is no {name}: this is not an FNNX artifact"),
            })
        })
    }

    /// The manifest with all patches, in the order of the bytes of their names.
    fn patched_manifest(&self) -> Result<Value> {
        let mut manifest = self.required("manifest.json")?;
        let names = self.files.names().filter(|name| {
            let middle = name.strip_prefix("manifest-");
            let middle = middle.and_then(|rest| rest.strip_suffix(".patch.json"));
            middle.is_some_and(|middle| !middle.is_empty() && !middle.contains('/'))
        });
        for name in names {
            let patch: Vec<Operation> = typed(name, self.required(name)?)?;
            for operation in patch {
                patch::apply(&mut manifest, operation)
                    .map_err(|why| Failure::invalid(format_args!("{name}: {why}")))?;
            }
        }
        Ok(manifest)
    }

    /// Who made the artifact, one line each. As the format says, files that cannot be read are
    /// left out with a warning.
    fn meta(&self) -> Vec<String> {
        let is_meta = |name: &&str| {
            let middle = name.strip_prefix("meta");
            let middle = middle.and_then(|rest| rest.strip_suffix(".json"));
            middle.is_some_and(|middle| {
                middle.is_empty() || (middle.starts_with('-') && !middle.contains('/'))
            })
        };
        let mut names: Vec<_> = self.files.names().filter(is_meta).collect();
        names.sort_by_key(|name| *name != "meta.json");
        let mut lines = Vec::new();
        for name in names {
            match self.optional(name) {
                Ok(Some(Value::Array(entries))) => {
                    let entries = entries
                        .into_iter()
                        .filter_map(|e| serde_json::from_value(e).ok());
                    lines.extend(entries.map(|entry: MetaEntry| {
                        format!(
                            "{} {} ({})",
                            entry.producer, entry.producer_version, entry.id
                        )
                    }));
                }
                Ok(_) => log::warn!("{name} is not a list; it is ignored"),
                Err(failure) => log::warn!("{failure}; it is ignored"),
            }
        }
        lines
    }
}

fn typed<T: DeserializeOwned>(name: &str, document: Value) -> Result<T> {
    serde_path_to_error::deserialize(document).map_err(|e| {
        let path = e.path().to_string();
        let path = if path == "." {
            String::new()
        } else {
            format!(" {path}:")
        };
        Failure::invalid(format_args!("{name}:{path} {}", e.inner()))
    })
}

fn unique<'a>(what: &str, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            let text = format!("there are two {what}s with the name {name:?}");
            return Err(Failure::invalid(text));
        }
    }
    Ok(())
}

fn check_ops(ops: &[OpInstance]) -> Result<()> {
    unique("op instance", ops.iter().map(|op| op.id.as_str()))?;
    for OpInstance { id, op, .. } in ops {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if id.is_empty() || !id.bytes().all(is_plain) {
            return Err(Failure::invalid(format_args!(
                "ops.json: the id {id:?} may only have letters, digits and _"
            )));
        }
        if op != "ONNX_v1" {
            return Err(Failure::unsupported(format_args!(
                "the op instance {id} is a {op:?}; only ONNX_v1 is known"
            )));
        }
    }
    Ok(())
}

fn check_pipeline(manifest: &Manifest, ops: &[OpInstance], config: &PipelineConfig) -> Result<()> {
    let ports = manifest.inputs.iter().chain(&manifest.outputs);
    for port in ports {
        if let Port::Json { name, .. } = port {
            return Err(Failure::invalid(format_args!(
                "{name} has the content type JSON, which a pipeline cannot use"
            )));
        }
    }
    let mut bound: BTreeSet<&str> = manifest.inputs.iter().map(Port::name).collect();
    for (at, node) in config.nodes.iter().enumerate() {
        let place = format!("variant_config.json: nodes[{at}] ({})", node.op_instance_id);
        let op = ops.iter().find(|op| op.id == node.op_instance_id);
        let op = op.ok_or_else(|| {
            Failure::invalid(format_args!("{place}: ops.json has no such op instance"))
        })?;
        for (what, own, declared) in [
            ("inputs", node.inputs.len(), op.inputs.len()),
            ("outputs", node.outputs.len(), op.outputs.len()),
        ] {
            if own != declared {
                return Err(Failure::invalid(format_args!(
                    "{place}: has {own} {what}, but the op instance has {declared}"
                )));
            }
        }
        if let Some(name) = node
            .inputs
            .iter()
            .find(|name| !bound.contains(name.as_str()))
        {
            return Err(Failure::invalid(format_args!(
                "{place}: needs {name:?}, which no input and no earlier node provides"
            )));
        }
        for name in &node.outputs {
            if !bound.insert(name) {
                return Err(Failure::invalid(format_args!(
                    "{place}: provides {name:?}, which exists already"
                )));
            }
        }
    }
    match manifest
        .outputs
        .iter()
        .find(|port| !bound.contains(port.name()))
    {
        Some(port) => Err(Failure::invalid(format_args!(
            "manifest.json: nothing provides the output {:?}",
            port.name()
        ))),
        None => Ok(()),
    }
}

fn check_dtypes(dtypes: Value) -> Result<()> {
    let Value::Object(dtypes) = dtypes else {
        return match dtypes.is_null() {
            true => Ok(()),
            false => Err(Failure::invalid("dtypes.json is not an object")),
        };
    };
    let is_wrong = |name: &&String| name.contains('[') || RESERVED_DTYPES.contains(&name.as_str());
    match dtypes.keys().find(is_wrong) {
        Some(name) => Err(Failure::invalid(format_args!(
            "dtypes.json: {name:?} cannot be the name of a type"
        ))),
        None => Ok(()),
    }
}
