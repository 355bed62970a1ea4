//! How the token is sent to the gateway, and what its error responses mean.

use satellite_core::http::header::AUTHORIZATION;
use serde_json::Value;

use satellite_core::http::{Class, Dialect, Problem, excerpt, shortened};

pub(super) static GATEWAY: Dialect = Dialect {
    token: (AUTHORIZATION, "Bearer "),
    headers: &[],
    explain,
};

/// For the token endpoint, which reads its parameters from the body.
pub(super) static OAUTH: Dialect = Dialect {
    token: (AUTHORIZATION, "Bearer "),
    headers: &[],
    explain: explain_grant,
};

fn explain(status: u16, body: &[u8]) -> Problem {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = &document["error"];
    let text = |name: &str| error[name].as_str().map(shortened);
    let is_own = error["code"].is_string();
    Problem {
        class: class(status, error["retryable"].as_bool()),
        kind: text("code"),
        message: text("message").unwrap_or_else(|| empty_or_raw(status, body)),
        is_own,
    }
}

/// Only the status distinguishes a missing resource (404) from a missing route (403,
/// the same as for a key without permission): these responses have no body.
fn class(status: u16, retryable: Option<bool>) -> Class {
    match (status, retryable) {
        (404, _) => Class::NotFound,
        // An outage of the key set is marked as final but is over within a minute.
        (503, _) => Class::Transient,
        (400..=499, Some(true)) => Class::Transient,
        (500..=599, Some(false)) => Class::Failed,
        _ => Class::of_status(status, true),
    }
}

fn empty_or_raw(status: u16, body: &[u8]) -> String {
    match (status, body) {
        (403, []) => "not allowed, or a route of the other API version".to_owned(),
        (404, []) => "it does not exist, or no longer exists".to_owned(),
        _ => excerpt(body),
    }
}

/// An expired grant is a rejected token, whatever the status.
fn explain_grant(status: u16, body: &[u8]) -> Problem {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let kind = document["error"].as_str().map(shortened);
    let class = match (status, kind.as_deref()) {
        (401, _) | (_, Some("invalid_grant" | "invalid_client" | "unauthorized_client")) => {
            Class::Unauthorized
        }
        _ => Class::of_status(status, kind.is_some()),
    };
    Problem {
        class,
        message: document["error_description"]
            .as_str()
            .map_or_else(String::new, shortened),
        is_own: kind.is_some(),
        kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_and_the_body_determine_the_class() {
        let error = |retryable: bool| {
            format!(r#"{{"error":{{"code":"OTHER_ERROR","message":"x","retryable":{retryable}}}}}"#)
        };
        for (status, body, expected) in [
            (403, String::new(), Class::Forbidden),
            (404, String::new(), Class::NotFound),
            (405, String::new(), Class::Unsupported),
            (422, "missing field `cpu_cores`".into(), Class::Invalid),
            (500, error(true), Class::Transient),
            (500, error(false), Class::Failed),
            (503, error(false), Class::Transient),
            (401, error(false), Class::Unauthorized),
        ] {
            assert_eq!(explain(status, body.as_bytes()).class, expected, "{status}");
        }
        let grant = br#"{"error":"invalid_grant","error_description":"Unknown refresh token."}"#;
        assert_eq!(explain_grant(403, grant).class, Class::Unauthorized);
    }
}
