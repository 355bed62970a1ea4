//! What came back.

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// A complete answer of a server, whatever its status.
///
/// ```no_run
/// # fn main() -> satellite_sdk::Result<()> {
/// # let platform = satellite_sdk::Builder::new().platform()?;
/// let answer = platform.get("/satellites/v1/deployments")?;
/// if answer.status() == 200 {
///     let deployments: serde_json::Value = answer.json()?;
///     println!("{deployments}");
/// }
/// # Ok(()) }
/// ```
pub struct Response {
    pub(super) asked: String,
    pub(super) status: u16,
    pub(super) headers: ureq::http::HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Response {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A header's value, where it is there and plain text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as it came.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// This answer if its status is 2xx, else an [`Error`] that tells what it is.
    pub fn ok(self) -> Result<Self> {
        match self.status {
            200..=299 => Ok(self),
            _ => Err(self.into_error()),
        }
    }

    /// The body of a 2xx answer as `T`.
    pub fn json<T: DeserializeOwned>(self) -> Result<T> {
        let answer = self.ok()?;
        serde_json::from_slice(&answer.body).map_err(|e| {
            let begins = excerpt(&answer.body);
            Error::answer(
                answer.asked,
                format_args!("answered {}, but {e}; it begins {begins:?}", answer.status),
            )
        })
    }

    /// `Retry-After` in seconds; the other form, a date, is not heeded.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.header("retry-after")?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    fn into_error(self) -> Error {
        let retry_after = self.retry_after();
        let (detail, missing_route) = if let Some(target) = self.header("location") {
            let origin = target.split('?').next().unwrap_or(target);
            (
                format!("redirects to {origin}, which is not followed"),
                false,
            )
        } else {
            describe(&self.body)
        };
        Error::from_status(self.asked, self.status, detail, missing_route, retry_after)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}: {})", self.asked, self.status)
    }
}

/// What an error body says, and whether it is that of a route that does not
/// exist: the platform names the thing that it did not find, a bare
/// `Not Found` is its framework's.
fn describe(body: &[u8]) -> (String, bool) {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_slice(body) else {
        return (excerpt(body), true);
    };
    match fields.get("detail") {
        Some(serde_json::Value::String(detail)) => (shortened(detail), detail == "Not Found"),
        // A validation error echoes the whole input, secrets included: only
        // where and what is told.
        Some(serde_json::Value::Array(items)) => {
            let items: Vec<_> = items.iter().map(validation_item).collect();
            (shortened(&items.join("; ")), false)
        }
        _ => (excerpt(body), true),
    }
}

fn validation_item(item: &serde_json::Value) -> String {
    let location: Vec<_> = item["loc"].as_array().map_or_else(Vec::new, |parts| {
        let part = |p: &serde_json::Value| p.as_str().map_or_else(|| p.to_string(), str::to_owned);
        parts.iter().map(part).collect()
    });
    let message = item["msg"].as_str().unwrap_or("refused");
    format!("{}: {message}", location.join("."))
}

fn excerpt(body: &[u8]) -> String {
    let head = &body[..body.len().min(400)];
    shortened(&String::from_utf8_lossy(head))
}

/// One line of at most 200 characters, nothing in it that a terminal obeys.
fn shortened(text: &str) -> String {
    let clean = text.trim().chars().take(200);
    let mut line: String = clean
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.trim().chars().nth(200).is_some() {
        line.push('…');
    }
    line
}
