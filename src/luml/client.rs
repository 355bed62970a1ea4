//! The client of the platform's satellite API: one method per call. The calls for
//! tasks and for deployments are in separate files.
//!
//! The routes and responses are those of the platform's backend as measured in
//! August 2026. Where the specification of the Python kit names a call differently,
//! the method keeps that name and uses the backend's route.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::dialect::LUML;
use crate::settings::Settings;
use satellite_core::Result;
use satellite_core::client::Cancel;
use satellite_core::http::{
    Call, Credentials, DEADLINE, Method, Response, Retries, Server, Transport,
};
use satellite_core::wake::Waiter;

pub(super) const PREFIX: &str = "/satellites/v1";

/// A client of the platform, one method per call. Clones share one connection.
///
/// Reads, deletes and status changes are retried after transient faults, with
/// growing delays and jitter, within one deadline of two minutes. Calls that a
/// retry could carry out twice are not retried.
///
/// ```
/// # let mock = satellite_sdk::testing::MockPlatform::start();
/// # mock.add_task(satellite_sdk::testing::mock_task("t-1", "greet", serde_json::json!({})));
/// # let platform = mock.client();
/// for task in platform.poll_tasks()? {
///     println!("{} {}", task.id, task.task_type);
/// }
/// # Ok::<(), satellite_sdk::Error>(())
/// ```
#[derive(Clone)]
pub struct PlatformClient {
    transport: Arc<Transport>,
    pub(super) watched: Arc<Mutex<Vec<Watched>>>,
    deadline: Duration,
}

/// A task id, and whether its final status was reported.
type Watched = (String, Arc<AtomicBool>);

/// Requests to any other route of a platform: `path` starts with `/` and is appended
/// to the platform's URL; the response is returned with any status.
impl PlatformClient {
    /// `GET`; retried after transient faults.
    ///
    /// # Errors
    /// If there was no complete response.
    pub fn get(&self, path: &str) -> Result<Response> {
        self.send(Call::new(Method::GET, path))
    }

    /// `POST` of a JSON body; retried only if the connection never opened.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let platform = mock.client();
    /// let answer = platform.post("/satellites/v1/metrics", &serde_json::json!({ "load": 0.5 }))?;
    /// assert!(answer.ok().unwrap_err().is_unsupported());
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there was no complete response.
    pub fn post(&self, path: &str, body: &impl Serialize) -> Result<Response> {
        self.send(Call::new(Method::POST, path).json(body)?)
    }

    /// `PUT` of a JSON body; retried after transient faults.
    ///
    /// # Errors
    /// If there was no complete response.
    pub fn put(&self, path: &str, body: &impl Serialize) -> Result<Response> {
        self.send(Call::new(Method::PUT, path).json(body)?)
    }

    /// `PATCH` of a JSON body; retried only if the connection never opened.
    ///
    /// # Errors
    /// If there was no complete response.
    pub fn patch(&self, path: &str, body: &impl Serialize) -> Result<Response> {
        self.send(Call::new(Method::PATCH, path).json(body)?)
    }

    /// `DELETE`; retried after transient faults.
    ///
    /// # Errors
    /// If there was no complete response.
    pub fn delete(&self, path: &str) -> Result<Response> {
        self.send(Call::new(Method::DELETE, path))
    }

    /// The same client with the time limit `limit` instead of two minutes for each
    /// call including its retries. For example while a client waits for a response.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let platform = mock.client();
    /// use std::time::Duration;
    ///
    /// let platform = platform.within(Duration::from_secs(5));
    /// assert!(!platform.authorize_inference("unknown key")?);
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    pub fn within(&self, limit: Duration) -> Self {
        PlatformClient {
            deadline: limit,
            ..self.clone()
        }
    }

    /// The same client, whose calls end when `cancel` is called, from any thread. Calls of this
    /// client continue.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let platform = mock.client();
    /// use satellite_sdk::compute::Cancel;
    ///
    /// let cancel = Cancel::new();
    /// let cancellable = platform.cancelled_by(&cancel)?;
    /// cancel.cancel();
    /// assert!(cancellable.poll_tasks().unwrap_err().is_stopped());
    /// assert!(platform.poll_tasks()?.is_empty());
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// If no connection can be prepared.
    pub fn cancelled_by(&self, cancel: &Cancel) -> Result<Self> {
        Ok(PlatformClient {
            transport: self.transport.cancelled_by(cancel)?,
            ..self.clone()
        })
    }

    /// The platform's base URL.
    pub fn url(&self) -> &str {
        self.transport.base()
    }
}

impl PlatformClient {
    pub(crate) fn new(settings: &Settings, waiter: Waiter) -> Result<Self> {
        let server = Server {
            base: settings.platform_url.clone(),
            dialect: &LUML,
            credentials: Credentials::Token(settings.token.clone()),
            trust: settings.trust.clone(),
            retries: Retries::up_to(settings.max_backoff),
            connect: Duration::from_secs(10),
        };
        let transport = Transport::new(server, waiter)?;
        Ok(PlatformClient {
            transport: Arc::new(transport),
            watched: Arc::default(),
            deadline: DEADLINE,
        })
    }

    /// Aborts the call in progress.
    pub(crate) fn interrupt(&self) {
        self.transport.interrupt();
    }

    /// Tracks whether this task is reported through this client.
    pub(crate) fn watch(&self, task_id: &str) -> Watch {
        let reported = Arc::new(AtomicBool::new(false));
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.push((task_id.to_owned(), Arc::clone(&reported)));
        Watch {
            client: self.clone(),
            reported,
        }
    }

    pub(super) fn send(&self, call: Call<'_>) -> Result<Response> {
        self.transport.send(&call.within(self.deadline))
    }

    pub(super) fn read<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.send(Call::new(Method::GET, path))?.json()
    }
}

impl fmt::Debug for PlatformClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PlatformClient").field(&self.url()).finish()
    }
}

/// Tracks whether the handler of a task reports its final status itself.
pub(crate) struct Watch {
    client: PlatformClient,
    reported: Arc<AtomicBool>,
}

impl Watch {
    pub(crate) fn was_reported(&self) -> bool {
        self.reported.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self
            .client
            .watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        watched.retain(|(_, reported)| !Arc::ptr_eq(reported, &self.reported));
    }
}
