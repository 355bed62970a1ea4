//! How an API server is shown the token, and what its refusals mean.

use satellite_core::http::header::AUTHORIZATION;
use serde_json::Value;

use satellite_core::http::{Class, Dialect, Problem, detail, excerpt, shortened};

/// What this client speaks, and the oldest that it and its peers understand.
pub(super) const API_VERSION: u32 = 62;
pub(super) const OLDEST_API_VERSION: u32 = 24;

const HEADERS: &[(&str, &str)] = &[
    ("x-skypilot-api-version", "62"),
    ("x-skypilot-version", "0.14.1"),
];

/// The server schedules nothing that it answers 503; a 429 is a proxy's, in its
/// place.
const UNDONE: &[u16] = &[429, 503];

pub(super) static BEARER: Dialect = Dialect {
    token: (AUTHORIZATION, "Bearer "),
    headers: HEADERS,
    undone: UNDONE,
    explain,
};

/// For `user:password` in the address.
pub(super) static BASIC: Dialect = Dialect {
    token: (AUTHORIZATION, "Basic "),
    headers: HEADERS,
    undone: UNDONE,
    explain,
};

fn explain(status: u16, body: &[u8]) -> Problem {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some("version_mismatch") = document["error"].as_str() {
        return Problem {
            class: Class::VersionMismatch,
            kind: Some("version_mismatch".into()),
            message: plain(document["message"].as_str().unwrap_or_default()),
            is_own: true,
        };
    }
    let told = &document["detail"];
    let failure = match told["error"].as_str() {
        Some(record) => serde_json::from_str(record).unwrap_or_default(),
        None => told.clone(),
    };
    if let Some(kind) = failure["type"].as_str() {
        return failed(kind, failure["message"].as_str().unwrap_or_default());
    }
    if told.is_object() {
        let message = told["status_msg"]
            .as_str()
            .unwrap_or("failed without a reason");
        return failed("", message);
    }
    match (detail(told), document.as_str()) {
        (Some(message), _) => {
            let is_own = message != "Not Found";
            Problem::of_status(status, message, is_own)
        }
        (None, Some(message)) => Problem::of_status(status, shortened(message), true),
        // A crash is a traceback: its last line says what it was.
        (None, None) => {
            let last = body.trim_ascii_end().rsplit(|byte| *byte == b'\n').next();
            Problem::of_status(status, excerpt(last.unwrap_or(body)), false)
        }
    }
}

/// What became of an operation is final: asking again changes nothing, whatever
/// the status that it came with.
pub(super) fn failed(kind: &str, message: &str) -> Problem {
    let class = match kind {
        "ClusterDoesNotExist" | "PortDoesNotExistError" | "VolumeNotFoundError" => Class::NotFound,
        "PermissionDeniedError" | "NoWorkspaceAccessError" => Class::Forbidden,
        "ApiServerAuthenticationError" => Class::Unauthorized,
        "APIVersionMismatchError" => Class::VersionMismatch,
        "APINotSupportedError" => Class::Unsupported,
        "ClusterNotUpError" => Class::Conflict,
        "ValueError" | "InvalidClusterNameError" | "InvalidSkyPilotConfigError" => Class::Invalid,
        _ => Class::Failed,
    };
    Problem {
        class,
        kind: (!kind.is_empty()).then(|| plain(kind)),
        message: plain(message),
        is_own: true,
    }
}

fn plain(message: &str) -> String {
    shortened(&super::logs::cleaned(message))
}
