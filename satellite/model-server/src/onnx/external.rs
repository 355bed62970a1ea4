//! Weights in files of their own. They are read through the artifact, so that a model cannot name
//! a file outside of it.

use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{AttributeProto, GraphProto, TensorProto};

use crate::artifact::Files;
use crate::failure::{Failure, Result};

/// Replaces all references to files in `folder` by their data.
pub fn embed(graph: &mut GraphProto, files: &Files, folder: &str) -> Result<()> {
    for tensor in &mut graph.initializer {
        embed_tensor(tensor, files, folder)?;
    }
    for node in &mut graph.node {
        for attribute in &mut node.attribute {
            let AttributeProto {
                t,
                tensors,
                g,
                graphs,
                ..
            } = attribute;
            for tensor in t.iter_mut().chain(tensors) {
                embed_tensor(tensor, files, folder)?;
            }
            for graph in g.iter_mut().chain(graphs) {
                embed(graph, files, folder)?;
            }
        }
    }
    Ok(())
}

fn embed_tensor(tensor: &mut TensorProto, files: &Files, folder: &str) -> Result<()> {
    if tensor.data_location != Some(DataLocation::External as i32) {
        return Ok(());
    }
    let place = format!("the tensor {:?} with external data", tensor.name);
    let value = |key: &str| {
        let mut entries = tensor.external_data.iter();
        entries.find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    };
    let number = |key: &str| match value(key) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| {
            Failure::invalid(format_args!("{key} is {text:?}")).within(&place)
        }),
    };
    let location = value("location")
        .ok_or_else(|| Failure::invalid("has no location").within(&place))?;
    let name = format!("{folder}/{}", location.strip_prefix("./").unwrap_or(location));
    let bytes = files.bytes(&name).ok_or_else(|| {
        Failure::invalid(format_args!("the artifact has no file {name:?}")).within(&place)
    })?;
    let offset = number("offset")?.unwrap_or(0);
    let length = number("length")?.unwrap_or(bytes.saturating_sub(offset));
    let data = files.read_range(&name, offset, length);
    tensor.raw_data = data.map_err(|failure| failure.within(&place))?;
    tensor.external_data.clear();
    tensor.data_location = None;
    Ok(())
}
