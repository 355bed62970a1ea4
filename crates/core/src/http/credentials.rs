//! How the caller authenticates to a server.

use ureq::http::HeaderValue;

use super::dialect::Dialect;
use super::secret::Secret;
use crate::error::{Error, Result};

/// How the caller authenticates to a server.
#[derive(Clone)]
pub enum Credentials {
    /// A fixed token; an empty one is not sent.
    Token(Secret),
    /// A token that expires and is renewed.
    Renewed(std::sync::Arc<super::Renewal>),
}

impl Credentials {
    /// The value of the header with the token; empty for tokens that are renewed.
    pub(super) fn bearer(&self, dialect: &Dialect) -> Result<HeaderValue> {
        match self {
            Credentials::Token(token) => bearer(dialect, token),
            Credentials::Renewed(_) => Ok(HeaderValue::from_static("")),
        }
    }

    /// `text` with all secrets replaced.
    pub(super) fn redact(&self, text: &str) -> String {
        match self {
            Credentials::Token(token) => token.redact(text),
            Credentials::Renewed(renewal) => renewal.redact(text),
        }
    }
}

/// The value of the header that carries `token` in this dialect.
pub(super) fn bearer(dialect: &Dialect, token: &Secret) -> Result<HeaderValue> {
    if token.expose().is_empty() {
        return Ok(HeaderValue::from_static(""));
    }
    let mut value = HeaderValue::from_str(&format!("{}{}", dialect.token.1, token.expose()))
        .map_err(|_| {
            Error::new("the token contains characters that are not allowed in a header")
        })?;
    value.set_sensitive(true);
    Ok(value)
}
