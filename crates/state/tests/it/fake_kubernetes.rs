//! A fake kube-apiserver for ConfigMaps and Leases, with the responses that a real one
//! (1.20.2) gave, and with faults that can be injected.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use satellite_serve::{Limits, Request, Response, Server};
use satellite_state::Right;
use serde_json::{Value, json};
use tempfile::{TempDir as TempDirectory, tempdir as temp_directory};

const DATA_LIMIT: usize = 1_048_576;
const BODY_LIMIT: u64 = 3_145_728;

pub struct FakeKubernetes {
    server: Server,
    state: Arc<Mutex<State>>,
    account: TempDirectory,
}

#[derive(Default)]
pub struct State {
    /// By collection and name.
    pub objects: BTreeMap<(String, String), Value>,
    version: u64,
    pub token: String,
    /// Collections that the token's owner may not access, by a part of their path.
    pub forbidden: Vec<String>,
    /// Names to which the token's owner is restricted, as by RBAC's `resourceNames`.
    pub only_names: Option<Vec<String>>,
    /// The only rights of the token's owner, if it does not have all.
    pub granted: Option<Vec<Right>>,
    /// The next requests get these statuses, without an effect.
    pub failing: Vec<u16>,
    /// The next writes get these statuses, without an effect.
    pub failing_writes: Vec<u16>,
    /// The next writes take effect, and their responses are lost.
    pub losing: u32,
    /// Requests of this method, to a path that contains this text, are delayed by this.
    pub slow: Option<(&'static str, String, Duration)>,
    /// The users that requests impersonated.
    pub impersonated: Vec<String>,
    /// All requests so far, such as `PUT /path`.
    pub requests: Vec<String>,
}

impl FakeKubernetes {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            token: "first-token".into(),
            ..State::default()
        }));
        let limits = Limits {
            body_bytes: BODY_LIMIT,
            ..Limits::default()
        };
        let shared = state.clone();
        let server = Server::bind("127.0.0.1:0", limits, move |request| {
            let slow = shared.lock().unwrap().slow.clone();
            if let Some((method, part, late)) = slow {
                if request.method() == method && request.path().contains(&part) {
                    thread::sleep(late);
                }
            }
            let state = &mut shared.lock().unwrap();
            answer(state, request)
        });
        let account = temp_directory().unwrap();
        std::fs::write(account.path().join("token"), "first-token\n").unwrap();
        FakeKubernetes {
            server: server.unwrap(),
            state,
            account,
        }
    }

    pub fn address(&self) -> String {
        self.server.addr().to_string()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.server.addr())
    }

    /// The folder of the service account.
    pub fn account(&self) -> &std::path::Path {
        self.account.path()
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn object(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let collection = collection(kind, namespace);
        let key = (collection, name.to_owned());
        self.state().objects.get(&key).cloned()
    }

    pub fn put(&self, kind: &str, namespace: &str, name: &str, mut object: Value) {
        let mut state = self.state();
        object["metadata"]["name"] = json!(name);
        state.store(&collection(kind, namespace), name, object);
    }

    pub fn remove(&self, kind: &str, namespace: &str, name: &str) {
        let key = (collection(kind, namespace), name.to_owned());
        self.state().objects.remove(&key);
    }
}

impl State {
    fn store(&mut self, collection: &str, name: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let key = (collection.to_owned(), name.to_owned());
        self.objects.insert(key, object.clone());
        object
    }
}

pub fn collection(kind: &str, namespace: &str) -> String {
    let group = match kind {
        "leases" => "/apis/coordination.k8s.io/v1",
        _ => "/api/v1",
    };
    format!("{group}/namespaces/{namespace}/{kind}")
}

fn answer(state: &mut State, request: &mut Request<'_>) -> Response {
    let (method, path) = (request.method(), request.path());
    state.requests.push(format!("{method} {path}"));
    let patch_type = request.header("content-type").unwrap_or_default();
    let user = request.header("impersonate-user").map(str::to_owned);
    state.impersonated.extend(user);
    // Without a token it is like `kubectl proxy`, which has credentials of its own.
    let bearer = request.header("authorization").unwrap_or("Bearer ");
    if bearer.strip_prefix("Bearer ") != Some(state.token.as_str()) {
        return status(401, "Unauthorized", "Unauthorized");
    }
    if !state.failing.is_empty() {
        let failure = state.failing.remove(0);
        return status(failure, "InternalError", "on purpose");
    }
    if method != "GET" && !state.failing_writes.is_empty() {
        let failure = state.failing_writes.remove(0);
        return status(failure, "Forbidden", "on purpose");
    }
    if request.content_length().is_some_and(|n| n > BODY_LIMIT) {
        return status(413, "RequestEntityTooLarge", "limit is 3145728");
    }
    let Ok(body) = request.read_body() else {
        return status(413, "RequestEntityTooLarge", "limit is 3145728");
    };
    let (collection, name) = match path.rsplit_once('/') {
        Some((collection, name)) if name != "configmaps" && name != "leases" => (collection, name),
        _ => (path, ""),
    };
    if path.ends_with("/selfsubjectaccessreviews") {
        let review: Value = serde_json::from_slice(&body).unwrap_or_default();
        return Response::json(201, reviewed(state, &review).to_string());
    }
    let refused = state
        .forbidden
        .iter()
        .any(|part| path.contains(part.as_str()));
    let resource = collection.rsplit('/').next().unwrap_or_default();
    if refused
        || is_outside_resource_names(state, method, patch_type, name)
        || !is_granted(state, verb(method), resource, name)
    {
        return status(403, "Forbidden", "is forbidden: no RBAC policy matched");
    }
    let object: Value = serde_json::from_slice(&body).unwrap_or_default();
    let call = Call {
        state,
        collection,
        name,
        object,
    };
    let is_write = method != "GET";
    let (code, document) = match (method, patch_type) {
        ("GET", _) => call.get(),
        ("POST", _) => call.create(),
        ("PUT", _) => call.replace(),
        ("PATCH", "application/merge-patch+json") => call.merge(),
        ("PATCH", "application/apply-patch+yaml") => call.apply(),
        ("DELETE", _) => call.delete(),
        _ => (415, status_object(415, "UnsupportedMediaType", "")),
    };
    if is_write && code < 300 && state.losing > 0 {
        state.losing -= 1;
        return Response::raw("");
    }
    Response::json(code, document.to_string())
}

fn verb(method: &str) -> &'static str {
    match method {
        "GET" => "get",
        "POST" => "create",
        "PUT" => "update",
        "DELETE" => "delete",
        _ => "patch",
    }
}

fn is_granted(state: &State, verb: &str, resource: &str, name: &str) -> bool {
    let Some(granted) = &state.granted else {
        return true;
    };
    granted.iter().any(|right| {
        let is_named = right.name.as_deref().is_none_or(|allowed| allowed == name);
        right.verb == verb && right.resource == resource && is_named
    })
}

fn reviewed(state: &State, review: &Value) -> Value {
    let asked = &review["spec"]["resourceAttributes"];
    let text = |key: &str| asked[key].as_str().unwrap_or_default();
    let is_allowed = is_granted(state, text("verb"), text("resource"), text("name"));
    let mut review = review.clone();
    review["status"] =
        json!({ "allowed": is_allowed, "reason": if is_allowed { "RBAC: allowed" } else { "" } });
    review
}

/// `resourceNames` cannot be checked for a create, whose name is in the body;
/// it can for a server-side apply, whose name is in the path.
fn is_outside_resource_names(state: &State, method: &str, _patch_type: &str, name: &str) -> bool {
    let Some(names) = &state.only_names else {
        return false;
    };
    method == "POST" || !names.iter().any(|allowed| allowed == name)
}

struct Call<'a> {
    state: &'a mut State,
    collection: &'a str,
    name: &'a str,
    object: Value,
}

type Answer = (u16, Value);

impl Call<'_> {
    fn is_lease(&self) -> bool {
        self.collection.ends_with("leases")
    }

    fn there(&self) -> Option<Value> {
        let key = (self.collection.to_owned(), self.name.to_owned());
        self.state.objects.get(&key).cloned()
    }

    fn get(self) -> Answer {
        match self.there() {
            Some(object) => (200, object),
            None => (404, status_object(404, "NotFound", "not found")),
        }
    }

    fn create(mut self) -> Answer {
        let name = self.object["metadata"]["name"].as_str().map(str::to_owned);
        let name = name.unwrap_or_default();
        if let Some(invalid_response) = self.validate(&name) {
            return invalid_response;
        }
        let key = (self.collection.to_owned(), name.clone());
        if self.state.objects.contains_key(&key) {
            return (409, status_object(409, "AlreadyExists", "already exists"));
        }
        let object = self.object.take();
        (201, self.state.store(self.collection, &name, object))
    }

    fn replace(mut self) -> Answer {
        if let Some(invalid_response) = self.validate(self.name) {
            return invalid_response;
        }
        let version = self.object["metadata"]["resourceVersion"].clone();
        let code = match self.there() {
            None if self.is_lease() => 201,
            None => return (404, status_object(404, "NotFound", "not found")),
            Some(_) if version.is_null() && self.is_lease() => {
                return (
                    422,
                    status_object(422, "Invalid", "resourceVersion must be specified"),
                );
            }
            Some(there)
                if !version.is_null() && there["metadata"]["resourceVersion"] != version =>
            {
                return (
                    409,
                    status_object(409, "Conflict", "the object has been modified"),
                );
            }
            Some(_) => 200,
        };
        let object = self.object.take();
        (code, self.state.store(self.collection, self.name, object))
    }

    fn merge(mut self) -> Answer {
        let Some(mut there) = self.there() else {
            return (404, status_object(404, "NotFound", "not found"));
        };
        let version = &self.object["metadata"]["resourceVersion"];
        if !version.is_null() && there["metadata"]["resourceVersion"] != *version {
            return (
                409,
                status_object(409, "Conflict", "the object has been modified"),
            );
        }
        merge_into(&mut there, &self.object);
        self.object = there;
        if let Some(invalid_response) = self.validate(self.name) {
            return invalid_response;
        }
        let object = self.object.take();
        (200, self.state.store(self.collection, self.name, object))
    }

    fn apply(mut self) -> Answer {
        let version = self.object["metadata"]["resourceVersion"].clone();
        let code = match self.there() {
            Some(there)
                if !version.is_null() && there["metadata"]["resourceVersion"] != version =>
            {
                return (
                    409,
                    status_object(409, "Conflict", "the object has been modified"),
                );
            }
            Some(_) => 200,
            None => 201, // with or without a version: a deleted object is created again
        };
        let object = self.object.take();
        (code, self.state.store(self.collection, self.name, object))
    }

    fn delete(self) -> Answer {
        let key = (self.collection.to_owned(), self.name.to_owned());
        match self.state.objects.remove(&key) {
            Some(_) => (200, json!({ "kind": "Status", "status": "Success" })),
            None => (404, status_object(404, "NotFound", "not found")),
        }
    }

    fn validate(&self, name: &str) -> Option<Answer> {
        let invalid = |message: &str| Some((422, status_object(422, "Invalid", message)));
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        if name.is_empty() || name.len() > 253 || !name.chars().all(is_name) {
            return invalid("a lowercase RFC 1123 subdomain must consist of …");
        }
        let labels = self.object["metadata"]["labels"].as_object();
        for value in labels.into_iter().flat_map(|labels| labels.values()) {
            let is_label = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if !value
                .as_str()
                .is_some_and(|v| v.len() <= 63 && v.chars().all(is_label))
            {
                return invalid("a valid label must be …");
            }
        }
        if self.is_lease() {
            for time in ["renewTime", "acquireTime"] {
                if self.object["spec"][time]
                    .as_str()
                    .is_some_and(|t| !has_microseconds(t))
                {
                    return Some((
                        400,
                        status_object(400, "BadRequest", "cannot parse the time"),
                    ));
                }
            }
            return None;
        }
        let plain = self.object["data"].as_object();
        let plain = plain.into_iter().flat_map(|data| data.values());
        let binary = self.object["binaryData"].as_object();
        let binary = binary.into_iter().flat_map(|data| data.values());
        let total = plain.map(|v| v.as_str().map_or(0, str::len)).sum::<usize>()
            + binary
                .map(|v| v.as_str().map_or(0, |t| t.len() / 4 * 3))
                .sum::<usize>();
        match total > DATA_LIMIT {
            true => invalid("Too long: must have at most 1048576 bytes"),
            false => None,
        }
    }
}

fn has_microseconds(time: &str) -> bool {
    let fraction = time.strip_suffix('Z').and_then(|t| t.split_once('.'));
    fraction.is_some_and(|(_, digits)| digits.len() == 6)
}

fn merge_into(there: &mut Value, patch: &Value) {
    match (there, patch) {
        (Value::Object(there), Value::Object(patch)) => {
            for (key, value) in patch {
                merge_into(there.entry(key).or_insert(Value::Null), value);
            }
        }
        (there, patch) => *there = patch.clone(),
    }
}

fn status(code: u16, reason: &str, message: &str) -> Response {
    Response::json(code, status_object(code, reason, message).to_string())
}

fn status_object(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    })
}
