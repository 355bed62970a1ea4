//! Sends calls: retries where that is safe, with limits on time and size.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ureq::http::{self, HeaderValue, header};
use ureq::{Agent, AsSendBody, Body};

use super::agent;
use super::call::{Call, Effort};
use super::credentials;
use super::credentials::Credentials;
use super::fault::Failure;
use super::resolver::CachingResolver;
use super::response::{Request, Response};
use super::retry::{self, Outcome};
use super::server::Server;
use crate::error::{Error, Result};
use crate::wake::{Stage, Waiter};

/// The size limit of a response body in bytes.
pub const BODY_LIMIT: u64 = 32 * 1024 * 1024;

/// An HTTP client for one server.
pub struct Transport {
    agent: RwLock<Agent>,
    pub(super) resolver: CachingResolver,
    pub(super) server: Arc<Server>,
    bearer: HeaderValue,
    host: String,
    pub(super) waiter: Waiter,
    /// The number of calls in progress.
    in_flight: AtomicUsize,
    /// Permanently cancelled.
    pub(super) is_cancelled: std::sync::atomic::AtomicBool,
}

impl Transport {
    /// A transport with its own connection pool.
    ///
    /// # Errors
    /// When the base is not a URL or the token is not a valid header value.
    pub fn new(server: Server, waiter: Waiter) -> Result<Self> {
        Self::with_resolver(Arc::new(server), waiter, CachingResolver::default())
    }

    pub(super) fn with_resolver(
        server: Arc<Server>,
        waiter: Waiter,
        resolver: CachingResolver,
    ) -> Result<Self> {
        let bearer = server.credentials.bearer(server.dialect)?;
        let host = server
            .base
            .parse::<http::Uri>()
            .ok()
            .and_then(|uri| uri.host().map(str::to_owned))
            .ok_or_else(|| Error::new(format_args!("{} is not a URL", server.base)))?;
        let agent = agent::build(&server, resolver.clone(), &host);
        Ok(Transport {
            agent: RwLock::new(agent),
            resolver,
            server,
            bearer,
            host,
            waiter,
            in_flight: AtomicUsize::new(0),
            is_cancelled: Default::default(),
        })
    }

    /// Sends `call` and retries it where that is safe, until there is a final
    /// response, the deadline expires, or the worker stops.
    pub fn send(&self, call: &Call<'_>) -> Result<Response> {
        let deadline = self.waiter.now() + call.within;
        for attempt in 1.. {
            if self.is_cancelled() {
                return Err(Error::stopped());
            }
            let left = match attempt {
                1 => call.within,
                _ => deadline.saturating_duration_since(self.waiter.now()),
            };
            let result = self.attempt(call, left)?;
            let (outcome, after) = match &result {
                Ok(answer) => (answer.outcome(), answer.retry_after()),
                Err(failure) => (Outcome::Fault(failure.fault), None),
            };
            let again = retry::delay(call.op, outcome, attempt, after, self.server.retries)
                .filter(|_| call.effort == Effort::Persistent)
                .map(|delay| retry::jittered(delay).max(after.unwrap_or_default().min(delay)))
                .filter(|delay| self.waiter.now() + *delay < deadline);
            let Some(delay) = again else {
                return result.map_err(|failure| self.error(call, failure));
            };
            log::debug!(
                "{}: {outcome:?}, retrying in {delay:.1?}",
                self.request(call)
            );
            if !self.waiter.sleep(delay, Stage::Stopping) {
                return Err(Error::stopped());
            }
        }
        unreachable!("the deadline ends the attempts")
    }

    /// Aborts the call in progress; later calls open a new connection. Does
    /// nothing if several calls are in progress, so as not to abort the others.
    pub fn interrupt(&self) {
        if self.in_flight.load(Ordering::SeqCst) > 1 {
            return;
        }
        let fresh = agent::build(&self.server, self.resolver.clone(), &self.host);
        let mut agent = self.agent.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *agent, fresh).shutdown();
    }

    /// The server's base URL.
    pub fn base(&self) -> &str {
        &self.server.base
    }

    /// The current time of the clock in use.
    pub fn now(&self) -> Instant {
        self.waiter.now()
    }

    /// One attempt; a token that the server rejects is renewed if possible, and
    /// the call is repeated once.
    fn attempt(&self, call: &Call<'_>, limit: Duration) -> Result<Result<Response, Failure>> {
        match &self.server.credentials {
            Credentials::Token(_) => Ok(self.once(call, &self.bearer, limit)),
            Credentials::Renewed(renewal) => {
                let deadline = self.waiter.now() + limit;
                let left = || deadline.saturating_duration_since(self.waiter.now());
                let token = renewal.token(self.waiter.now(), limit);
                let bearer = credentials::bearer(self.server.dialect, &token)?;
                let result = self.once(call, &bearer, left());
                if call.anonymous || !matches!(&result, Ok(answer) if answer.status == 401) {
                    return Ok(result);
                }
                let Some(token) = renewal.replace(&token, left())? else {
                    return Ok(result);
                };
                let bearer = credentials::bearer(self.server.dialect, &token)?;
                Ok(self.once(call, &bearer, left()))
            }
        }
    }

    fn once(
        &self,
        call: &Call<'_>,
        bearer: &HeaderValue,
        limit: Duration,
    ) -> Result<Response, Failure> {
        let started = Instant::now();
        let mut request = http::Request::builder()
            .method(&call.method)
            .uri(format!("{}{}", self.server.base, call.path));
        if !call.anonymous && !bearer.is_empty() {
            request = request.header(&self.server.dialect.token.0, bearer);
        }
        for (name, value) in self.server.dialect.headers {
            request = request.header(*name, *value);
        }
        for (name, value) in &call.headers {
            request = request.header(*name, *value);
        }
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let answer = match &call.body {
            Some(body) => request
                .header(header::CONTENT_TYPE, call.content_type())
                .body(body.as_slice())
                .map_err(ureq::Error::from)
                .and_then(|request| self.run(call, request, limit)),
            None => request
                .body(())
                .map_err(ureq::Error::from)
                .and_then(|request| self.run(call, request, limit)),
        };
        let answer = answer.and_then(|answer| self.take(call, answer));
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        answer.map_err(|error| {
            let mut failure = Failure::new(error, &self.server.base, started.elapsed(), BODY_LIMIT);
            if self.is_cancelled() {
                failure.cancelled();
            }
            if failure.fault.never_opened() {
                self.resolver.expire();
            }
            failure
        })
    }

    fn run(
        &self,
        call: &Call<'_>,
        request: http::Request<impl AsSendBody>,
        limit: Duration,
    ) -> Result<http::Response<Body>, ureq::Error> {
        let agent = self
            .agent
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if call.has_default_limits(limit) {
            return agent.run(request); // the agent has them already
        }
        let request = agent.configure_request(request);
        agent.run(call.limited(request, limit).build())
    }

    fn take(&self, call: &Call<'_>, answer: http::Response<Body>) -> Result<Response, ureq::Error> {
        let (parts, body) = answer.into_parts();
        let body = body.into_with_config();
        let mut response = Response {
            request: self.request(call),
            dialect: self.server.dialect,
            op: call.op,
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: Vec::new(),
            stream: None,
        };
        if call.idle.is_some() && parts.status.is_success() {
            response.stream = Some(body.limit(u64::MAX).reader());
            return Ok(response);
        }
        response.body = body.limit(BODY_LIMIT).read_to_vec()?;
        Ok(response)
    }

    fn request(&self, call: &Call<'_>) -> Request {
        Request {
            method: call.method.clone(),
            path: call.display_path().to_owned(),
            server: self.server.clone(),
        }
    }

    fn error(&self, call: &Call<'_>, failure: Failure) -> Error {
        let text = self.server.credentials.redact(&failure.text);
        Error::from_fault(self.request(call).to_string(), failure.fault, text).for_op(call.op)
    }

    /// Whether a [`Cancel`](super::Cancel) cancelled this transport.
    pub(super) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::SeqCst)
    }

    pub(super) fn shut_down(&self) {
        let agent = self.agent.read().unwrap_or_else(PoisonError::into_inner);
        agent.clone().shutdown();
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transport").field(&self.server.base).finish()
    }
}
