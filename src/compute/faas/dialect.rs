//! The two ways of saying the same, and what refusals mean in each.

use serde_json::Value;
use ureq::http::HeaderName;
use ureq::http::header::AUTHORIZATION;

use crate::http::{Class, Dialect, Problem, excerpt, shortened};

/// Which of two ways of saying the same a server wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FaasDialect {
    /// The contract's: a command is a text for a shell, variables are pairs, the
    /// key is a bearer.
    #[default]
    Gateway,
    /// The second server's: a command is a list of words, variables are `K=V`,
    /// the key is an `x-api-key`, and every refusal a 400.
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

/// A 404 that says nothing is that of a route which does not exist.
fn explain(status: u16, body: &[u8]) -> Problem {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let told = document["error"].as_str().or(document["message"].as_str());
    let kind = document["code"].as_str().map(shortened);
    let class = match kind.as_deref() {
        Some("UNAUTHORIZED") => Class::Unauthorized,
        Some("FORBIDDEN") => Class::Forbidden,
        Some("NOT_FOUND") => Class::NotFound,
        Some("RATE_LIMIT_EXCEEDED") => Class::RateLimited,
        _ => Class::of_status(status, told.is_some()),
    };
    let message = match (told, status, body) {
        (Some(told), ..) => shortened(told),
        (None, 500, []) => "no reason told; an unknown image fails like this".to_owned(),
        _ => excerpt(body),
    };
    Problem {
        class,
        kind,
        message,
        is_own: told.is_some(),
    }
}
