use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::fault_rule::FaultRule;
use super::service::listen;
use super::state::{PlatformState, Shared};
use satellite_serve::Server;
use satellite_serve::testing::Fault;
use satellite_serve::testing::RecordedRequest;

/// A mock platform on loopback. It has all routes and statuses that a satellite uses, including
/// the unexpected behaviour of the real platform.
///
/// A clone is another handle to the same platform, which stops with its last handle. As a tool
/// for tests, it panics with a message instead of returning an error.
///
/// ```
/// use satellite_sdk::testing::{Fault, MockPlatform};
///
/// let platform = MockPlatform::start();
/// platform.add_task(serde_json::json!({ "id": "t1", "type": "greet", "payload": { "name": "Ada" } }));
/// platform.fault(Fault::Status(503)).times(2);
///
/// assert_eq!(platform.status("t1"), "pending");
/// assert!(platform.requests().is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct MockPlatform {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    addr: SocketAddr,
    shared: Arc<Shared>,
    listening: Mutex<Listening>,
}

#[derive(Debug)]
struct Listening {
    server: Option<Server>,
    /// Connections accepted before the last pause.
    earlier: u64,
}

impl MockPlatform {
    /// Starts a platform on a port that the system chooses.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// let platform = MockPlatform::start();
    /// assert!(platform.url().starts_with("http://127.0.0.1:"));
    /// ```
    pub fn start() -> MockPlatform {
        let shared = Arc::new(PlatformState::new(new_token()).into_shared());
        let server = listen(SocketAddr::from(([127, 0, 0, 1], 0)), &shared, 0)
            .unwrap_or_else(|error| panic!("the mock platform cannot listen: {error}"));
        let addr = server.addr();
        let listening = Mutex::new(Listening {
            server: Some(server),
            earlier: 0,
        });
        MockPlatform {
            inner: Arc::new(Inner {
                addr,
                shared,
                listening,
            }),
        }
    }

    /// Its base URL: `http://127.0.0.1:PORT`.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// let url = MockPlatform::start().url() + "/satellites/v1/tasks";
    /// ```
    pub fn url(&self) -> String {
        format!("http://{}", self.inner.addr)
    }

    /// The satellite's token. It is unique for each platform, so that tests can search logs for it.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// assert!(MockPlatform::start().token().starts_with("dfssat_"));
    /// ```
    pub fn token(&self) -> String {
        self.state().token.clone()
    }

    /// A task's status. Panics if the task does not exist.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// let platform = MockPlatform::start();
    /// platform.add_task(serde_json::json!({ "id": "t1" }));
    /// assert_eq!(platform.status("t1"), "pending");
    /// ```
    pub fn status(&self, task_id: &str) -> String {
        self.known_task(task_id)["status"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// A task's result, initially `{}`. Panics if the task does not exist.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// let platform = MockPlatform::start();
    /// platform.add_task(serde_json::json!({ "id": "t1" }));
    /// assert_eq!(platform.result("t1"), serde_json::json!({}));
    /// ```
    pub fn result(&self, task_id: &str) -> Value {
        self.known_task(task_id)["result"].take()
    }

    /// A task as the platform lists it.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// assert!(MockPlatform::start().task("t1").is_none());
    /// ```
    pub fn task(&self, task_id: &str) -> Option<Value> {
        self.state().task(task_id).map(|task| task.document.clone())
    }

    /// A deployment, unless it was deleted.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// assert!(MockPlatform::start().deployment("d1").is_none());
    /// ```
    pub fn deployment(&self, deployment_id: &str) -> Option<Value> {
        self.state().deployment(deployment_id).cloned()
    }

    /// The record of the registered satellite; null before the registration.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// assert!(MockPlatform::start().satellite().is_null());
    /// ```
    pub fn satellite(&self) -> Value {
        self.state().satellite()
    }

    /// Every status that was set on a task, in order.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// assert!(MockPlatform::start().history("t1").is_empty());
    /// ```
    pub fn history(&self, task_id: &str) -> Vec<String> {
        self.reports(task_id)
            .into_iter()
            .map(|(status, _)| status)
            .collect()
    }

    /// The result reported with each status of [`history`](MockPlatform::history); null if there
    /// was none.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// assert!(MockPlatform::start().results_reported("t1").is_empty());
    /// ```
    pub fn results_reported(&self, task_id: &str) -> Vec<Value> {
        self.reports(task_id)
            .into_iter()
            .map(|(_, result)| result)
            .collect()
    }

    /// All recorded requests, in the order of arrival.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// assert!(MockPlatform::start().requests().is_empty());
    /// ```
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.state().requests()
    }

    /// Clears the recorded requests.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// MockPlatform::start().clear_requests();
    /// ```
    pub fn clear_requests(&self) {
        self.state().clear_requests();
    }

    /// The number of connections opened so far.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// assert_eq!(MockPlatform::start().connections(), 0);
    /// ```
    pub fn connections(&self) -> u64 {
        let listening = self.inner.listening();
        listening.earlier + listening.server.as_ref().map_or(0, Server::connections)
    }

    /// Whether a claim of a task that is no longer pending is rejected with 409. Without the guard
    /// the response is 200, as on the real platform.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// MockPlatform::start().claim_guard(true);
    /// ```
    pub fn claim_guard(&self, on: bool) {
        self.state().claim_guard = on;
    }

    /// Removes the satellite from the platform: requests with its token get a 401 from now on.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// MockPlatform::start().unpair();
    /// ```
    pub fn unpair(&self) {
        let mut state = self.state();
        state.is_token_refused = true;
        state.satellite = Value::Null;
    }

    /// Revokes the token: requests with it get a 401 from now on.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// MockPlatform::start().revoke();
    /// ```
    pub fn revoke(&self) {
        self.state().is_token_refused = true;
    }

    /// Injects a fault into the next request, or into those selected on the returned rule.
    ///
    /// ```
    /// # use satellite_sdk::testing::{Fault, MockPlatform};
    /// MockPlatform::start().fault(Fault::Status(503)).times(3).on("GET", "/tasks");
    /// ```
    pub fn fault(&self, fault: Fault) -> FaultRule {
        FaultRule::new(self.inner.shared.clone(), fault)
    }

    /// Removes all faults. A request that one of them delays continues at once.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// MockPlatform::start().clear_faults();
    /// ```
    pub fn clear_faults(&self) {
        self.state().faults.clear();
        self.inner.shared.notify();
    }

    /// Simulates an outage of its host: open connections are closed, new ones refused.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// let platform = MockPlatform::start();
    /// platform.pause();
    /// platform.resume();
    /// ```
    pub fn pause(&self) {
        self.inner.stop();
    }

    /// Ends the outage: it listens again on the same address, with all its data.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// MockPlatform::start().resume();
    /// ```
    pub fn resume(&self) {
        let mut listening = self.inner.listening();
        if listening.server.is_some() {
            return;
        }
        self.state().is_paused = false;
        let begun = Instant::now();
        loop {
            match listen(self.inner.addr, &self.inner.shared, listening.earlier) {
                Ok(server) => return listening.server = Some(server),
                // Another process may use the port for a moment.
                Err(_) if begun.elapsed() < Duration::from_secs(15) => {
                    thread::sleep(Duration::from_millis(10));
                }
                Err(error) => panic!("the mock platform cannot listen again: {error}"),
            }
        }
    }

    /// Waits until a task has, or has had, this status; false if that takes longer than `limit`.
    ///
    /// ```
    /// # use satellite_sdk::testing::MockPlatform;
    /// # use std::time::Duration;
    /// let platform = MockPlatform::start();
    /// platform.add_task(serde_json::json!({ "id": "t1" }));
    /// assert!(platform.wait_for("t1", "pending", Duration::from_secs(1)));
    /// assert!(!platform.wait_for("t1", "done", Duration::from_millis(10)));
    /// ```
    pub fn wait_for(&self, task_id: &str, status: &str, limit: Duration) -> bool {
        self.inner.shared.wait_until(limit, |state| {
            state.task(task_id).is_some_and(|task| {
                task.status() == status || task.reports.iter().any(|(set, _)| set == status)
            })
        })
    }

    pub(super) fn notify(&self) {
        self.inner.shared.notify();
    }

    fn known_task(&self, id: &str) -> Value {
        self.task(id)
            .unwrap_or_else(|| panic!("the mock platform has no task {id}"))
    }

    fn reports(&self, task_id: &str) -> Vec<(String, Value)> {
        self.state()
            .task(task_id)
            .map(|task| task.reports.clone())
            .unwrap_or_default()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, PlatformState> {
        self.inner.shared.state()
    }
}

impl Inner {
    fn listening(&self) -> MutexGuard<'_, Listening> {
        self.listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        let mut listening = self.listening();
        self.shared.state().is_paused = true;
        self.shared.notify();
        if let Some(server) = listening.server.take() {
            listening.earlier += server.connections();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

fn new_token() -> String {
    static PLATFORMS: AtomicU64 = AtomicU64::new(0);
    let number = PLATFORMS.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    format!("dfssat_mock{:x}x{number:x}x{now:x}", std::process::id())
}
