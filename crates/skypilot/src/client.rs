//! The client, its builder, and the calls that submit a request and read its result.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::credentials::CloudCredentials;
use super::dialect::{self, API_VERSION, OLDEST_API_VERSION};
use super::models::{Health, RequestRecord, RequestStatus};
use super::user::User;
use satellite_core::Variables;
use satellite_core::client::{Cancel, TimeLimits};
use satellite_core::client::{Client, Connection};
use satellite_core::http::{
    Call, Credentials, Method, Op, Response, Secret, Transport, with_query,
};
use satellite_core::{Error, Result};

/// A client for a SkyPilot API server, with one method per operation. Clones share one
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
    /// The cloud account that its operations use.
    pub(super) credentials: Option<Arc<CloudCredentials>>,
    /// No token identifies the caller, so each request has to.
    pub(super) is_anonymous: bool,
}

/// The deadline of an operation, including all of its calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Instant);

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
        let is_anonymous = token.expose().is_empty();
        let credentials = Credentials::Token(token);
        Ok(SkyPilotClient {
            transport: connection.transport(&connection.url, dialect, credentials)?,
            limits: connection.limits,
            user: Arc::new(user),
            credentials: None,
            is_anonymous,
        })
    }
}

satellite_core::client_builder! {
    /// Builds a [`SkyPilotClient`] from its own settings and from `SKYPILOT_*` environment
    /// variables, in that order.
    pub struct SkyPilotBuilder for SkyPilotClient;
}

impl SkyPilotBuilder {
    /// The calling user: an id of eight hexadecimal digits, and a name. For servers
    /// without authentication. `SKYPILOT_USER_ID` and `SKYPILOT_USER`.
    pub fn user(mut self, id: impl Into<String>, name: impl Into<String>) -> Self {
        *self.options() = User::new(id.into(), name.into());
        self
    }
}

impl SkyPilotClient {
    /// Starts building a client. Its environment variables begin with `SKYPILOT_`: the address
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

    /// Builds a client from environment variables.
    ///
    /// # Errors
    /// `is_settings()`, which lists every problem.
    pub fn from_env() -> Result<Self> {
        Self::builder().build()
    }

    /// The same client with its own connections, which `cancel` closes.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// use satellite_core::client::Cancel;
    ///
    /// let cancel = Cancel::new();
    /// let mine = sky.cancelled_by(&cancel)?;
    /// std::thread::spawn(move || mine.list_clusters());
    /// cancel.cancel();
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// Only errors that building this client could also return.
    pub fn cancelled_by(&self, cancel: &Cancel) -> Result<Self> {
        Ok(SkyPilotClient {
            transport: self.transport.cancelled_by(cancel)?,
            ..self.clone()
        })
    }

    /// The same client with a cloud account: all of its operations send these
    /// credentials. It shares this client's connections and is cheap, so you can create
    /// one for each tenant or even for one call.
    ///
    /// A cluster that was launched with credentials can be stopped, used and
    /// terminated only with the same ones: with others the server returns
    /// `ClusterOwnerIdentityMismatchError`, which `is_forbidden()`.
    /// [`enabled_clouds`](Self::enabled_clouds) cannot send them: it has no body.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// use satellite_skypilot::CloudCredentials;
    ///
    /// let tenant = sky.with_credentials(CloudCredentials::aws("AKIA…", "secret"));
    /// tenant.terminate("tenant-abc")?.wait()?;
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    #[must_use]
    pub fn with_credentials(&self, credentials: CloudCredentials) -> Self {
        SkyPilotClient {
            credentials: Some(credentials.into()),
            ..self.clone()
        }
    }

    /// The same client with the credentials of one call, if it has any.
    pub(super) fn on_account(&self, credentials: &Option<CloudCredentials>) -> Self {
        match credentials {
            Some(credentials) => self.with_credentials(credentials.clone()),
            None => self.clone(),
        }
    }

    /// The server's base URL.
    pub fn url(&self) -> &str {
        self.transport.base()
    }

    /// The health of the server, whether or not it is healthy.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// let health = sky.health()?;
    /// println!("{} {}, API version {}", health.status, health.version, health.api_version);
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_version_mismatch()` if the versions of this client and the server are not
    /// compatible.
    pub fn health(&self) -> Result<Health> {
        let health: Health = self.get("/api/health", &[], self.limits.request)?.json()?;
        match health.status == "version_mismatch" || health.api_version < OLDEST_API_VERSION {
            true => Err(mismatch("GET /api/health", health.api_version)),
            false => Ok(health),
        }
    }

    /// Submits a short request and waits for its result, both within the time limit of
    /// one call.
    pub(super) fn ask<T: DeserializeOwned>(&self, path: &str, op: Op, body: Value) -> Result<T> {
        let deadline = self.deadline(self.limits.request);
        self.ask_by(deadline, path, op, body)
    }

    pub(super) fn ask_by<T: DeserializeOwned>(
        &self,
        deadline: Deadline,
        path: &str,
        op: Op,
        body: Value,
    ) -> Result<T> {
        let id = self.send_body(path, op, body, deadline)?;
        self.value(self.result(&id, deadline)?)
    }

    /// Submits a request with this client's user and credentials.
    pub(super) fn send_body(
        &self,
        path: &str,
        op: Op,
        body: Value,
        deadline: Deadline,
    ) -> Result<String> {
        let call = self.call(path, op, body)?;
        self.send_call(path, call, deadline)
    }

    /// A call whose body contains the user and the credentials.
    pub(super) fn call<'a>(&self, path: &'a str, op: Op, mut body: Value) -> Result<Call<'a>> {
        let is_needed = self.is_anonymous || self.credentials.is_some();
        let mut variables: BTreeMap<_, _> = self.user.variables(is_needed).into_iter().collect();
        if let Some(credentials) = &self.credentials {
            variables.extend(credentials.variables()?);
        }
        if !variables.is_empty() {
            body["env_vars"] = json!(variables);
        }
        Call::new(Method::POST, path).op(op).json(&body)
    }

    pub(super) fn send_call(
        &self,
        path: &str,
        call: Call<'_>,
        deadline: Deadline,
    ) -> Result<String> {
        let response = self
            .transport
            .send(&call.within(self.left(deadline)))?
            .ok()?;
        id_of(path, &response)
    }

    /// The result of a request that has ended or is about to end.
    pub(super) fn result(&self, request_id: &str, deadline: Deadline) -> Result<RequestRecord> {
        let path = with_query("/api/get", &[("request_id", request_id)]);
        // The server sends nothing before the request ends, not even the headers.
        let call = Call::new(Method::GET, &path).within(self.left(deadline));
        let response = self.transport.send(&call.patient())?;
        // For a failed request the server returns a 500 that contains its record.
        let record: RequestRecord = match response.status() {
            500 => match serde_json::from_slice::<FailedResponse>(response.body()) {
                Ok(failed) => failed.detail,
                Err(_) => return Err(response.into_error()),
            },
            _ => response.json()?,
        };
        let described = || format!("{} ({request_id}) at {}", record.name, self.url());
        match record.status {
            RequestStatus::Cancelled => {
                let problem = dialect::failure("RequestCancelled", "the request was cancelled");
                Err(Error::failed(described(), problem))
            }
            RequestStatus::Failed => {
                let exception = record.error.as_ref().map(Secret::expose);
                let exception: Value = exception
                    .and_then(|text| serde_json::from_str(text).ok())
                    .unwrap_or_default();
                let text = |name: &str| exception[name].as_str().unwrap_or_default();
                let message = match text("message") {
                    "" => record
                        .status_msg
                        .as_deref()
                        .unwrap_or("the server gave no reason"),
                    message => message,
                };
                let problem = dialect::failure(text("type"), message);
                Err(Error::failed(described(), problem))
            }
            _ => Ok(record),
        }
    }

    /// The deadline after this time.
    pub(super) fn deadline(&self, limit: Duration) -> Deadline {
        Deadline(self.transport.now() + limit)
    }

    /// The time left until a deadline.
    pub(super) fn left(&self, deadline: Deadline) -> Duration {
        deadline.0.saturating_duration_since(self.transport.now())
    }

    /// The return value of a request.
    pub(super) fn value<T: DeserializeOwned>(&self, record: RequestRecord) -> Result<T> {
        let value = record.return_value.as_ref().map_or("null", Secret::expose);
        serde_json::from_str(value).map_err(|error| {
            let request = format!("{} ({}) at {}", record.name, record.request_id, self.url());
            Error::answer(
                request,
                format_args!("returned an unexpected value: {error}"),
            )
        })
    }

    pub(super) fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        within: Duration,
    ) -> Result<Response> {
        let path = with_query(path, query);
        let call = Call::new(Method::GET, &path).within(within);
        self.transport.send(&call)?.ok()
    }
}

/// The id that the server assigned to a request. Fails if the server's API version is
/// too old.
pub(super) fn id_of(path: &str, response: &Response) -> Result<String> {
    let theirs = response
        .header("x-skypilot-api-version")
        .unwrap_or_default();
    if let Some(theirs) = theirs.parse().ok().filter(|v| *v < OLDEST_API_VERSION) {
        return Err(mismatch(path, theirs));
    }
    let id = response.header("x-skypilot-request-id").map(str::to_owned);
    id.ok_or_else(|| {
        Error::answer(
            path.to_owned(),
            "responded without a request id: not a SkyPilot API server",
        )
    })
}

/// The error for something that, according to the server, does not exist.
pub(super) fn absent(request: String, kind: &str, message: &str) -> Error {
    Error::failed(request, dialect::failure(kind, message))
}

fn mismatch(request: &str, theirs: u32) -> Error {
    let message = format!(
        "the server has API version {theirs}, this client supports {OLDEST_API_VERSION} to \
         {API_VERSION}"
    );
    Error::failed(
        request.to_owned(),
        dialect::failure("version_mismatch", &message),
    )
}

/// The response of `/api/get` for a failed request.
#[derive(Deserialize)]
struct FailedResponse {
    detail: RequestRecord,
}

impl fmt::Debug for SkyPilotClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SkyPilotClient").field(&self.url()).finish()
    }
}
