//! One OpenAPI document for the gateway and all models behind it.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::routes::{Route, Routes};

/// The merged document, cached until the routes change: it can be requested without a key.
#[derive(Default)]
pub struct MergedDocument(Mutex<(Vec<Arc<Route>>, String)>);

impl MergedDocument {
    pub fn text(&self, routes: &Routes) -> String {
        let now = routes.all();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same =
            kept.0.len() == now.len() && kept.0.iter().zip(&now).all(|(a, b)| Arc::ptr_eq(a, b));
        if !same || kept.1.is_empty() {
            *kept = (now, merged(routes).to_string());
        }
        kept.1.clone()
    }
}

/// The gateway's own document merged with those of the models. Each model's schemas get a
/// prefix, so that names do not collide.
fn merged(routes: &Routes) -> Value {
    let mut schemas = Map::new();
    let (mut requests, mut responses) = (Vec::new(), Vec::new());
    for route in routes.all() {
        for (name, schema) in schemas_of(&route) {
            match name.strip_prefix(&prefix(&route)) {
                Some("ComputeRequest") => requests.push(reference(&name)),
                Some("ComputeResponse") => responses.push(reference(&name)),
                _ => {}
            }
            schemas.insert(name, schema);
        }
    }
    let mut document = own();
    document["components"]["schemas"] = schemas.into();
    let compute = &mut document["paths"]["/deployments/{deployment_id}/compute"]["post"];
    if !requests.is_empty() {
        compute["requestBody"]["content"]["application/json"]["schema"] =
            json!({ "oneOf": requests });
    }
    if !responses.is_empty() {
        compute["responses"]["200"]["content"]["application/json"]["schema"] =
            json!({ "oneOf": responses });
    }
    document
}

fn schemas_of(route: &Route) -> Vec<(String, Value)> {
    let prefix = prefix(route);
    let document = route.public_schemas().unwrap_or_default();
    let Some(schemas) = document
        .pointer("/components/schemas")
        .and_then(Value::as_object)
    else {
        return Vec::new();
    };
    let renamed = schemas.iter().map(|(name, schema)| {
        let mut schema = schema.clone();
        rename_references(&mut schema, &prefix);
        (format!("{prefix}{name}"), schema)
    });
    renamed.collect()
}

fn rename_references(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str().filter(|_| name == "$ref") {
                    Some(target) => {
                        if let Some(name) = target.strip_prefix("#/components/schemas/") {
                            *value = format!("#/components/schemas/{prefix}{name}").into();
                        }
                    }
                    None => rename_references(value, prefix),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|v| rename_references(v, prefix)),
        _ => {}
    }
}

fn prefix(route: &Route) -> String {
    format!("Deployment{}_", route.deployment_id)
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn own() -> Value {
    let answer = |description: &str| json!({ "200": { "description": description } });
    let bearer = json!([{ "bearer": [] }]);
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Satellite", "version": env!("CARGO_PKG_VERSION") },
        "components": {
            "schemas": {},
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
        },
        "paths": {
            "/healthz": { "get": { "summary": "Is it alive?", "responses": answer("It is.") } },
            "/deployments": { "get": {
                "summary": "The models that can be asked",
                "security": bearer,
                "responses": answer("A list."),
            } },
            "/satellites/deployments/inference-access": { "post": {
                "summary": "May this key ask for predictions?",
                "responses": answer("It may, or not."),
            } },
            "/deployments/{deployment_id}/compute": { "post": {
                "summary": "Ask a model",
                "security": bearer,
                "parameters": [{
                    "name": "deployment_id",
                    "in": "path",
                    "required": true,
                    "schema": { "type": "string" },
                }],
                "requestBody": {
                    "required": true,
                    "content": { "application/json": { "schema": { "type": "object" } } },
                },
                "responses": answer("What the model says."),
            } },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::routes::without;
    use super::*;

    fn route(id: &str) -> Route {
        Route {
            deployment_id: id.into(),
            name: String::new(),
            port: 1,
            attributes: [("key".to_owned(), "secret".to_owned())].into(),
            manifest: None,
            permit: std::sync::Arc::default(),
            openapi: Some(json!({ "components": { "schemas": {
                "ComputeRequest": { "properties": {
                    "attributes": { "$ref": "#/components/schemas/DynamicAttributesModel" },
                } },
                "ComputeResponse": { "type": "object" },
                "DynamicAttributesModel": {
                    "properties": { "key": {}, "lang": {} }, "required": ["key", "lang"],
                },
            } } })),
        }
    }

    #[test]
    fn each_models_schemas_get_a_unique_prefix() {
        let routes = Routes::default();
        routes.insert(route("1"));
        routes.insert(route("2"));
        let document = merged(&routes);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        assert_eq!(schemas.len(), 6);
        assert_eq!(
            schemas["Deployment2_ComputeRequest"]["properties"]["attributes"]["$ref"],
            "#/components/schemas/Deployment2_DynamicAttributesModel"
        );
        let compute = &document["paths"]["/deployments/{deployment_id}/compute"]["post"];
        let one_of = &compute["requestBody"]["content"]["application/json"]["schema"]["oneOf"];
        assert_eq!(one_of.as_array().unwrap().len(), 2);
    }

    #[test]
    fn attributes_from_secrets_are_not_in_the_public_schema() {
        let schemas = route("1").public_schemas().unwrap();
        let model = &schemas["components"]["schemas"]["DynamicAttributesModel"];
        assert_eq!(
            *model,
            json!({ "properties": { "lang": {} }, "required": ["lang"] })
        );
    }

    #[test]
    fn a_document_of_another_shape_is_unchanged() {
        for document in [json!(null), json!([1]), json!({ "components": 7 })] {
            assert_eq!(
                without(document.clone(), ["key".to_owned()].iter()),
                document
            );
        }
    }
}
