//! A client for the Kubernetes API, with the credentials of a pod.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use satellite_core::http::header::AUTHORIZATION;
use serde_json::Value;

use satellite_core::http::{
    Call, Credentials, Dialect, Effort, Method, Problem, Response, Retries, Secret, Server,
    Transport, Trust, excerpt,
};
use satellite_core::wake::Waiter;
use satellite_core::{Error, Result};

/// How the token is sent to the API, and how its errors are parsed.
static KUBERNETES: Dialect = Dialect {
    token: (AUTHORIZATION, "Bearer "),
    headers: &[],
    explain,
};

/// An error response of the API is a `Status` with a message and a reason.
fn explain(status: u16, body: &[u8]) -> Problem {
    let body_json: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = match body_json["message"].as_str() {
        Some(message) => excerpt(message.as_bytes()),
        None => excerpt(body),
    };
    Problem {
        kind: body_json["reason"].as_str().map(str::to_owned),
        ..Problem::of_status(status, message, body_json["kind"] == "Status")
    }
}

/// Tokens are valid for about an hour and are rotated earlier: the folder is read again
/// after this time, and when a token is rejected.
const CREDENTIALS_MAX_AGE: Duration = Duration::from_secs(60);

/// A save that takes longer is retried later.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a pod finds its token and the cluster's authority.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The address of the API, and the credentials of this pod.
#[derive(Debug, Clone, Default)]
pub(super) struct Cluster {
    url: Option<String>,
    service_account: Option<PathBuf>,
    /// The user to act as, if that is not the token's owner.
    pub(super) impersonated: Option<String>,
}

impl Cluster {
    /// Overrides the address that Kubernetes sets for pods.
    pub(super) fn at(&mut self, url: impl Into<String>) {
        self.url = Some(url.into());
    }

    /// Overrides the folder that Kubernetes mounts into pods.
    pub(super) fn service_account(&mut self, folder: impl Into<PathBuf>) {
        self.service_account = Some(folder.into());
    }

    fn url(&self) -> Result<String> {
        if let Some(url) = &self.url {
            return Ok(url.trim_end_matches('/').to_owned());
        }
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let host = variable("KUBERNETES_SERVICE_HOST").ok_or_else(|| {
            Error::new(
                "not running in a cluster: KUBERNETES_SERVICE_HOST is not set; \
                 outside a cluster, use DORY_STATE_BACKEND=local",
            )
        })?;
        let port = variable("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned());
        Ok(match host.contains(':') {
            true => format!("https://[{host}]:{port}"),
            false => format!("https://{host}:{port}"),
        })
    }

    fn folder(&self) -> PathBuf {
        let folder = self.service_account.clone();
        folder.unwrap_or_else(|| SERVICE_ACCOUNT.into())
    }

    fn read(&self) -> Result<ServiceAccount> {
        let folder = self.folder();
        let error = |file: &str, e: &dyn std::fmt::Display| {
            Error::new(format_args!("{}: {e}", folder.join(file).display()))
        };
        let token = match std::fs::read_to_string(folder.join("token")) {
            Ok(token) => token,
            // `kubectl proxy` authenticates by itself.
            Err(_) if self.url.is_some() && self.service_account.is_none() => String::new(),
            Err(e) => return Err(error("token", &e)),
        };
        let authority = match std::fs::read(folder.join("ca.crt")) {
            Ok(pem) => Some(pem),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(error("ca.crt", &e)),
        };
        Ok(ServiceAccount {
            token: Secret::new(token.trim()),
            authority,
        })
    }

    fn transport(&self, read: &ServiceAccount) -> Result<Transport> {
        let trust = match &read.authority {
            Some(_) => Trust::from_pem_file(&self.folder().join("ca.crt")).map_err(Error::new)?,
            None => Trust::default(),
        };
        let server = Server {
            base: self.url()?,
            dialect: &KUBERNETES,
            credentials: Credentials::Token(read.token.clone()),
            trust,
            retries: Retries::up_to(CALL_TIMEOUT),
            connect: CALL_TIMEOUT / 2,
        };
        // A separate waiter: a stop must not prevent the last save from being sent.
        Transport::new(server, Waiter::default())
    }
}

/// The content of the service account folder.
#[derive(PartialEq, Eq)]
struct ServiceAccount {
    token: Secret,
    authority: Option<Vec<u8>>,
}

/// The API, with the current credentials.
pub(super) struct Kubernetes {
    cluster: Cluster,
    within: Duration,
    session: Option<Session>,
}

struct Session {
    transport: Transport,
    read: ServiceAccount,
    read_at: Instant,
}

impl Kubernetes {
    pub(super) fn new(cluster: Cluster) -> Self {
        Kubernetes {
            cluster,
            within: CALL_TIMEOUT,
            session: None,
        }
    }

    /// A call fails when there is no answer within this time.
    pub(super) fn within(mut self, within: Duration) -> Self {
        self.within = within.min(CALL_TIMEOUT);
        self
    }

    pub(super) fn get(&mut self, path: &str) -> Result<Response> {
        self.send(Method::GET, path, None)
    }

    pub(super) fn post(&mut self, path: &str, object: &Value) -> Result<Response> {
        self.send(Method::POST, path, Some(object))
    }

    pub(super) fn put(&mut self, path: &str, object: &Value) -> Result<Response> {
        self.send(Method::PUT, path, Some(object))
    }

    pub(super) fn delete(&mut self, path: &str) -> Result<Response> {
        self.send(Method::DELETE, path, None)
    }

    fn send(&mut self, method: Method, path: &str, object: Option<&Value>) -> Result<Response> {
        // Callers have their own backoff. A write is never resent blindly, since the
        // response to the first attempt may still arrive.
        let mut call = Call::new(method, path)
            .effort(Effort::Once)
            .within(self.within);
        let impersonated = self.cluster.impersonated.clone();
        if let Some(user) = &impersonated {
            call = call.header("Impersonate-User", user);
        }
        if let Some(object) = object {
            call = call.json(object)?;
        }
        let answer = self.transport(CREDENTIALS_MAX_AGE)?.send(&call)?;
        match answer.status() {
            401 => self.transport(Duration::ZERO)?.send(&call),
            _ => Ok(answer),
        }
    }

    /// Rebuilt when the content of the folder has changed.
    fn transport(&mut self, fresh: Duration) -> Result<&Transport> {
        let is_fresh = |session: &Session| session.read_at.elapsed() < fresh;
        if !self.session.as_ref().is_some_and(is_fresh) {
            let read = self.cluster.read()?;
            let kept = self.session.take().filter(|session| session.read == read);
            let transport = match kept {
                Some(session) => session.transport,
                None => self.cluster.transport(&read)?,
            };
            self.session = Some(Session {
                transport,
                read,
                read_at: Instant::now(),
            });
        }
        let session = self.session.as_ref();
        session
            .map(|session| &session.transport)
            .ok_or_else(|| Error::new("no session"))
    }
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Kubernetes").field(&self.cluster).finish()
    }
}
