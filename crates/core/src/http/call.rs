//! One call: the request and its retry options.

use std::time::Duration;

use ureq::AsSendBody;
use ureq::config::ConfigBuilder;
use ureq::typestate::HttpCrateScope;

pub use ureq::http::Method;

use super::retry::Op;
use crate::error::Result;

/// The default time limit of one call including its response and retries.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// A request and its options.
pub struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Option<Vec<u8>>,
    pub(super) op: Op,
    pub(super) anonymous: bool,
    pub(super) effort: Effort,
    pub(super) within: Duration,
    /// Additional headers for this call.
    pub(super) headers: Vec<(&'a str, &'a str)>,
    /// The query contains a signature: only the path before `?` may be logged.
    pub(super) presigned: bool,
    /// Only `within` limits the wait for the response head.
    pub(super) patient: bool,
    /// The body is read as a stream with this idle timeout.
    pub(super) idle: Option<Duration>,
}

/// Whether a call is retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Retried until it succeeds or the deadline expires, if a retry is safe.
    Persistent,
    /// Sent once: the caller has its own backoff.
    Once,
}

impl<'a> Call<'a> {
    /// A call of `method`. The method decides whether it may be retried unless
    /// [`op`](Self::op) overrides it.
    pub fn new(method: Method, path: &'a str) -> Self {
        let op = match method {
            Method::GET | Method::HEAD => Op::Read,
            Method::PUT | Method::DELETE => Op::Idempotent,
            _ => Op::Create,
        };
        Call {
            method,
            path,
            body: None,
            op,
            anonymous: false,
            effort: Effort::Persistent,
            within: DEADLINE,
            headers: Vec::new(),
            presigned: false,
            patient: false,
            idle: None,
        }
    }

    /// Sets a JSON body.
    ///
    /// # Errors
    /// When the value cannot be serialized.
    pub fn json(mut self, body: &impl serde::Serialize) -> Result<Self> {
        self.body = Some(serde_json::to_vec(body)?);
        Ok(self)
    }

    /// Sets a raw body for a presigned path; the token is not sent.
    pub fn presigned(mut self, body: Option<Vec<u8>>) -> Self {
        self.body = body;
        self.presigned = true;
        self.anonymous = true;
        self
    }

    /// Adds one header.
    pub fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The path for log lines and errors.
    pub(super) fn display_path(&self) -> &str {
        if self.presigned {
            return self.path.split('?').next().unwrap_or(self.path);
        }
        self.path
    }

    pub(super) fn content_type(&self) -> &'static str {
        if self.presigned {
            return "application/octet-stream";
        }
        "application/json"
    }

    /// Sets the effect of the call, which decides whether it may be retried.
    pub fn op(mut self, op: Op) -> Self {
        self.op = op;
        self
    }

    /// Sends the call without the token.
    pub fn anonymous(mut self) -> Self {
        self.anonymous = true;
        self
    }

    /// Sets the time limit of the call including its response and retries.
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = limit;
        self
    }

    /// Sets whether the call is retried.
    pub fn effort(mut self, effort: Effort) -> Self {
        self.effort = effort;
        self
    }

    /// For a server that responds when the work is done: only the deadline limits
    /// the wait, not the usual 30 s of each attempt.
    pub fn patient(mut self) -> Self {
        self.patient = true;
        self
    }

    /// Reads the body as a stream through
    /// [`Response::into_lines`](super::Response::into_lines), with the idle timeout
    /// `idle`. The deadline then only applies to the response head.
    pub fn streamed(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// Whether the time limits of an attempt are those of the agent.
    pub(super) fn has_default_limits(&self, left: Duration) -> bool {
        self.idle.is_none() && !self.patient && left == DEADLINE
    }

    /// Adds the time limits of one attempt to those of the agent.
    pub(super) fn limited<B: AsSendBody>(
        &self,
        request: ConfigBuilder<HttpCrateScope<B>>,
        left: Duration,
    ) -> ConfigBuilder<HttpCrateScope<B>> {
        if self.idle.is_some() {
            return request
                .timeout_global(None)
                .timeout_recv_response(Some(left))
                .timeout_recv_body(None)
                .timeout_per_read(self.idle);
        }
        let request = match self.patient {
            true => request.timeout_recv_response(None).timeout_recv_body(None),
            false => request,
        };
        request.timeout_global(Some(left))
    }
}
