//! The client: how it is built, and how a request is handed in and waited for.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::dialect::{self, API_VERSION, OLDEST_API_VERSION};
use super::models::{Health, RequestRecord, RequestStatus};
use super::request::Request;
use super::user::User;
use satellite_core::Variables;
use satellite_core::client::{Cancel, TimeLimits};
use satellite_core::client::{Client, Connection};
use satellite_core::http::{
    Call, Class, Credentials, Method, Op, Problem, Response, Secret, Transport, retry, with_query,
};
use satellite_core::{Error, Result};

/// A SkyPilot API server, one method for each operation. Clones share one
/// connection.
///
/// ```no_run
/// use satellite_skypilot::SkyPilotClient;
///
/// let sky = SkyPilotClient::from_env()?;
/// for cluster in sky.list_clusters()? {
///     println!("{} {}", cluster.name, cluster.status);
/// }
/// # Ok::<(), satellite_skypilot::Error>(())
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

satellite_core::client_builder! {
    /// Builds a [`SkyPilotClient`] from its own settings and from `SKYPILOT_*` environment variables, in that
    /// order.
    pub struct SkyPilotBuilder for SkyPilotClient;
}

impl SkyPilotClient {
    /// A client to be built. Its variables begin with `SKYPILOT_`: the address
    /// is `SKYPILOT_API_SERVER_URL`, or the official client's
    /// `SKYPILOT_API_SERVER_ENDPOINT` (default `http://127.0.0.1:46580`; it may
    /// hold `user:password@`), the token `SKYPILOT_SERVICE_ACCOUNT_TOKEN`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use satellite_skypilot::SkyPilotClient;
    ///
    /// let sky = SkyPilotClient::builder()
    ///     .url("https://sky.example.com")
    ///     .token("sky_abc")
    ///     .max_retries(5)
    ///     .retry_delay(Duration::from_secs(2))
    ///     .build()?;
    /// # let _ = sky;
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    pub fn builder() -> SkyPilotBuilder {
        SkyPilotBuilder::default()
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
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// use satellite_skypilot::Cancel;
    ///
    /// let cancel = Cancel::new();
    /// let mine = sky.cancelled_by(&cancel)?;
    /// std::thread::spawn(move || mine.list_clusters());
    /// cancel.cancel();
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
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
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// let health = sky.health()?;
    /// println!("{} {}, API version {}", health.status, health.version, health.api_version);
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
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
