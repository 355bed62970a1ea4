//! The platform's routes, including its unexpected behaviour.

use serde_json::{Map, Value, json};

use super::state::{PlatformState, replace};
use super::validation::{
    DEPLOYMENT_STATUSES, TASK_STATUSES, detail, holds_nul, http_url, internal, invalid, object,
    one_of, optional, required, unknown,
};
use satellite_serve::Response;

const PREFIX: &str = "/satellites/v1/";

/// A received request.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) bearer: Option<&'a str>,
    pub(super) body: &'a [u8],
}

enum Route<'a> {
    Pair,
    Tasks,
    TaskStatus(&'a str),
    Deployments,
    Deployment(&'a str),
    ReplaceDeployment(&'a str),
    DeleteDeployment(&'a str),
    DeploymentStatus(&'a str),
    InferenceAccess,
    Secrets,
    Secret(&'a str),
    Artifact(&'a str),
    DownloadUrl(&'a str),
}

/// The document, or an error response.
type Answer = Result<Value, Response>;

/// Handles a request.
pub(super) fn answer(state: &mut PlatformState, call: &Call<'_>) -> Response {
    if let Some(path) = call
        .path
        .strip_suffix('/')
        .filter(|path| path.starts_with(PREFIX))
    {
        let query = call
            .query
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        return Response::new(307).header("location", format!("{path}{query}"));
    }
    let route = match Route::of(call) {
        Ok(route) => route,
        Err(response) => return response,
    };
    match state.serve(&route, call) {
        Ok(_) if matches!(route, Route::DeleteDeployment(_)) => Response::new(204),
        Ok(document) => Response::json(200, document.to_string()),
        Err(response) => response,
    }
}

impl<'a> Route<'a> {
    fn of(call: &Call<'a>) -> Result<Route<'a>, Response> {
        let segments: Vec<&str> = match call.path.strip_prefix(PREFIX) {
            Some(path) => path.split('/').collect(),
            None => return Err(detail(404, "Not Found")),
        };
        Ok(match (call.method, segments.as_slice()) {
            ("POST", ["pair"]) => Route::Pair,
            ("GET", ["tasks"]) => Route::Tasks,
            ("POST", ["tasks", id, "status"]) => Route::TaskStatus(id),
            ("POST", ["deployments", "inference-access"]) => Route::InferenceAccess,
            ("GET", ["deployments"]) => Route::Deployments,
            ("GET", ["deployments", id]) => Route::Deployment(id),
            ("PATCH", ["deployments", id]) => Route::ReplaceDeployment(id),
            ("DELETE", ["deployments", id]) => Route::DeleteDeployment(id),
            ("PATCH", ["deployments", id, "status"]) => Route::DeploymentStatus(id),
            ("GET", ["secrets"]) => Route::Secrets,
            ("GET", ["secrets", id]) => Route::Secret(id),
            ("GET", ["artifacts", id]) => Route::Artifact(id),
            ("GET", ["artifacts", id, "download-url"]) => Route::DownloadUrl(id),
            (_, ["pair" | "tasks" | "deployments" | "secrets"])
            | (_, ["tasks" | "deployments", _, "status"])
            | (_, ["deployments" | "secrets" | "artifacts", _])
            | (_, ["artifacts", _, "download-url"]) => {
                return Err(detail(405, "Method Not Allowed"));
            }
            _ => return Err(detail(404, "Not Found")),
        })
    }
}

impl PlatformState {
    fn serve(&mut self, route: &Route<'_>, call: &Call<'_>) -> Answer {
        if let (Route::Pair, None) = (route, call.bearer) {
            return self.exchange_code(call.body);
        }
        self.authorize(call.bearer)?;
        self.record_request();
        match *route {
            Route::Pair => self.register(call.body),
            Route::Tasks => self.list_tasks(call.query),
            Route::TaskStatus(id) => self.set_task_status(id, call.body),
            Route::Deployments => Ok(json!(self.deployments)),
            Route::Deployment(id) => self
                .deployment(id)
                .cloned()
                .ok_or_else(|| no_deployment(id)),
            Route::ReplaceDeployment(id) => self.replace_deployment(id, call.body),
            Route::DeleteDeployment(id) => self.delete_deployment(id),
            Route::DeploymentStatus(id) => self.set_deployment_status(id, call.body),
            Route::InferenceAccess => self.check_inference_access(call.body),
            // `?deployment_id=` is ignored: the response has the secrets of the whole orbit.
            Route::Secrets => Ok(json!(self.secrets)),
            Route::Secret(id) => {
                let secret = self
                    .secrets
                    .iter()
                    .find(|secret| secret["id"] == id)
                    .cloned();
                secret.ok_or_else(|| unknown(id, "secret_id", "Orbit secret"))
            }
            Route::Artifact(id) => {
                let (artifact, url) = self.artifact(id)?;
                Ok(json!({ "artifact": artifact, "url": url }))
            }
            Route::DownloadUrl(id) => Ok(json!({ "url": self.artifact(id)?.1 })),
        }
    }

    fn authorize(&self, bearer: Option<&str>) -> Result<(), Response> {
        match bearer {
            Some(bearer) if bearer == self.token && !self.is_token_refused => Ok(()),
            Some(bearer) if self.user_keys.contains(bearer) => Err(detail(403, "Forbidden")),
            _ => Err(detail(401, "Not authenticated")),
        }
    }

    /// Exchanges a pairing code for the token, which the real platform does not support.
    fn exchange_code(&self, body: &[u8]) -> Answer {
        let fields = object(body).unwrap_or_default();
        match fields.get("code").and_then(Value::as_str) {
            Some(code) if self.pairing_codes.contains(code) => Ok(json!({ "token": self.token })),
            _ => Err(detail(401, "Not authenticated")),
        }
    }

    fn register(&mut self, body: &[u8]) -> Answer {
        let fields = object(body)?;
        let base_url = required(&fields, "base_url")?;
        http_url(base_url)?;
        let Value::Object(capabilities) = required(&fields, "capabilities")? else {
            let place = json!(["body", "capabilities"]);
            let message = "Input should be a valid dictionary";
            return Err(invalid(
                "dict_type",
                place,
                message,
                &fields["capabilities"],
            ));
        };
        for (name, value) in capabilities {
            one_of(
                &json!(name),
                &["deploy", "monitoring"],
                json!(["body", "capabilities", name, "[key]"]),
            )?;
            optional(capabilities, name, "dict", Value::is_object).map_err(|_| {
                let place = json!(["body", "capabilities", name]);
                invalid(
                    "dict_type",
                    place,
                    "Input should be a valid dictionary",
                    value,
                )
            })?;
        }
        let slug = optional(&fields, "slug", "string", Value::is_string)?;
        if capabilities.is_empty() {
            return Err(detail(400, "Invalid capabilities"));
        }
        Ok(self.pair(base_url, &fields["capabilities"], &slug))
    }

    fn list_tasks(&self, query: Option<&str>) -> Answer {
        let status = query
            .unwrap_or_default()
            .split('&')
            .find_map(|parameter| parameter.strip_prefix("status="));
        if let Some(status) = status {
            one_of(&json!(status), TASK_STATUSES, json!(["query", "status"]))?;
        }
        let tasks = self
            .tasks
            .iter()
            .filter(|task| status.is_none_or(|s| s == task.status()));
        Ok(tasks.map(|task| task.document.clone()).collect())
    }

    fn set_task_status(&mut self, id: &str, body: &[u8]) -> Answer {
        let fields = object(body)?;
        let status = one_of(
            required(&fields, "status")?,
            TASK_STATUSES,
            json!(["body", "status"]),
        )?;
        let result = optional(&fields, "result", "dict", Value::is_object)?;
        let (now, claim_guard) = (self.now(), self.claim_guard);
        let task = self
            .task_mut(id)
            .ok_or_else(|| unknown(id, "task_id", "Task"))?;
        if holds_nul(&result) {
            return Err(internal());
        }
        if claim_guard && status == "running" && task.status() != "pending" {
            return Err(detail(409, "Task is already claimed"));
        }
        task.report(&status, result, &now);
        Ok(task.document.clone())
    }

    /// Replaces the whole record: missing fields become null.
    fn replace_deployment(&mut self, id: &str, body: &[u8]) -> Answer {
        let given = object(body)?;
        let mut fields = Map::new();
        for (name, kind, is_valid) in [
            (
                "inference_url",
                "string",
                Value::is_string as fn(&Value) -> bool,
            ),
            ("schemas", "dict", Value::is_object),
            ("error_message", "dict", Value::is_object),
            ("tags", "list", Value::is_array),
        ] {
            fields.insert(name.into(), optional(&given, name, kind, is_valid)?);
        }
        let status = given.get("status").filter(|status| !status.is_null());
        if let Some(status) = status {
            one_of(status, DEPLOYMENT_STATUSES, json!(["body", "status"]))?;
        }
        self.deployment(id).ok_or_else(|| no_deployment(id))?;
        let url = &fields["inference_url"];
        let is_taken = !url.is_null()
            && self
                .deployments
                .iter()
                .any(|other| other["id"] != id && other["inference_url"] == *url);
        let Some(status) = status.filter(|_| !is_taken) else {
            return Err(internal());
        };
        fields.insert("status".into(), status.clone());
        self.change_deployment(id, fields)
    }

    fn set_deployment_status(&mut self, id: &str, body: &[u8]) -> Answer {
        let fields = object(body)?;
        let status = required(&fields, "status")?;
        let status = one_of(status, DEPLOYMENT_STATUSES, json!(["body", "status"]))?;
        self.change_deployment(id, Map::from_iter([("status".into(), json!(status))]))
    }

    fn change_deployment(&mut self, id: &str, mut fields: Map<String, Value>) -> Answer {
        fields.insert("updated_at".into(), json!(self.now()));
        let deployment = self.deployment_mut(id).ok_or_else(|| no_deployment(id))?;
        replace(deployment, fields);
        Ok(deployment.clone())
    }

    fn delete_deployment(&mut self, id: &str) -> Answer {
        let deployment = self.deployment(id).ok_or_else(|| no_deployment(id))?;
        if deployment["status"] != "deletion_pending" {
            return Err(detail(409, "Deployment is not pending deletion"));
        }
        self.deployments.retain(|deployment| deployment["id"] != id);
        Ok(Value::Null)
    }

    fn check_inference_access(&self, body: &[u8]) -> Answer {
        let fields = object(body)?;
        let key = required(&fields, "api_key")?;
        let place = json!(["body", "api_key"]);
        match key.as_str() {
            None => Err(invalid(
                "string_type",
                place,
                "Input should be a valid string",
                key,
            )),
            Some(text) if text.chars().count() > 255 => {
                let message = "String should have at most 255 characters";
                Err(invalid("string_too_long", place, message, key))
            }
            Some(text) => Ok(json!({ "authorized": self.inference_keys.contains(text) })),
        }
    }

    fn artifact(&self, id: &str) -> Result<&(Value, String), Response> {
        self.artifacts
            .get(id)
            .ok_or_else(|| unknown(id, "artifact_id", "Artifact"))
    }
}

fn no_deployment(id: &str) -> Response {
    unknown(id, "deployment_id", "Deployment")
}
