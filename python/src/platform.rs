//! The client of the LUML platform.

use std::sync::Arc;
use std::time::Duration;

use satellite_sdk::compute::Cancel;
use satellite_sdk::{
    DeploymentUpdate, Error, OrbitSecret, PlatformClient, Registration, Response, Result,
    TaskStatus,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::client::{Answer, Client, arguments, unknown};

pub struct Platform(pub PlatformClient);

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct Report {
    id: String,
    status: String,
    #[serde(default)]
    message: String,
    result: Option<Value>,
}

#[derive(Deserialize)]
struct Http {
    method: String,
    path: String,
    body: Option<Value>,
    timeout: Option<f64>,
}

#[derive(Deserialize)]
struct Register {
    base_url: String,
    capabilities: Map<String, Value>,
    slug: Option<String>,
}

impl Client for Platform {
    fn cancelled_by(&self, cancel: &Cancel) -> Result<Arc<dyn Client>> {
        Ok(Arc::new(Platform(self.0.cancelled_by(cancel)?)))
    }

    fn perform(&self, operation: &str, given: Value) -> Result<Answer> {
        let client = &self.0;
        let id = |given| arguments::<Id>(given).map(|given| given.id);
        let value = match operation {
            "http" => return self.http(arguments(given)?),
            "list_tasks" => {
                let status = given["status"].as_str().map(TaskStatus::from);
                json!(client.list_tasks(status.as_ref())?)
            }
            "claim_task" => json!(client.claim_task(&id(given)?)?),
            "update_task_status" => {
                let report: Report = arguments(given)?;
                match report.result {
                    Some(result) => client.finish_task(&report.id, report.status, result)?,
                    None => {
                        client.update_task_status(&report.id, report.status, &report.message)?
                    }
                }
                Value::Null
            }
            "list_deployments" => json!(client.list_deployments()?),
            "get_deployment" => json!(client.get_deployment(&id(given)?)?),
            "update_deployment" => self.update_deployment(given)?,
            "update_deployment_status" => {
                let report: Report = arguments(given)?;
                json!(client.update_deployment_status(&report.id, report.status)?)
            }
            "delete_deployment" => json!(client.delete_deployment(&id(given)?)?),
            "fetch_secrets" => {
                let secrets = client.fetch_secrets(&id(given)?)?.into_iter();
                let plain = secrets.map(|(name, value)| (name, json!(value.expose())));
                Value::Object(plain.collect())
            }
            "get_secret" => secret(client.get_secret(&id(given)?)?),
            "get_secrets" => client.get_secrets()?.into_iter().map(secret).collect(),
            "get_artifact" => {
                let artifact = client.get_artifact(&id(given)?)?;
                json!({ "artifact": artifact.artifact, "url": artifact.url })
            }
            "artifact_download_url" => json!(client.artifact_download_url(&id(given)?)?),
            "authorize_inference" => json!(client.authorize_inference(&id(given)?)?),
            "pair" => json!(client.pair(&id(given)?)?.expose()),
            "register" => self.register(arguments(given)?)?,
            _ => return Err(unknown(operation)),
        };
        Ok(Answer::Json(value))
    }

    fn url(&self) -> String {
        self.0.url().to_owned()
    }
}

impl Platform {
    fn http(&self, request: Http) -> Result<Answer> {
        let client = match request.timeout {
            Some(seconds) => self.0.within(seconds_of("timeout", seconds)?),
            None => self.0.clone(),
        };
        let (path, body) = (request.path.as_str(), &request.body);
        let response = match request.method.as_str() {
            "GET" => client.get(path),
            "POST" => client.post(path, body),
            "PUT" => client.put(path, body),
            "PATCH" => client.patch(path, body),
            "DELETE" => client.delete(path),
            method => Err(Error::new(format_args!("unknown method {method:?}"))),
        }?;
        Ok(http_answer(&response))
    }

    fn update_deployment(&self, given: Value) -> Result<Value> {
        let id = arguments::<Id>(given.clone())?.id;
        let changes: Map<String, Value> = arguments(given["changes"].clone())?;
        let changes: Vec<Change> = changes.into_iter().map(change).collect::<Result<_>>()?;
        let deployment = self.0.update_deployment(&id, |update| {
            changes.into_iter().for_each(|change| change(update));
        })?;
        Ok(json!(deployment))
    }

    fn register(&self, given: Register) -> Result<Value> {
        let mut registration = Registration::new(given.base_url);
        for (name, details) in given.capabilities {
            registration = registration.capability(name, details);
        }
        if let Some(slug) = given.slug {
            registration = registration.slug(slug);
        }
        let info = self.0.register(&registration)?;
        let mut value = Value::Object(info.extra);
        value["id"] = json!(info.id);
        value["orbit_id"] = json!(info.orbit_id);
        value["name"] = json!(info.name);
        value["paired"] = json!(info.paired);
        value["status"] = json!(info.status);
        Ok(value)
    }
}

type Change = Box<dyn FnOnce(&mut DeploymentUpdate)>;

fn change((name, value): (String, Value)) -> Result<Change> {
    macro_rules! set {
        ($field:ident) => {{
            let value = arguments(value)?;
            Box::new(move |update: &mut DeploymentUpdate| update.$field = value)
        }};
    }
    Ok(match name.as_str() {
        "status" => set!(status),
        "inference_url" => set!(inference_url),
        "schemas" => set!(schemas),
        "error_message" => set!(error_message),
        "tags" => set!(tags),
        _ => return Err(Error::settings(vec![format!("{name}: is not a field")])),
    })
}

/// Seconds of the Python side.
pub fn seconds_of(name: &str, seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| Error::settings(vec![format!("{name}: expected seconds, found {seconds}")]))
}

fn secret(secret: OrbitSecret) -> Value {
    json!({
        "id": secret.id,
        "name": secret.name,
        "value": secret.value.expose(),
        "tags": secret.tags,
    })
}

fn http_answer(response: &Response) -> Answer {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Answer::Http {
        status: response.status(),
        headers: response.headers().map(owned).collect(),
        body: response.body().to_vec(),
    }
}
