//! What models say of themselves, merged into the gateway's document for everybody.
//!
//! Two models, a line each.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;

#[allow(dead_code)]
#[path = "../../../satellite/src/gateway"]
mod gateway {
    pub mod openapi;
    pub mod routes;
}
#[allow(dead_code)]
#[path = "../../../satellite/src/model/mod.rs"]
mod model;

use gateway::openapi::MergedDocument;
use gateway::routes::{Route, Routes};

const SECRET: &str = "api_key";

fuzz_target!(|bytes: &[u8]| {
    let routes = Routes::default();
    for (n, line) in bytes.splitn(2, |b| *b == b'\n').enumerate() {
        let document: Option<Value> = serde_json::from_slice(line).ok();
        let route = Route {
            deployment_id: n.to_string(),
            name: String::new(),
            port: 1,
            attributes: [(SECRET.to_owned(), "s".to_owned())].into(),
            manifest: document.clone(),
            openapi: document,
            calls: Arc::default(),
        };
        if let Some(public) = route.public_schemas() {
            let model = public.pointer("/components/schemas/DynamicAttributesModel/properties");
            assert!(model.is_none_or(|properties| properties.get(SECRET).is_none()));
        }
        routes.insert(route);
    }
    let merged: Value = serde_json::from_str(&MergedDocument::default().text(&routes)).unwrap();
    assert_eq!(merged["openapi"], "3.1.0");
    // Each model keeps to names of its own.
    let schemas = merged["components"]["schemas"].as_object().unwrap();
    for name in schemas.keys() {
        assert!(name.starts_with("Deployment0_") || name.starts_with("Deployment1_"));
    }
    let _ = routes.described();
});
