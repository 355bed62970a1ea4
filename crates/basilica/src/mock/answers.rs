//! The JSON answers that all routes share.

use serde_json::{Value, json};

use satellite_serve::Response;

pub(super) fn found(document: &Value) -> Response {
    Response::json(200, document.to_string())
}

pub(super) fn error(status: u16, code: &str, message: &str, retryable: bool) -> Response {
    let error = json!({
        "code": format!("BASILICA_API_{code}"),
        "message": message,
        "timestamp": "2026-01-01T00:00:00Z",
        "retryable": retryable,
    });
    Response::json(status, json!({ "error": error }).to_string())
}
