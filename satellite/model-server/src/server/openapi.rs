//! The OpenAPI document of a model, made from its manifest.

use serde_json::{Map, Value, json};

use crate::artifact::{Dim, Manifest, Port, Shape};
use crate::tensor::Dtype;

/// The document. The names of the schemas are those of the reference implementation, which the
/// satellite looks for.
pub fn document(manifest: &Manifest) -> Value {
    let name = manifest.name.as_deref().unwrap_or("model");
    let version = manifest.version.as_deref().unwrap_or("0");
    let errors = |codes: &[(&str, &str)]| -> Map<String, Value> {
        let error = json!({ "application/json": { "schema": reference("Error") } });
        let response = |text: &str| json!({ "description": text, "content": error });
        let codes = codes.iter();
        codes.map(|(code, text)| ((*code).to_owned(), response(text))).collect()
    };
    let mut compute = errors(&[
        ("400", "The inputs are invalid; the error has their path."),
        ("413", "The body is too large."),
        ("500", "The model failed."),
        ("503", "Overloaded, loading or stopping; Retry-After says when to try again."),
    ]);
    let outputs = json!({ "anyOf": [
        reference("ComputeResponse"),
        { "type": "array", "items": reference("ComputeResponse") },
    ] });
    compute.insert(
        "200".into(),
        json!({ "description": "The outputs; for a list of requests a list.",
                "content": { "application/json": { "schema": outputs } } }),
    );
    let get = |summary: &str, codes: &[(&str, &str)]| {
        let mut responses = errors(codes);
        let any = json!({ "description": "Success.", "content": { "application/json": {} } });
        responses.insert("200".into(), any);
        json!({ "get": { "summary": summary, "responses": responses } })
    };
    let inputs = json!({ "anyOf": [
        reference("ComputeRequest"),
        { "type": "array", "minItems": 1, "items": reference("ComputeRequest") },
    ] });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": name,
            "version": version,
            "description": manifest.description.as_deref().unwrap_or_default(),
        },
        "paths": {
            "/healthz": get("Whether the model is loaded", &[("503", "Not yet.")]),
            "/manifest": get("The manifest of the model", &[]),
            "/openapi.json": get("This document", &[]),
            "/reference_profile": get("The reference profile", &[("404", "There is none.")]),
            "/compute": { "post": {
                "summary": "Computes the outputs of the model",
                "operationId": "compute",
                "requestBody": {
                    "required": true,
                    "content": { "application/json": {
                        "schema": inputs,
                        "example": { "inputs": example(&manifest.inputs), "dynamic_attributes": {} },
                    } },
                },
                "responses": compute,
            } },
        },
        "components": { "schemas": schemas(manifest) },
    })
}

fn schemas(manifest: &Manifest) -> Value {
    let attributes = manifest.dynamic_attributes.iter().map(|attribute| {
        let schema = json!({ "type": "string", "description": attribute.description });
        (attribute.name.clone(), schema)
    });
    let attributes: Map<String, Value> = attributes.collect();
    json!({
        "ComputeRequest": {
            "type": "object",
            "properties": {
                "inputs": object_of(&manifest.inputs),
                "dynamic_attributes": reference("DynamicAttributesModel"),
            },
            "required": ["inputs"],
        },
        "ComputeResponse": object_of(&manifest.outputs),
        "DynamicAttributesModel": {
            "type": "object",
            "properties": attributes,
            "additionalProperties": { "type": "string" },
        },
        "Error": {
            "type": "object",
            "properties": { "error": { "type": "string" } },
            "required": ["error"],
        },
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn object_of(ports: &[Port]) -> Value {
    let properties = ports.iter().map(|port| (port.name().to_owned(), tensor(port)));
    let properties: Map<String, Value> = properties.collect();
    let required: Vec<_> = ports.iter().map(Port::name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// Nested lists of the shape; a fixed size is both the least and the most.
fn tensor(port: &Port) -> Value {
    let mut schema = element(port.dtype());
    for dim in port.shape().iter().rev() {
        schema = match dim {
            Dim::Fixed(size) => {
                json!({ "type": "array", "items": schema, "minItems": size, "maxItems": size })
            }
            Dim::Named(_) => json!({ "type": "array", "items": schema, "minItems": 1 }),
        };
    }
    schema["description"] = format!("{} of the shape {}", port.dtype(), Shape(port.shape())).into();
    schema["examples"] = json!([sample(port)]);
    schema
}

fn element(dtype: &str) -> Value {
    let not_finite = json!({ "type": "string", "enum": ["NaN", "Infinity", "-Infinity"] });
    let range = |least: i64, most: u64| json!({ "type": "integer", "minimum": least, "maximum": most });
    match Dtype::parse(dtype) {
        Ok(Dtype::Bool) => json!({ "type": "boolean" }),
        Ok(Dtype::String) => json!({ "type": "string" }),
        Ok(Dtype::F16 | Dtype::F32 | Dtype::F64) => {
            json!({ "anyOf": [{ "type": "number" }, not_finite] })
        }
        Ok(Dtype::U8) => range(0, u8::MAX.into()),
        Ok(Dtype::U16) => range(0, u16::MAX.into()),
        Ok(Dtype::U32) => range(0, u32::MAX.into()),
        Ok(Dtype::U64) => range(0, u64::MAX),
        Ok(Dtype::I8) => range(i8::MIN.into(), i8::MAX as u64),
        Ok(Dtype::I16) => range(i16::MIN.into(), i16::MAX as u64),
        Ok(Dtype::I32) => range(i32::MIN.into(), i32::MAX as u64),
        Ok(Dtype::I64) => range(i64::MIN, i64::MAX as u64),
        Err(_) => json!({}),
    }
}

fn example(ports: &[Port]) -> Value {
    let samples = ports.iter().map(|port| (port.name().to_owned(), sample(port)));
    Value::Object(samples.collect())
}

/// An example of a tensor; a size without a number is 1, and lists are cut at four items.
fn sample(port: &Port) -> Value {
    let mut value = match Dtype::parse(port.dtype()) {
        Ok(Dtype::Bool) => json!(false),
        Ok(Dtype::String) => json!("text"),
        Ok(Dtype::F16 | Dtype::F32 | Dtype::F64) => json!(0.5),
        _ => json!(0),
    };
    let sizes = port.shape().iter().map(|dim| match dim {
        Dim::Fixed(size) => *size,
        Dim::Named(_) => 1,
    });
    let sizes: Vec<usize> = sizes.collect();
    let elements = sizes.iter().try_fold(1_usize, |all, size| all.checked_mul(*size));
    // An image is no example that anybody reads.
    let most = if elements.is_some_and(|all| all <= 64) { 64 } else { 2 };
    for size in sizes.iter().rev() {
        value = Value::Array(vec![value; (*size).min(most)]);
    }
    value
}
