//! One call: what to ask for, and how hard to try.

use std::time::Duration;

use ureq::AsSendBody;
use ureq::config::ConfigBuilder;
use ureq::typestate::HttpCrateScope;

pub use ureq::http::Method;

use super::retry::Op;
use crate::error::Result;

/// One call with its answer, resends included, lasts no longer than this
/// unless it says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// What to ask for.
pub struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Option<Vec<u8>>,
    pub(super) op: Op,
    pub(super) anonymous: bool,
    pub(super) effort: Effort,
    pub(super) within: Duration,
    /// A header of this call alone.
    pub(super) header: Option<(&'static str, &'a str)>,
    /// The path bears a signature: it is shown to its question mark only.
    pub(super) presigned: bool,
    /// Nothing but `within` limits the wait for the answer's head.
    pub(super) patient: bool,
    /// The body is read as it comes, and given up after a silence of this.
    pub(super) idle: Option<Duration>,
}

/// How often a call is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Until it goes well, within the deadline, where it may be sent again.
    Persistent,
    /// Once: the caller has a backoff of its own.
    Once,
}

impl<'a> Call<'a> {
    /// A call of `method`; whether it may be sent twice follows from it until
    /// [`op`](Self::op) says better.
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
            header: None,
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

    /// A body of any bytes, to a path that bears its own signature.
    pub fn presigned(mut self, body: Option<Vec<u8>>) -> Self {
        self.body = body;
        self.presigned = true;
        self.anonymous = true;
        self
    }

    /// Adds one header.
    pub fn header(mut self, name: &'static str, value: &'a str) -> Self {
        self.header = Some((name, value));
        self
    }

    /// The path, for people.
    pub(super) fn shown_path(&self) -> &str {
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

    /// Sets whether the call may be sent twice.
    pub fn op(mut self, op: Op) -> Self {
        self.op = op;
        self
    }

    /// Without the token.
    pub fn anonymous(mut self) -> Self {
        self.anonymous = true;
        self
    }

    /// The answer is there within this time or not at all, resends included.
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = limit;
        self
    }

    /// Sets whether the call is retried.
    pub fn effort(mut self, effort: Effort) -> Self {
        self.effort = effort;
        self
    }

    /// The server answers when the work is done: only the deadline limits the
    /// wait, not the 30 s that each attempt has otherwise.
    pub fn patient(mut self) -> Self {
        self.patient = true;
        self
    }

    /// The body is a stream: [`Response::into_lines`](super::Response::into_lines)
    /// has it, and gives it up when nothing comes for `idle`. The deadline is
    /// that of the answer's head alone.
    pub fn streamed(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// The time limits of an attempt, beside those that the agent has.
    pub(super) fn limited<B: AsSendBody>(
        &self,
        request: ConfigBuilder<HttpCrateScope<B>>,
        left: Duration,
    ) -> ConfigBuilder<HttpCrateScope<B>> {
        if self.idle.is_some() {
            return request
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
