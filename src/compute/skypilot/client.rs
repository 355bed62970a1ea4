//! The client: how it is built, and how a request is handed in and waited for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::dialect::{self, API_VERSION, OLDEST_API_VERSION};
use super::logs::readable;
use super::models::{Health, RequestRecord, RequestStatus};
use super::request::Request;
use super::user::User;
use crate::compute::builder::{Client, Connection};
use crate::compute::{Cancel, ClientBuilder, Stream, TimeLimits};
use crate::error::{Error, Result};
use crate::http::{
    Call, Class, Credentials, Method, Op, Pace, Problem, Response, Secret, Source, Transport,
    behind, retry, with_query,
};
use crate::settings::Variables;

/// How often a request is asked after.
const PACE: Pace = Pace {
    first: Duration::from_millis(200),
    max: Duration::from_secs(5),
};

/// A SkyPilot API server, one method for each operation. Clones share one
/// connection.
///
/// ```no_run
/// use satellite_sdk::compute::skypilot::SkyPilotClient;
///
/// let sky = SkyPilotClient::from_env()?;
/// for cluster in sky.list_clusters()? {
///     println!("{} {}", cluster.name, cluster.status);
/// }
/// # Ok::<(), satellite_sdk::Error>(())
/// ```
#[derive(Clone)]
pub struct SkyPilotClient {
    pub(super) transport: Arc<Transport>,
    pub(super) limits: TimeLimits,
    pub(super) user: Arc<User>,
}

impl Client for SkyPilotClient {
    type Options = User;

    const PREFIX: &'static str = "SKYPILOT_";
    const URL: &'static [&'static str] = &["API_SERVER_URL", "API_SERVER_ENDPOINT"];
    const DEFAULT_URL: &'static str = "http://127.0.0.1:46580";
    const TOKEN: &'static str = "SERVICE_ACCOUNT_TOKEN";
    const PASSWORDS: bool = true;

    fn read(user: &mut User, variables: &mut Variables) {
        user.read(variables);
    }

    fn open(connection: Connection, user: User) -> Result<Self> {
        let (dialect, token) = match &connection.password {
            Some(password) => {
                let basic = BASE64.encode(password.expose());
                (&dialect::BASIC, Secret::from(basic))
            }
            None => (&dialect::BEARER, connection.token.clone()),
        };
        let credentials = Credentials::Token(token);
        Ok(SkyPilotClient {
            transport: connection.transport(&connection.url, dialect, credentials)?,
            limits: connection.limits,
            user: Arc::new(user),
        })
    }
}

impl SkyPilotClient {
    /// A client to be built. Its variables begin with `SKYPILOT_`: the address
    /// is `SKYPILOT_API_SERVER_URL`, or the official client's
    /// `SKYPILOT_API_SERVER_ENDPOINT` (default `http://127.0.0.1:46580`; it may
    /// hold `user:password@`), the token `SKYPILOT_SERVICE_ACCOUNT_TOKEN`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use satellite_sdk::compute::skypilot::SkyPilotClient;
    ///
    /// let sky = SkyPilotClient::builder()
    ///     .url("https://sky.example.com")
    ///     .token("sky_…".replace('…', "abc"))
    ///     .max_retries(5)
    ///     .retry_delay(Duration::from_secs(2))
    ///     .build()?;
    /// # let _ = sky;
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    pub fn builder() -> ClientBuilder<Self> {
        ClientBuilder::default()
    }

    /// A client for what the environment says.
    ///
    /// # Errors
    /// `is_settings()`, naming all that is wrong.
    pub fn from_env() -> Result<Self> {
        Self::builder().build()
    }

    /// The same client through connections of its own, which `cancel` ends.
    ///
    /// # Errors
    /// None that this client did not have.
    pub fn cancelled_by(&self, cancel: &Cancel) -> Result<Self> {
        Ok(SkyPilotClient {
            transport: self.transport.cancelled_by(cancel)?,
            ..self.clone()
        })
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        self.transport.base()
    }

    /// How the server is, whether or not it is healthy.
    ///
    /// # Errors
    /// `is_version_mismatch()` where this client and the server are too far apart.
    pub fn health(&self) -> Result<Health> {
        let health: Health = self.get("/api/health", &[])?.json()?;
        match health.status == "version_mismatch" || health.api_version < OLDEST_API_VERSION {
            true => Err(mismatch("GET /api/health", health.api_version)),
            false => Ok(health),
        }
    }

    /// Waits for a request to end, for at most [`TimeLimits::work`], and calls
    /// `progress` with what is known of it, each time that it is asked after.
    ///
    /// # Errors
    /// What the request failed with; `server_type()` is `RequestCancelled` where
    /// it was cancelled. Past the limit `is_timeout()`: the request goes on.
    pub fn wait_for_request(
        &self,
        request_id: &str,
        mut progress: impl FnMut(&RequestRecord),
    ) -> Result<RequestRecord> {
        let what = format!("request {request_id}");
        self.transport
            .poll_until(&what, self.limits.work, PACE, |left| {
                let record = self.request_within(request_id, left)?;
                progress(&record);
                Ok(record.status.is_final().then_some(()))
            })?;
        self.result(request_id)
    }

    /// Where a request stands.
    ///
    /// # Errors
    /// `is_not_found()`.
    pub fn request(&self, request_id: &str) -> Result<RequestRecord> {
        self.request_within(request_id, self.limits.request)
    }

    fn request_within(&self, request_id: &str, left: Duration) -> Result<RequestRecord> {
        let path = with_query("/api/status", &[("request_ids", request_id)]);
        let call = Call::new(Method::GET, &path).within(self.limits.request.min(left));
        let answer = self.transport.send(&call)?;
        let records: Vec<RequestRecord> = answer.json()?;
        records.into_iter().next().ok_or_else(|| {
            let message = format!("there is no request {request_id}");
            absent(
                format!("GET {path} at {}", self.url()),
                "RequestDoesNotExist",
                message,
            )
        })
    }

    /// The requests about a cluster that the server remembers, newest first:
    /// how to find out what became of one whose answer was lost.
    ///
    /// # Errors
    /// Faults on the way.
    pub fn requests(&self, cluster_name: &str) -> Result<Vec<RequestRecord>> {
        let query = [("all_status", "true"), ("cluster_name", cluster_name)];
        self.get("/api/status", &query)?.json()
    }

    /// Cancels a request; what it has made so far stays. The ids of those that
    /// were cancelled: none where it had ended.
    ///
    /// # Errors
    /// Faults on the way.
    pub fn cancel_request(&self, request_id: &str) -> Result<Vec<String>> {
        // Null in place of the list would cancel everybody's.
        let body = json!({ "request_ids": [request_id] });
        let killed: Option<_> = self.ask("/api/cancel", Op::Idempotent, &body)?;
        Ok(killed.unwrap_or_default())
    }

    /// What the server prints while it carries a request out, to its end if
    /// `follow` says so.
    ///
    /// # Errors
    /// `is_not_found()`.
    pub fn request_log(&self, request_id: &str, follow: bool) -> Result<Stream<String>> {
        let follow = if follow { "true" } else { "false" };
        let query = [
            ("request_id", request_id),
            ("format", "plain"),
            ("follow", follow),
        ];
        let path = with_query("/api/stream", &query);
        let client = self.clone();
        let open = move |delivered: u64| -> Result<Source<String>> {
            let call = Call::new(Method::GET, &path).within(client.limits.request);
            let answer = client.transport.send(&call.streamed(client.limits.idle))?;
            let lines = readable(answer.into_lines()?, false);
            Ok(Box::new(behind(lines, delivered)))
        };
        let source = open(0)?;
        let transport = Arc::clone(&self.transport);
        Ok(Stream::new(transport, source, move |broke, delivered| {
            broke.map(|_| open(delivered)).transpose()
        }))
    }

    /// Hands a request in that changes something: sent once, unless it is sure
    /// that nothing came of it. Where the answer was lost the server is asked
    /// whether it has the request.
    pub(super) fn submit<T>(&self, path: &str, cluster: &str, body: &Value) -> Result<Request<T>> {
        let mark = format!(
            "satellite-sdk {:016x}{:016x}",
            retry::random_bits(),
            retry::random_bits()
        );
        let mut body = body.clone();
        body["entrypoint_command"] = mark.clone().into();
        let id = self.hand_in(path, Op::Create, &body).or_else(|error| {
            let is_open = error.is_outcome_unknown() && !error.is_stopped();
            let found = is_open.then(|| self.find(cluster, &mark)).flatten();
            found.ok_or(error)
        })?;
        Ok(Request::new(self.clone(), id))
    }

    /// The request that bears this mark.
    fn find(&self, cluster: &str, mark: &str) -> Option<String> {
        let records = self.requests(cluster).ok()?;
        let is_it = |record: &RequestRecord| {
            let body = record.request_body.as_ref();
            body.is_some_and(|body| body.expose().contains(mark))
        };
        records
            .into_iter()
            .find(is_it)
            .map(|record| record.request_id)
    }

    /// Hands in a short request and waits for its result.
    pub(super) fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        op: Op,
        body: &impl Serialize,
    ) -> Result<T> {
        let id = self.hand_in(path, op, body)?;
        self.value(self.result(&id)?)
    }

    pub(super) fn hand_in(&self, path: &str, op: Op, body: &impl Serialize) -> Result<String> {
        let mut body = serde_json::to_value(body)?;
        let identity = self.user.variables(false);
        if !identity.is_empty() && body["env_vars"].is_null() {
            body["env_vars"] = identity.into_iter().collect();
        }
        let call = Call::new(Method::POST, path).op(op).json(&body)?;
        self.handed_in(path, call)
    }

    pub(super) fn handed_in(&self, path: &str, call: Call<'_>) -> Result<String> {
        let answer = self
            .transport
            .send(&call.within(self.limits.request))?
            .ok()?;
        id_of(path, &answer)
    }

    /// What became of a request that has ended, or is about to.
    pub(super) fn result(&self, request_id: &str) -> Result<RequestRecord> {
        let path = with_query("/api/get", &[("request_id", request_id)]);
        // It sends nothing before the request ends, not even a head.
        let call = Call::new(Method::GET, &path).within(self.limits.request);
        let record: RequestRecord = self.transport.send(&call.patient())?.json()?;
        let asked = || format!("{} ({request_id}) at {}", record.name, self.url());
        match record.status {
            RequestStatus::Cancelled => {
                let problem = dialect::failed("RequestCancelled", "it was cancelled");
                Err(Error::from_status(asked(), 200, problem, None))
            }
            RequestStatus::Failed => {
                let failure: Value = record
                    .error
                    .and_then(|error| serde_json::from_str(error.expose()).ok())
                    .unwrap_or_default();
                let text = |name: &str| failure[name].as_str().unwrap_or_default();
                let problem = dialect::failed(text("type"), text("message"));
                Err(Error::from_status(asked(), 200, problem, None))
            }
            _ => Ok(record),
        }
    }

    /// The value that a request returned.
    pub(super) fn value<T: DeserializeOwned>(&self, record: RequestRecord) -> Result<T> {
        let value = record.return_value.as_ref().map_or("null", Secret::expose);
        serde_json::from_str(value).map_err(|error| {
            let asked = format!("{} ({}) at {}", record.name, record.request_id, self.url());
            Error::answer(
                asked,
                format_args!("returned what was not expected: {error}"),
            )
        })
    }

    pub(super) fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Response> {
        let path = with_query(path, query);
        let call = Call::new(Method::GET, &path).within(self.limits.request);
        self.transport.send(&call)?.ok()
    }
}

/// The id that the server gave a request; a server of another time is told so.
pub(super) fn id_of(path: &str, answer: &Response) -> Result<String> {
    let theirs = answer.header("x-skypilot-api-version").unwrap_or_default();
    if let Some(theirs) = theirs.parse().ok().filter(|v| *v < OLDEST_API_VERSION) {
        return Err(mismatch(path, theirs));
    }
    let id = answer.header("x-skypilot-request-id").map(str::to_owned);
    id.ok_or_else(|| {
        Error::answer(
            path.to_owned(),
            "answered without a request id: no API server",
        )
    })
}

pub(super) fn absent(asked: String, kind: &str, message: String) -> Error {
    let problem = Problem {
        class: Class::NotFound,
        kind: Some(kind.to_owned()),
        message,
        is_own: true,
    };
    Error::from_status(asked, 200, problem, None)
}

fn mismatch(asked: &str, theirs: u32) -> Error {
    let problem = Problem {
        class: Class::VersionMismatch,
        kind: Some("version_mismatch".into()),
        message: format!(
            "the server speaks API version {theirs}, this client {API_VERSION} and down to \
             {OLDEST_API_VERSION}"
        ),
        is_own: true,
    };
    Error::from_status(asked.to_owned(), 200, problem, None)
}

impl fmt::Debug for SkyPilotClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SkyPilotClient").field(&self.url()).finish()
    }
}
