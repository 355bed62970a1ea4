//! How the token is sent to an API server, and what its error responses mean.

use satellite_core::http::header::AUTHORIZATION;
use serde_json::Value;

use super::logs::cleaned;
use satellite_core::http::{Class, Dialect, Problem, detail, excerpt, message, shortened};

/// The API version of this client, and the oldest server version that it supports.
pub(super) const API_VERSION: u32 = 62;
pub(super) const OLDEST_API_VERSION: u32 = 24;

const HEADERS: &[(&str, &str)] = &[
    ("x-skypilot-api-version", "62"),
    ("x-skypilot-version", "0.14.1"),
];

pub(super) static BEARER: Dialect = Dialect {
    token: (AUTHORIZATION, "Bearer "),
    headers: HEADERS,
    explain,
};

/// For `user:password` in the URL.
pub(super) static BASIC: Dialect = Dialect {
    token: (AUTHORIZATION, "Basic "),
    headers: HEADERS,
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
    let detail_field = &document["detail"];
    if let Some(kind) = detail_field["type"].as_str() {
        return failure(kind, detail_field["message"].as_str().unwrap_or_default());
    }
    // The final record of a failed request: `SkyPilotClient::result` parses it.
    if detail_field.is_object() {
        let message = detail_field["status_msg"]
            .as_str()
            .unwrap_or("the request failed");
        return failure("", message);
    }
    match (detail(detail_field), document.as_str()) {
        (Some(message), _) => {
            let is_own = message != "Not Found";
            Problem::of_status(status, message, is_own)
        }
        (None, Some(text)) => Problem::of_status(status, message(text), true),
        // A server crash returns a traceback, whose last line has the error.
        (None, None) => {
            let last = body.trim_ascii_end().rsplit(|byte| *byte == b'\n').next();
            Problem::of_status(status, excerpt(last.unwrap_or(body)), false)
        }
    }
}

/// An exception that the server raised, classified by its Python class. It is final:
/// the same operation would fail again.
pub(super) fn failure(kind: &str, text: &str) -> Problem {
    Problem {
        class: class_of(kind),
        kind: (!kind.is_empty()).then(|| shortened(&cleaned(kind))),
        message: plain(text),
        is_own: true,
    }
}

fn class_of(exception: &str) -> Class {
    match exception {
        "ClusterDoesNotExist"
        | "PoolDoesNotExistError"
        | "PortDoesNotExistError"
        | "RequestDoesNotExist"
        | "JobDoesNotExist"
        | "VolumeNotFoundError" => Class::NotFound,
        "CloudUserIdentityError"
        | "ClusterOwnerIdentityMismatchError"
        | "InvalidCloudCredentials"
        | "NoWorkspaceAccessError"
        | "PermissionDeniedError"
        | "UserRequestRejectedByPolicy" => Class::Forbidden,
        "ApiServerAuthenticationError" => Class::Unauthorized,
        "APIVersionMismatchError" | "version_mismatch" => Class::VersionMismatch,
        "APINotSupportedError"
        | "NotImplementedError"
        | "NotSupportedError"
        | "ProvisionUnsupportedError"
        | "SkyletMethodNotImplementedError" => Class::Unsupported,
        "ClusterNotUpError" | "RequestAlreadyExistsError" | "ResourcesMismatchError" => {
            Class::Conflict
        }
        "KubeAPIUnreachableError" | "ResourcesUnavailableError" => Class::NoCapacity,
        // The server's own, those of its validators, and PyYAML's.
        "InvalidCloudConfigs"
        | "InvalidClusterNameError"
        | "InvalidSkyPilotConfigError"
        | "InvalidWorkspaceNameError"
        | "KubernetesValidationError"
        | "StorageModeError"
        | "StorageNameError"
        | "StorageSourceError"
        | "StorageSpecError"
        | "ValidationError"
        | "ValueError"
        | "ComposerError"
        | "ConstructorError"
        | "ParserError"
        | "ReaderError"
        | "ScannerError" => Class::Invalid,
        _ => Class::Failed,
    }
}

fn plain(text: &str) -> String {
    message(&cleaned(text))
}
