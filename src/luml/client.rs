//! Every call of the platform's satellite API, one method each.
//!
//! The routes and their answers are those of the platform's backend as
//! measured in August 2026; where the Python kit's specification names a call
//! differently, the name is kept and the wire is the backend's.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;
use serde_json::{Value, json};

use super::models::{Artifact, Deployment, DeploymentUpdate, OrbitSecret, Task};
use super::safe;
use super::status::{DeploymentStatus, TaskStatus};
use crate::error::{Error, Result};
use crate::http::{Call, DEADLINE, Effort, Method, Op, Response, Secret, Transport};
use crate::settings::Settings;
use crate::wake::Waiter;

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
    watched: Arc<Mutex<Vec<Watched>>>,
    deadline: Duration,
}

/// A task id, and whether its end was reported.
type Watched = (String, Arc<AtomicBool>);

/// Tasks.
impl PlatformClient {
    /// The tasks that wait for this satellite, oldest first.
    ///
    /// # Errors
    /// `is_unauthorized()` when the token is refused; faults on the way.
    pub fn poll_tasks(&self) -> Result<Vec<Task>> {
        self.list_tasks(Some(&TaskStatus::Pending))
    }

    /// The tasks in one state, or all of them, oldest first.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let platform = mock.client();
    /// let running = platform.list_tasks(Some(&satellite_sdk::TaskStatus::Running))?;
    /// assert!(running.is_empty());
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_invalid()` for a status that the platform does not know.
    pub fn list_tasks(&self, status: Option<&TaskStatus>) -> Result<Vec<Task>> {
        self.tasks(status, Effort::Persistent)
    }

    /// One look, not sent again: the worker has its own backoff.
    pub(crate) fn list_once(&self, status: &TaskStatus) -> Result<Vec<Task>> {
        self.tasks(Some(status), Effort::Once)
    }

    fn tasks(&self, status: Option<&TaskStatus>, effort: Effort) -> Result<Vec<Task>> {
        let path = match status {
            Some(status) => format!("{PREFIX}/tasks?status={}", escaped(status.as_str())),
            None => format!("{PREFIX}/tasks"),
        };
        let answer = self.send(Call::new(Method::GET, &path).effort(effort))?;
        let items: Vec<Value> = answer.json()?;
        let mut tasks: Vec<Task> = items.into_iter().filter_map(task_of).collect();
        tasks.sort_by(Task::order);
        Ok(tasks)
    }

    /// Marks a task running. False when somebody else has it or it is gone
    /// (409, 404).
    ///
    /// The platform has no claim of its own and takes the mark twice: one
    /// process for each token keeps it safe.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # mock.add_task(satellite_sdk::testing::mock_task("t-1", "greet", serde_json::json!({})));
    /// # let platform = mock.client();
    /// assert!(platform.claim_task("t-1")?);
    /// assert!(!platform.claim_task("0198c0de-0000-7000-8000-000000000000")?);
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_outcome_unknown()` when no answer came: the task may be marked.
    pub fn claim_task(&self, task_id: &str) -> Result<bool> {
        match self.mark(task_id, &TaskStatus::Running, None, Effort::Persistent) {
            Ok(()) => Ok(true),
            Err(e) if e.is_not_found() || e.is_conflict() => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// One claim, not sent again: the worker has its own backoff.
    pub(crate) fn claim_once(&self, task_id: &str) -> Result<()> {
        self.mark(task_id, &TaskStatus::Running, None, Effort::Once)
    }

    /// Reports where a task stands, in the platform's words or in those of the
    /// Python kit (`completed`, `processing`). A message goes into the result as
    /// `{"reason", "error"}`.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # mock.add_task(satellite_sdk::testing::mock_task("t-1", "greet", serde_json::json!({})));
    /// # let platform = mock.client();
    /// platform.update_task_status("t-1", "failed", "the disk is full")?;
    /// assert_eq!(mock.result("t-1")["reason"], "the disk is full");
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()` for a task that is gone.
    pub fn update_task_status(
        &self,
        task_id: &str,
        status: impl Into<TaskStatus>,
        message: &str,
    ) -> Result<()> {
        let result = (!message.is_empty()).then(|| safe::failure_result(message, message));
        self.report(task_id, &status.into(), result)
    }

    /// Reports where a task stands with a result of your own, which is made
    /// safe for the platform: NUL characters go, and what is too deep or too
    /// large is cut.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # mock.add_task(satellite_sdk::testing::mock_task("t-1", "greet", serde_json::json!({})));
    /// # let platform = mock.client();
    /// platform.finish_task("t-1", "done", serde_json::json!({ "rows": 7 }))?;
    /// assert_eq!(mock.result("t-1")["rows"], 7);
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()` for a task that is gone.
    pub fn finish_task(
        &self,
        task_id: &str,
        status: impl Into<TaskStatus>,
        result: Value,
    ) -> Result<()> {
        self.report(task_id, &status.into(), safe::as_result(result))
    }

    fn report(&self, task_id: &str, status: &TaskStatus, result: Option<Value>) -> Result<()> {
        self.mark(task_id, status, result.as_ref(), Effort::Persistent)?;
        if status.is_final() {
            let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            for (_, reported) in watched.iter().filter(|(id, _)| id == task_id) {
                reported.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// One report, not sent again: the worker has its own backoff.
    pub(crate) fn report_once(
        &self,
        task_id: &str,
        status: &TaskStatus,
        result: Option<&Value>,
    ) -> Result<()> {
        self.mark(task_id, status, result, Effort::Once)
    }

    fn mark(
        &self,
        task_id: &str,
        status: &TaskStatus,
        result: Option<&Value>,
        effort: Effort,
    ) -> Result<()> {
        let path = format!("{PREFIX}/tasks/{}/status", escaped(task_id));
        let body = match result {
            Some(result) => json!({ "status": status, "result": result }),
            None => json!({ "status": status }),
        };
        let call = Call::new(Method::POST, &path).op(Op::Idempotent);
        self.send(call.effort(effort).json(&body)?)?.ok().map(drop)
    }
}

/// Deployments.
impl PlatformClient {
    /// All deployments of this satellite.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let platform = mock.client();
    /// assert!(platform.list_deployments()?.is_empty());
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// Faults on the way, a refused token.
    pub fn list_deployments(&self) -> Result<Vec<Deployment>> {
        self.read(&format!("{PREFIX}/deployments"))
    }

    /// One deployment.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let id = "0198c0de-0000-7000-8000-000000000001";
    /// # mock.add_deployment(serde_json::json!({ "id": id, "name": "iris" }));
    /// # let platform = mock.client();
    /// assert_eq!(platform.get_deployment(id)?.name, "iris");
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()`; `is_invalid()` where the id is not a uuid.
    pub fn get_deployment(&self, deployment_id: &str) -> Result<Deployment> {
        self.read(&deployment_path(deployment_id))
    }

    /// Changes a deployment: reads it, lets `change` work on it, and sends all
    /// of it back, since the platform empties each field that is left out.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let id = "0198c0de-0000-7000-8000-000000000001";
    /// # mock.add_deployment(serde_json::json!({ "id": id, "tags": ["mine"] }));
    /// # let platform = mock.client();
    /// use satellite_sdk::DeploymentStatus;
    ///
    /// let deployment = platform.update_deployment(id, |update| {
    ///     update.status = DeploymentStatus::Active;
    ///     update.inference_url = Some(format!("/deployments/{id}"));
    /// })?;
    /// assert_eq!(deployment.tags.unwrap(), ["mine"]);
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()`; `is_retryable()` (500) where another deployment has
    /// that `inference_url`.
    pub fn update_deployment(
        &self,
        deployment_id: &str,
        change: impl FnOnce(&mut DeploymentUpdate),
    ) -> Result<Deployment> {
        let mut update = DeploymentUpdate::from(self.get_deployment(deployment_id)?);
        change(&mut update);
        let path = deployment_path(deployment_id);
        let call = Call::new(Method::PATCH, &path).op(Op::Idempotent);
        self.send(call.json(&update)?)?.json()
    }

    /// Changes where a deployment stands and nothing else.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let id = "0198c0de-0000-7000-8000-000000000001";
    /// # mock.add_deployment(serde_json::json!({ "id": id }));
    /// # let platform = mock.client();
    /// let deployment = platform.update_deployment_status(id, "not_responding")?;
    /// assert_eq!(deployment.status, "not_responding");
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()`; `is_invalid()` for a status that the platform does not know.
    pub fn update_deployment_status(
        &self,
        deployment_id: &str,
        status: impl Into<DeploymentStatus>,
    ) -> Result<Deployment> {
        let path = format!("{}/status", deployment_path(deployment_id));
        let call = Call::new(Method::PATCH, &path).op(Op::Idempotent);
        self.send(call.json(&json!({ "status": status.into() }))?)?
            .json()
    }

    /// Takes a deployment off the platform's records.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let id = "0198c0de-0000-7000-8000-000000000001";
    /// # mock.add_deployment(serde_json::json!({ "id": id, "status": "deletion_pending" }));
    /// # let platform = mock.client();
    /// platform.delete_deployment(id)?;
    /// assert!(platform.get_deployment(id).unwrap_err().is_not_found());
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_conflict()` unless its deletion was asked for (`deletion_pending`);
    /// `is_not_found()` where it is gone, which may be this very call's doing
    /// when its first answer was lost.
    pub fn delete_deployment(&self, deployment_id: &str) -> Result<()> {
        let path = deployment_path(deployment_id);
        let call = Call::new(Method::DELETE, &path);
        self.send(call)?.ok().map(drop)
    }
}

/// Secrets, artifacts, access.
impl PlatformClient {
    /// The secrets that a deployment names, by the environment variable or the
    /// attribute that they fill in.
    ///
    /// The platform's own filter answers with the whole orbit's secrets, so each
    /// is asked for by its id.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let (id, key) = ("0198c0de-0000-7000-8000-000000000001", "0198c0de-0000-7000-8000-000000000002");
    /// # mock.add_secret(key, "the key", "v");
    /// # mock.add_deployment(serde_json::json!({ "id": id, "env_variables_secrets": { "API_KEY": key } }));
    /// # let platform = mock.client();
    /// assert_eq!(platform.fetch_secrets(id)?["API_KEY"].expose(), "v");
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// A secret that is missing is an error that names its variable.
    pub fn fetch_secrets(&self, deployment_id: &str) -> Result<BTreeMap<String, Secret>> {
        let deployment = self.get_deployment(deployment_id)?;
        let named = deployment
            .env_variables_secrets
            .into_iter()
            .chain(deployment.dynamic_attributes_secrets);
        named
            .map(|(name, secret_id)| match self.get_secret(&secret_id) {
                Ok(secret) => Ok((name, secret.value)),
                Err(e) if e.is_not_found() => Err(Error::new(format_args!(
                    "the secret for {name} is missing: {e}"
                ))),
                Err(e) => Err(e),
            })
            .collect()
    }

    /// One secret of the orbit, by its id.
    ///
    /// # Errors
    /// `is_not_found()`; `is_invalid()` for a name in place of the uuid.
    pub fn get_secret(&self, secret_id: &str) -> Result<OrbitSecret> {
        self.read(&format!("{PREFIX}/secrets/{}", escaped(secret_id)))
    }

    /// All secrets of the orbit.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let platform = mock.client();
    /// assert!(platform.get_secrets()?.is_empty());
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// Faults on the way, a refused token.
    pub fn get_secrets(&self) -> Result<Vec<OrbitSecret>> {
        self.read(&format!("{PREFIX}/secrets"))
    }

    /// An artifact's record and where to fetch its file.
    ///
    /// # Errors
    /// `is_not_found()`.
    pub fn get_artifact(&self, artifact_id: &str) -> Result<Artifact> {
        self.read(&format!("{PREFIX}/artifacts/{}", escaped(artifact_id)))
    }

    /// A presigned URL for an artifact's file, good for about 12 hours.
    ///
    /// # Errors
    /// `is_not_found()`.
    pub fn artifact_download_url(&self, artifact_id: &str) -> Result<String> {
        #[derive(Deserialize)]
        struct Download {
            url: String,
        }
        let path = format!("{PREFIX}/artifacts/{}/download-url", escaped(artifact_id));
        self.read(&path).map(|download: Download| download.url)
    }

    /// Whether a caller's key may ask this satellite for predictions.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # mock.add_inference_key("dfs_key");
    /// # let platform = mock.client();
    /// assert!(platform.authorize_inference("dfs_key")?);
    /// assert!(!platform.authorize_inference("another")?);
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_invalid()` for a key of more than 255 characters.
    pub fn authorize_inference(&self, api_key: &str) -> Result<bool> {
        #[derive(Deserialize)]
        struct Access {
            authorized: bool,
        }
        let path = format!("{PREFIX}/deployments/inference-access");
        let call = Call::new(Method::POST, &path).op(Op::Read);
        let answer = self.send(call.json(&json!({ "api_key": api_key }))?)?;
        answer.json().map(|access: Access| access.authorized)
    }
}

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
        let transport = Transport::new(
            &settings.platform_url,
            settings.token.clone(),
            settings.trust.clone(),
            settings.max_backoff,
            waiter,
        )?;
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

    fn read<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T> {
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

/// One unreadable task must not hide the others.
fn task_of(item: Value) -> Option<Task> {
    let id = item["id"].as_str().unwrap_or("without an id").to_owned();
    serde_json::from_value(item)
        .inspect_err(|e| log::warn!("task {id} is left alone, it cannot be read: {e}"))
        .ok()
}

fn deployment_path(deployment_id: &str) -> String {
    format!("{PREFIX}/deployments/{}", escaped(deployment_id))
}

/// One path segment: an id is the platform's, but never trusted to be tame.
fn escaped(segment: &str) -> String {
    let mut path = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => path.push(byte.into()),
            b'.' if segment != "." && segment != ".." => path.push('.'),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}
