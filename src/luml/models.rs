//! The data models of the platform. Fields that this version does not know are kept
//! in `extra`; an optional field that is missing is not an error.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fields::Fields;
use super::status::{DeploymentStatus, SatelliteStatus, TaskStatus};
use satellite_core::http::Secret;
use satellite_core::lenient::or_default;

/// A task that the platform assigns to a satellite.
///
/// `P` is the type of the payload for the handler: any `Deserialize` type, or
/// [`Value`] for the raw JSON.
///
/// ```
/// use satellite_sdk::Task;
///
/// let task: Task = serde_json::from_str(
///     r#"{"id": "t-1", "type": "deploy", "payload": {"deployment_id": "d-1"}}"#,
/// )?;
/// assert_eq!(task.payload["deployment_id"], "d-1");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Task<P = Value> {
    /// Its id.
    pub id: String,
    /// Its type, an open set; `type` in the JSON.
    #[serde(rename = "type")]
    pub task_type: String,
    /// The parameters of the task.
    pub payload: P,
    /// Its status.
    pub status: TaskStatus,
    /// When the platform created it (RFC 3339): tasks run in this order.
    pub created_at: String,
    /// Other fields from the platform.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl<'de, P: DeserializeOwned> Deserialize<'de> for Task<P> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(from)?;
        Ok(Task {
            id: fields.required("id")?,
            task_type: fields.required("type")?,
            payload: fields.required("payload")?,
            status: fields
                .optional::<Option<_>, _>("status")?
                .unwrap_or(TaskStatus::Pending),
            created_at: fields.optional("created_at")?,
            extra: fields.rest(),
        })
    }
}

impl Task {
    pub(crate) fn with_payload<P>(self, payload: P) -> Task<P> {
        Task {
            id: self.id,
            task_type: self.task_type,
            payload,
            status: self.status,
            created_at: self.created_at,
            extra: self.extra,
        }
    }

    /// The order in which tasks run: by creation time, then by id (uuid v7).
    /// `scheduled_at` is the same for all tasks.
    pub(crate) fn order(&self, other: &Self) -> std::cmp::Ordering {
        let key = |task: &Self| (task.created_at.clone(), task.id.clone());
        key(self).cmp(&key(other))
    }
}

/// The platform's record of a model to be served.
///
/// ```
/// use satellite_sdk::{Deployment, DeploymentStatus};
///
/// let deployment: Deployment =
///     serde_json::from_str(r#"{"id": "d-1", "name": "iris", "status": "pending"}"#)?;
/// assert_eq!(deployment.status, DeploymentStatus::Pending);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Deployment {
    /// Its id, a uuid.
    pub id: String,
    /// Its display name.
    pub name: String,
    /// Its status.
    pub status: DeploymentStatus,
    /// The artifact to serve.
    pub artifact_id: String,
    /// The artifact's name.
    pub artifact_name: String,
    /// The URL for predictions.
    pub inference_url: Option<String>,
    /// Settings for the satellite: booleans, numbers, text.
    pub satellite_parameters: Map<String, Value>,
    /// Attribute of a request → id of the secret with its value.
    pub dynamic_attributes_secrets: BTreeMap<String, String>,
    /// Environment variable → id of the secret with its value.
    pub env_variables_secrets: BTreeMap<String, String>,
    /// Environment variable → value.
    pub env_variables: BTreeMap<String, String>,
    /// The OpenAPI document and manifest of its model.
    pub schemas: Option<Value>,
    /// Why it failed, as `{reason, error}`.
    pub error_message: Option<Value>,
    /// Tags set by the user.
    pub tags: Option<Vec<String>>,
    /// Other fields from the platform.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Deployment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(from)?;
        Ok(Deployment {
            id: fields.required("id")?,
            name: fields.optional("name")?,
            status: fields.required("status")?,
            artifact_id: fields.optional("artifact_id")?,
            artifact_name: fields.optional("artifact_name")?,
            inference_url: fields.optional("inference_url")?,
            satellite_parameters: fields.optional("satellite_parameters")?,
            dynamic_attributes_secrets: fields.optional("dynamic_attributes_secrets")?,
            env_variables_secrets: fields.optional("env_variables_secrets")?,
            env_variables: fields.optional("env_variables")?,
            schemas: fields.optional("schemas")?,
            error_message: fields.optional("error_message")?,
            tags: fields.optional("tags")?,
            extra: fields.rest(),
        })
    }
}

/// The part of a deployment that a satellite may change. The platform replaces all
/// fields at once, so unchanged fields are sent too.
///
/// See [`PlatformClient::update_deployment`](super::PlatformClient::update_deployment).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DeploymentUpdate {
    /// Its status.
    pub status: DeploymentStatus,
    /// The URL for predictions.
    pub inference_url: Option<String>,
    /// The OpenAPI document and manifest of its model.
    pub schemas: Option<Value>,
    /// Why it failed, as `{reason, error}`.
    pub error_message: Option<Value>,
    /// Tags set by the user.
    pub tags: Option<Vec<String>>,
}

impl From<Deployment> for DeploymentUpdate {
    fn from(deployment: Deployment) -> Self {
        DeploymentUpdate {
            status: deployment.status,
            inference_url: deployment.inference_url,
            schemas: deployment.schemas,
            error_message: deployment.error_message,
            tags: deployment.tags,
        }
    }
}

/// A secret of the orbit, with its value in plain text.
///
/// ```
/// let secret: satellite_sdk::OrbitSecret =
///     serde_json::from_str(r#"{"id": "s-1", "name": "key", "value": "v"}"#)?;
/// assert_eq!(secret.value.expose(), "v");
/// assert!(!format!("{secret:?}").contains("\"v\""));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct OrbitSecret {
    /// Its id, a uuid: secrets are requested by id, not by name.
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// The secret value.
    pub value: Secret,
    /// Tags set by the user.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}

/// A model's artifact and the URL of its file.
///
/// ```
/// let artifact: satellite_sdk::Artifact =
///     serde_json::from_str(r#"{"artifact": {"name": "iris"}, "url": "https://files/iris"}"#)?;
/// assert_eq!(artifact.artifact["name"], "iris");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Artifact {
    /// The artifact's record.
    pub artifact: Map<String, Value>,
    /// A presigned URL, valid for about 12 hours. Treat it as a secret.
    pub url: String,
}

/// The platform's record of this satellite.
///
/// ```
/// let info: satellite_sdk::SatelliteInfo =
///     serde_json::from_str(r#"{"id": "s", "orbit_id": "o", "paired": true, "status": "active"}"#)?;
/// assert!(info.paired);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SatelliteInfo {
    /// Its id.
    pub id: String,
    /// The orbit that it belongs to.
    pub orbit_id: String,
    /// Its display name.
    pub name: Option<String>,
    /// Whether it is registered.
    pub paired: bool,
    /// Its status on the platform.
    pub status: SatelliteStatus,
    /// Other fields from the platform.
    pub extra: Map<String, Value>,
}

impl<'de> Deserialize<'de> for SatelliteInfo {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(from)?;
        Ok(SatelliteInfo {
            id: fields.required("id")?,
            orbit_id: fields.optional("orbit_id")?,
            name: fields.optional("name")?,
            paired: fields.optional("paired")?,
            status: fields.required("status")?,
            extra: fields.rest(),
        })
    }
}
