//! The two wire formats, and what their error responses mean.

use satellite_core::http::header::AUTHORIZATION;
use satellite_core::http::header::HeaderName;
use serde_json::Value;

use satellite_core::http::{Class, Dialect, Problem, excerpt, shortened};

/// The wire format of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FaasDialect {
    /// The contract's: a command is a shell script, variables are pairs, the key is a
    /// bearer token.
    #[default]
    Gateway,
    /// The second server's: a command is a list of arguments, variables are `K=V`,
    /// the key is an `x-api-key`, and every error response is a 400.
    Server,
}

impl FaasDialect {
    pub(super) fn http(self) -> &'static Dialect {
        match self {
            FaasDialect::Gateway => &GATEWAY,
            FaasDialect::Server => &SERVER,
        }
    }
}

static GATEWAY: Dialect = Dialect {
    token: (AUTHORIZATION, "Bearer "),
    headers: &[],
    explain,
};

static SERVER: Dialect = Dialect {
    token: (HeaderName::from_static("x-api-key"), ""),
    headers: &[],
    explain,
};

/// A 404 without the server's `error` field means that the route does not exist. A
/// `message` field alone comes from a proxy or gateway.
fn explain(status: u16, body: &[u8]) -> Problem {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let own = document["error"].as_str();
    let text = own.or(document["message"].as_str());
    let kind = document["code"].as_str().map(shortened);
    let class = match kind.as_deref() {
        Some("UNAUTHORIZED") => Class::Unauthorized,
        Some("FORBIDDEN") => Class::Forbidden,
        Some("NOT_FOUND") => Class::NotFound,
        Some("RATE_LIMIT_EXCEEDED") => Class::RateLimited,
        _ => Class::of_status(status, own.is_some()),
    };
    let message = match (text, body) {
        (Some(text), _) => shortened(text),
        (None, []) => "the server gave no reason".to_owned(),
        _ => excerpt(body),
    };
    Problem {
        class,
        kind,
        message,
        is_own: own.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_error_field_marks_a_response_as_the_servers_own() {
        for (status, body, class, is_own) in [
            (
                400,
                r#"{"error":"x","code":"FORBIDDEN"}"#,
                Class::Forbidden,
                true,
            ),
            (404, r#"{"error":"x"}"#, Class::NotFound, true),
            (
                404,
                r#"{"message":"no Route matched"}"#,
                Class::Unsupported,
                false,
            ),
            (503, r#"{"error":"overloaded"}"#, Class::Transient, true),
            (
                503,
                r#"{"message":"Service Unavailable"}"#,
                Class::Transient,
                false,
            ),
            (502, "<html>Bad Gateway</html>", Class::Transient, false),
            (500, "", Class::Transient, false),
        ] {
            let problem = explain(status, body.as_bytes());
            assert_eq!((problem.class, problem.is_own), (class, is_own), "{body}");
        }
    }
}
