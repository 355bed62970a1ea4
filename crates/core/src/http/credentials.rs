//! What a server knows the caller by.

use ureq::http::HeaderValue;

use super::dialect::Dialect;
use super::secret::Secret;
use crate::error::{Error, Result};

/// What a server knows the caller by.
#[derive(Clone)]
pub enum Credentials {
    /// Always the same; an empty one is not sent.
    Token(Secret),
    /// One that ends, and is renewed.
    Renewed(std::sync::Arc<super::Renewal>),
}

impl Credentials {
    /// What the header says that bears them; of those that change, nothing.
    pub(super) fn bearer(&self, dialect: &Dialect) -> Result<HeaderValue> {
        match self {
            Credentials::Token(token) => bearer(dialect, token),
            Credentials::Renewed(_) => Ok(HeaderValue::from_static("")),
        }
    }

    /// `text` without any of the secrets, should it hold one.
    pub(super) fn redact(&self, text: &str) -> String {
        match self {
            Credentials::Token(token) => token.redact(text),
            Credentials::Renewed(renewal) => renewal.redact(text),
        }
    }
}

/// What the header says that shows `token` to servers of this kind.
pub(super) fn bearer(dialect: &Dialect, token: &Secret) -> Result<HeaderValue> {
    if token.expose().is_empty() {
        return Ok(HeaderValue::from_static(""));
    }
    let mut value = HeaderValue::from_str(&format!("{}{}", dialect.token.1, token.expose()))
        .map_err(|_| Error::new("the token holds characters that no header can carry"))?;
    value.set_sensitive(true);
    Ok(value)
}
