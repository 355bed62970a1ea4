//! The JSON answers that all routes share.

use serde_json::{Value, json};

use super::kind::FaasKind;
use super::world::Shared;
use satellite_serve::Response;

/// The second server has one status for all of them.
pub(super) fn refusal(shared: &Shared, status: u16, code: &str, error: &str) -> Response {
    let status = match shared.kind {
        FaasKind::Server => 400,
        _ => status,
    };
    Response::json(status, json!({ "error": error, "code": code }).to_string())
}

pub(super) fn found(document: &Value) -> Response {
    Response::json(200, document.to_string())
}
