//! HTTP responses.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::http::Method;

use super::dialect::{Dialect, Problem, excerpt, shortened};
use super::retry::{Op, Outcome};
use super::server::Server;
use crate::error::{Error, Result};

/// A complete response of a server, with any status.
///
/// ```no_run
/// # fn show(answer: satellite_core::Response) -> satellite_core::Result<()> {
/// if answer.status() == 200 {
///     let deployments: serde_json::Value = answer.json()?;
///     println!("{deployments}");
/// }
/// # Ok(()) }
/// ```
pub struct Response {
    pub(super) request: Request,
    pub(super) dialect: &'static Dialect,
    pub(super) op: Op,
    pub(super) status: u16,
    pub(super) headers: ureq::http::HeaderMap,
    pub(super) body: Vec<u8>,
    /// Replaces the body if the call was streamed.
    pub(super) stream: Option<ureq::BodyReader<'static>>,
}

/// What was asked, and of whom. Formatted only for a message.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) server: Arc<Server>,
}

impl Response {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The value of a header, if it is present and plain text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All headers that are plain text, with names in lower case.
    ///
    /// ```no_run
    /// # fn show(answer: satellite_core::Response) {
    /// for (name, value) in answer.headers() {
    ///     println!("{name}: {value}");
    /// }
    /// # }
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = self.headers.iter();
        headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }

    /// The body as received.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as text; invalid UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// This response if its status is 2xx, otherwise an [`Error`] that describes it.
    pub fn ok(self) -> Result<Self> {
        match self.status {
            200..=299 => Ok(self),
            _ => Err(self.into_error()),
        }
    }

    /// Deserializes the body of a 2xx response.
    pub fn json<T: DeserializeOwned>(self) -> Result<T> {
        let answer = self.ok()?;
        serde_json::from_slice(&answer.body).map_err(|e| {
            let status = answer.status;
            // JSON may contain secrets; other content shows which server responded.
            match e.is_data() {
                true => {
                    let mismatch = mismatch(&e);
                    Error::answer(
                        answer.request.to_string(),
                        format_args!("answered {status}, but {mismatch}"),
                    )
                }
                false => {
                    let begins = excerpt(&answer.body);
                    let text = format!("answered {status}, but {e}; it starts with {begins:?}");
                    Error::answer(answer.request.to_string(), text)
                }
            }
        })
    }

    /// Builds a response from its parts, for fuzzing.
    #[cfg(fuzzing)]
    #[doc(hidden)]
    pub fn made(
        dialect: &'static Dialect,
        status: u16,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Self {
        let mut headers = ureq::http::HeaderMap::new();
        for (name, value) in fields {
            let name = ureq::http::HeaderName::try_from(*name);
            let value = ureq::http::HeaderValue::try_from(*value);
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.append(name, value);
            }
        }
        Response {
            request: Request {
                method: Method::GET,
                path: "/".into(),
                server: Arc::new(Server::made(dialect)),
            },
            dialect,
            op: Op::Read,
            status,
            headers,
            body: body.to_vec(),
            stream: None,
        }
    }

    /// `Retry-After` in seconds; the date form is ignored.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.header("retry-after")?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self.status {
            200..=299 => Outcome::Final,
            status => {
                let problem = self.problem();
                Outcome::of_status(status, problem.class, problem.is_own)
            }
        }
    }

    /// Converts this response into an error.
    pub fn into_error(self) -> Error {
        let (problem, after) = (self.problem(), self.retry_after());
        Error::from_status(self.request.to_string(), self.status, problem, after).for_op(self.op)
    }

    fn problem(&self) -> Problem {
        match self.header("location") {
            Some(target) => {
                let place = shortened(target.split('?').next().unwrap_or(target));
                let message = format!("redirects to {place}, which is not followed");
                // The servers themselves never redirect, so a proxy sent this.
                Problem::of_status(self.status, message, false)
            }
            None => (self.dialect.explain)(self.status, &self.body),
        }
    }
}

/// Says what was expected and where, without the actual value.
fn mismatch(error: &serde_json::Error) -> String {
    let text = error.to_string();
    shortened(&match text.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => text,
    })
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = &self.server;
        let path = server.credentials.redact(&self.path);
        write!(f, "{} {path} at {}", self.method, server.base)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}: {})", self.request, self.status)
    }
}
