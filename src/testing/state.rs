//! The data of the mock platform: tasks, deployments, secrets, artifacts, keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::faults::Faults;
use satellite_core::wake::Clock;
use satellite_serve::testing::RecordedRequest;

/// All tasks are scheduled at the same time, as on the real platform.
const SCHEDULED_AT: &str = "2026-08-01T00:00:00Z";
const ORBIT: &str = "0198f000-0000-7000-8000-00000000000b";
const SATELLITE: &str = "0198f000-0000-7000-8000-00000000000a";

#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<PlatformState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct PlatformState {
    pub(super) token: String,
    pub(super) is_token_refused: bool,
    /// No requests are served: the platform is paused or being dropped.
    pub(super) is_paused: bool,
    pub(super) claim_guard: bool,
    pub(super) satellite: Value,
    pub(super) clock: Option<Arc<dyn Clock>>,
    /// When the satellite last sent a request with its token.
    pub(super) last_request: Option<Instant>,
    pub(super) tasks: Vec<Task>,
    pub(super) deployments: Vec<Value>,
    pub(super) secrets: Vec<Value>,
    pub(super) artifacts: BTreeMap<String, (Value, String)>,
    pub(super) inference_keys: BTreeSet<String>,
    pub(super) user_keys: BTreeSet<String>,
    pub(super) pairing_codes: BTreeSet<String>,
    pub(super) faults: Faults,
    requests: Vec<RecordedRequest>,
    /// The number of cleared requests.
    cleared: usize,
    ticks: u64,
}

#[derive(Debug)]
pub(super) struct Task {
    pub(super) document: Value,
    /// Each reported status with its result.
    pub(super) reports: Vec<(String, Value)>,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, PlatformState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn notify(&self) {
        self.changed.notify_all();
    }

    /// Waits until `reached` is true, at most `limit`; returns whether it is.
    pub(super) fn wait_until(
        &self,
        limit: Duration,
        reached: impl Fn(&PlatformState) -> bool,
    ) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.state(), limit, |state| !reached(state));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl PlatformState {
    pub(super) fn new(token: String) -> PlatformState {
        // The first ids are used for the satellite and its orbit.
        PlatformState {
            token,
            ticks: 16,
            ..PlatformState::default()
        }
    }

    pub(super) fn into_shared(self) -> Shared {
        Shared {
            state: Mutex::new(self),
            changed: Condvar::new(),
        }
    }

    pub(super) fn add_task(&mut self, given: impl Serialize) -> String {
        let (id, now) = (self.new_id(), self.now());
        let document = with_defaults(
            given,
            json!({
                "id": id, "satellite_id": SATELLITE, "orbit_id": ORBIT, "type": "deploy",
                "payload": {}, "status": "pending", "scheduled_at": SCHEDULED_AT,
                "started_at": null, "finished_at": null, "result": {},
                "created_at": now, "updated_at": now,
            }),
        );
        let id = id_of(&document);
        self.tasks.retain(|task| id_of(&task.document) != id);
        self.tasks.push(Task {
            document,
            reports: Vec::new(),
        });
        id
    }

    pub(super) fn add_deployment(&mut self, given: impl Serialize) -> String {
        let (id, now) = (self.new_id(), self.now());
        let (artifact, collection) = (self.new_id(), self.new_id());
        let document = with_defaults(
            given,
            json!({
                "id": id, "name": "a deployment", "status": "pending", "orbit_id": ORBIT,
                "satellite_id": SATELLITE, "satellite_name": "a satellite",
                "artifact_id": artifact, "artifact_name": "a model",
                "collection_id": collection, "inference_url": null,
                "satellite_parameters": {}, "description": null,
                "dynamic_attributes_secrets": {}, "env_variables_secrets": {},
                "env_variables": {}, "schemas": null, "error_message": null,
                "created_by_user": null, "tags": null, "created_at": now, "updated_at": now,
            }),
        );
        let id = id_of(&document);
        self.deployments
            .retain(|deployment| id_of(deployment) != id);
        self.deployments.push(document);
        id
    }

    pub(super) fn add_secret(&mut self, id: &str, name: &str, value: &str) {
        let now = self.now();
        self.secrets.retain(|secret| id_of(secret) != id);
        self.secrets.push(json!({
            "name": name, "value": value, "tags": [], "id": id, "orbit_id": ORBIT,
            "created_at": now, "updated_at": now,
        }));
    }

    /// Registers the satellite, the first time or again.
    pub(super) fn pair(&mut self, base_url: &Value, capabilities: &Value, slug: &Value) -> Value {
        let now = self.now();
        let created_at = match &self.satellite["created_at"] {
            Value::Null => json!(now),
            before => before.clone(),
        };
        self.satellite = json!({
            "id": SATELLITE, "orbit_id": ORBIT, "name": "a satellite", "description": null,
            "base_url": base_url, "paired": true, "capabilities": capabilities, "slug": slug,
            "created_at": created_at, "updated_at": now, "last_seen_at": now,
            "status": "active",
        });
        self.satellite.clone()
    }

    pub(super) fn task(&self, id: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| id_of(&task.document) == id)
    }

    pub(super) fn task_mut(&mut self, id: &str) -> Option<&mut Task> {
        self.tasks
            .iter_mut()
            .find(|task| id_of(&task.document) == id)
    }

    pub(super) fn deployment(&self, id: &str) -> Option<&Value> {
        self.deployments
            .iter()
            .find(|deployment| id_of(deployment) == id)
    }

    pub(super) fn deployment_mut(&mut self, id: &str) -> Option<&mut Value> {
        self.deployments
            .iter_mut()
            .find(|deployment| id_of(deployment) == id)
    }

    /// Records a request; returns its number for [`responded`](Self::responded).
    pub(super) fn record(&mut self, request: RecordedRequest) -> usize {
        self.requests.push(request);
        self.cleared + self.requests.len() - 1
    }

    pub(super) fn responded(&mut self, number: usize, status: u16) {
        let request = number
            .checked_sub(self.cleared)
            .and_then(|at| self.requests.get_mut(at));
        if let Some(request) = request {
            request.status = status;
        }
    }

    pub(super) fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.clone()
    }

    pub(super) fn clear_requests(&mut self) {
        self.cleared += self.requests.len();
        self.requests.clear();
    }

    /// A timestamp later than all previous ones.
    pub(super) fn now(&mut self) -> String {
        self.ticks += 1;
        let (seconds, micros) = (self.ticks / 1_000_000 % 60, self.ticks % 1_000_000);
        format!("2026-08-01T00:00:{seconds:02}.{micros:06}Z")
    }

    fn new_id(&mut self) -> String {
        self.ticks += 1;
        format!("0198f000-0000-7000-8000-{:012x}", self.ticks)
    }
}

impl Task {
    pub(super) fn status(&self) -> &str {
        self.document["status"].as_str().unwrap_or_default()
    }

    pub(super) fn report(&mut self, status: &str, result: Value, now: &str) {
        self.document["status"] = json!(status);
        self.document["updated_at"] = json!(now);
        match status {
            "running" => self.document["started_at"] = json!(now),
            "done" | "failed" => self.document["finished_at"] = json!(now),
            _ => {}
        }
        if !result.is_null() {
            self.document["result"] = result.clone();
        }
        self.reports.push((status.into(), result));
    }
}

/// The given fields, with `defaults` for the missing ones.
fn with_defaults(given: impl Serialize, mut defaults: Value) -> Value {
    let given = serde_json::to_value(given).expect("a test's own value must be JSON");
    let Value::Object(given) = given else {
        panic!("expected a JSON object, got {given}")
    };
    if let Some(fields) = defaults.as_object_mut() {
        fields.extend(given);
    }
    defaults
}

fn id_of(document: &Value) -> String {
    document["id"].as_str().unwrap_or_default().to_owned()
}

/// Replaces fields of a JSON object.
pub(super) fn replace(document: &mut Value, fields: Map<String, Value>) {
    if let Some(document) = document.as_object_mut() {
        document.extend(fields);
    }
}
