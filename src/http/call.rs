//! One call: sent, sent again where that is safe, bounded in time and size.

use std::fmt;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use ureq::http::{self, HeaderValue, header};
use ureq::{Agent, AsSendBody, Body};

pub(crate) use ureq::http::Method;

use super::agent::{self, Trust};
use super::resolver::CachingResolver;
use super::response::Response;
use super::retry::{self, Fault, Op, Outcome};
use super::secret::Secret;
use crate::error::{Error, Result};
use crate::wake::{Stage, Waiter};

/// One call with its answer, resends included, lasts no longer than this
/// unless it says otherwise.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// No answer of an API is larger than this.
const BODY_LIMIT: u64 = 32 * 1024 * 1024;

/// What to ask for.
pub(crate) struct Call<'a> {
    method: Method,
    path: &'a str,
    body: Option<Vec<u8>>,
    op: Op,
    anonymous: bool,
    effort: Effort,
    within: Duration,
}

/// How often a call is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Until it goes well, within the deadline, where it may be sent again.
    Persistent,
    /// Once: the caller has a backoff of its own.
    Once,
}

impl<'a> Call<'a> {
    /// A call of `method`; whether it may be sent twice follows from it until
    /// [`op`](Self::op) says better.
    pub(crate) fn new(method: Method, path: &'a str) -> Self {
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
        }
    }

    pub(crate) fn json(mut self, body: &impl serde::Serialize) -> Result<Self> {
        self.body = Some(serde_json::to_vec(body)?);
        Ok(self)
    }

    pub(crate) fn op(mut self, op: Op) -> Self {
        self.op = op;
        self
    }

    /// Without the token.
    pub(crate) fn anonymous(mut self) -> Self {
        self.anonymous = true;
        self
    }

    /// The answer is there within this time or not at all, resends included.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.within = limit;
        self
    }

    pub(crate) fn effort(mut self, effort: Effort) -> Self {
        self.effort = effort;
        self
    }
}

/// One server, spoken to through one agent.
pub(crate) struct Transport {
    agent: RwLock<Agent>,
    resolver: CachingResolver,
    trust: Trust,
    base: String,
    host: String,
    token: Secret,
    bearer: HeaderValue,
    max_backoff: Duration,
    waiter: Waiter,
    /// Calls that are being sent or waited for at this moment.
    under_way: AtomicUsize,
}

impl Transport {
    /// `base` is a checked URL without a slash at its end, `token` is of
    /// characters that fit into a header.
    pub(crate) fn new(
        base: &str,
        token: Secret,
        trust: Trust,
        max_backoff: Duration,
        waiter: Waiter,
    ) -> Result<Self> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| Error::new("the token holds characters that no header can carry"))?;
        bearer.set_sensitive(true);
        let host = base
            .parse::<http::Uri>()
            .ok()
            .and_then(|uri| uri.host().map(str::to_owned))
            .ok_or_else(|| Error::new(format_args!("{base} is not a URL")))?;
        let resolver = CachingResolver::default();
        Ok(Transport {
            agent: RwLock::new(agent::build(&trust, resolver.clone(), &host)),
            resolver,
            trust,
            base: base.to_owned(),
            host,
            token,
            bearer,
            max_backoff,
            waiter,
            under_way: AtomicUsize::new(0),
        })
    }

    /// Sends `call`, again where that is safe, until there is an answer that
    /// stands, the deadline is over, or the worker stops.
    pub(crate) fn send(&self, call: &Call<'_>) -> Result<Response> {
        let deadline = self.waiter.now() + call.within;
        for attempt in 1.. {
            let left = deadline.saturating_duration_since(self.waiter.now());
            self.under_way.fetch_add(1, Ordering::SeqCst);
            let result = self.attempt(call, left);
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            let (outcome, after) = match &result {
                Ok(answer) => (Outcome::Status(answer.status()), answer.retry_after()),
                Err(failure) => (Outcome::Fault(failure.fault), None),
            };
            let again = retry::delay(call.op, outcome, attempt, after, self.max_backoff)
                .filter(|_| call.effort == Effort::Persistent)
                .map(|delay| retry::jittered(delay).max(after.unwrap_or_default().min(delay)))
                .filter(|delay| self.waiter.now() + *delay < deadline);
            let Some(delay) = again else {
                return result.map_err(|failure| self.error(call, failure));
            };
            log::debug!("{}: {outcome:?}, again in {delay:.1?}", self.asked(call));
            if !self.waiter.sleep(delay, Stage::Stopping) {
                return Err(Error::stopped());
            }
        }
        unreachable!("the deadline ends the attempts")
    }

    /// Breaks off the call under way; later calls open a new connection. Where
    /// others are under way beside it they go before: all of them are let be.
    pub(crate) fn interrupt(&self) {
        if self.under_way.load(Ordering::SeqCst) > 1 {
            return;
        }
        let fresh = agent::build(&self.trust, self.resolver.clone(), &self.host);
        let mut agent = self.agent.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *agent, fresh).shutdown();
    }

    /// The server's address, for people.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    fn attempt(&self, call: &Call<'_>, limit: Duration) -> Result<Response, Failure> {
        let started = Instant::now();
        let mut request = http::Request::builder()
            .method(&call.method)
            .uri(format!("{}{}", self.base, call.path));
        if !call.anonymous {
            request = request.header(header::AUTHORIZATION, &self.bearer);
        }
        let answer = match &call.body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body.as_slice())
                .map_err(ureq::Error::from)
                .and_then(|request| self.run(request, limit)),
            None => request
                .body(())
                .map_err(ureq::Error::from)
                .and_then(|request| self.run(request, limit)),
        };
        answer
            .and_then(|answer| {
                let (parts, body) = answer.into_parts();
                let body = body.into_with_config().limit(BODY_LIMIT).read_to_vec()?;
                Ok((parts, body))
            })
            .map(|(parts, body)| Response {
                asked: self.asked(call),
                status: parts.status.as_u16(),
                headers: parts.headers,
                body,
            })
            .map_err(|error| {
                let failure = Failure::new(error, started.elapsed());
                if failure.fault.never_opened() {
                    self.resolver.forget_freshness();
                }
                failure
            })
    }

    fn run(
        &self,
        request: http::Request<impl AsSendBody>,
        limit: Duration,
    ) -> Result<http::Response<Body>, ureq::Error> {
        let agent = self
            .agent
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let request = agent.configure_request(request);
        agent.run(request.timeout_global(Some(limit)).build())
    }

    fn asked(&self, call: &Call<'_>) -> String {
        let path = self.token.redact(call.path);
        format!("{} {path} at {}", call.method, self.base)
    }

    fn error(&self, call: &Call<'_>, failure: Failure) -> Error {
        Error::from_fault(
            self.asked(call),
            failure.fault,
            self.token.redact(&failure.text),
        )
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transport").field(&self.base).finish()
    }
}

struct Failure {
    fault: Fault,
    text: String,
}

impl Failure {
    fn new(error: ureq::Error, after: Duration) -> Self {
        let fault = classify(&error);
        let text = match fault {
            Fault::Unresolved => "the name has no address".to_owned(),
            Fault::ConnectTimedOut => format!("no connection within {after:.1?}"),
            Fault::TimedOut => format!("no complete answer within {after:.1?}"),
            Fault::TooLarge => format!("the answer is larger than {} MiB", BODY_LIMIT >> 20),
            Fault::Refused => format!("no connection: {error}"),
            Fault::Tls => format!("no trusted connection: {error}"),
            Fault::Broken => format!("the connection broke: {error}"),
            Fault::Garbled => format!("the answer is not HTTP: {error}"),
        };
        Failure { fault, text }
    }
}

pub(super) fn classify(error: &ureq::Error) -> Fault {
    use ureq::{Error, Timeout};
    match error {
        Error::HostNotFound => Fault::Unresolved,
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => Fault::ConnectTimedOut,
        Error::Timeout(_) => Fault::TimedOut,
        Error::ConnectionFailed | Error::ConnectProxyFailed(_) => Fault::Refused,
        Error::Io(e) => match e.kind() {
            ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::AddrNotAvailable
            | ErrorKind::NotConnected => Fault::Refused,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Fault::TimedOut,
            ErrorKind::InvalidData => Fault::Tls,
            _ => Fault::Broken,
        },
        #[cfg(feature = "tls")]
        Error::Rustls(_) => Fault::Tls,
        Error::Tls(_) | Error::TlsRequired => Fault::Tls,
        Error::BodyExceedsLimit(_) => Fault::TooLarge,
        Error::BodyStalled => Fault::Broken,
        _ => Fault::Garbled,
    }
}
