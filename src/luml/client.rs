//! The client of the platform's satellite API: one method for each call, those of
//! tasks and of deployments in files of their own.
//!
//! The routes and their answers are those of the platform's backend as
//! measured in August 2026; where the Python kit's specification names a call
//! differently, the name is kept and the wire is the backend's.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::dialect::LUML;
use crate::settings::Settings;
use satellite_core::Result;
use satellite_core::http::{
    Call, Credentials, DEADLINE, Method, Response, Retries, Server, Transport,
};
use satellite_core::wake::Waiter;

pub(super) const PREFIX: &str = "/satellites/v1";

/// The platform, one method for each call. Clones share one connection.
///
/// Reads, deletes and status changes are sent again after passing faults, with
/// a growing, jittered wait and within one deadline of two minutes; what would
/// be done twice is not.
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

/// A task id, and whether its end was reported.
type Watched = (String, Arc<AtomicBool>);

/// Whatever else a platform offers: `path` begins with `/` and goes to the
/// platform's URL; the answer is returned whatever its status.
impl PlatformClient {
    /// `GET`; sent again after passing faults.
    ///
    /// # Errors
    /// When no complete answer came back.
    pub fn get(&self, path: &str) -> Result<Response> {
        self.send(Call::new(Method::GET, path))
    }

    /// `POST` of a JSON body; sent again only if the connection never opened.
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
    /// When no complete answer came back.
    pub fn post(&self, path: &str, body: &impl Serialize) -> Result<Response> {
        self.send(Call::new(Method::POST, path).json(body)?)
    }

    /// `PUT` of a JSON body; sent again after passing faults.
    ///
    /// # Errors
    /// When no complete answer came back.
    pub fn put(&self, path: &str, body: &impl Serialize) -> Result<Response> {
        self.send(Call::new(Method::PUT, path).json(body)?)
    }

    /// `PATCH` of a JSON body; sent again only if the connection never opened.
    ///
    /// # Errors
    /// When no complete answer came back.
    pub fn patch(&self, path: &str, body: &impl Serialize) -> Result<Response> {
        self.send(Call::new(Method::PATCH, path).json(body)?)
    }

    /// `DELETE`; sent again after passing faults.
    ///
    /// # Errors
    /// When no complete answer came back.
    pub fn delete(&self, path: &str) -> Result<Response> {
        self.send(Call::new(Method::DELETE, path))
    }

    /// The same client, with `limit` for each call in place of two minutes,
    /// resends included: for callers who are themselves waited for.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let platform = mock.client();
    /// use std::time::Duration;
    ///
    /// let hasty = platform.within(Duration::from_secs(5));
    /// assert!(!hasty.authorize_inference("somebody's key")?);
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    pub fn within(&self, limit: Duration) -> Self {
        PlatformClient {
            deadline: limit,
            ..self.clone()
        }
    }

    /// The platform's address.
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

    /// Breaks off the call under way.
    pub(crate) fn interrupt(&self) {
        self.transport.interrupt();
    }

    /// Notes whether somebody reports this task through this client.
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

/// A task that is watched for a final report by its own handler.
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
