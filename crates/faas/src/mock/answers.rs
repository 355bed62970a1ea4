//! The JSON answers that all routes share.

use serde_json::{Value, json};

use super::kind::FaasKind;
use super::server::Shared;
use satellite_serve::Response;

/// An error response. The second server uses status 400 for all of them.
pub(super) fn error_response(shared: &Shared, status: u16, code: &str, message: &str) -> Response {
    let status = match shared.kind {
        FaasKind::Server => 400,
        _ => status,
    };
    Response::json(
        status,
        json!({ "error": message, "code": code }).to_string(),
    )
}

pub(super) fn found(document: &Value) -> Response {
    Response::json(200, document.to_string())
}
