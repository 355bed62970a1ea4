//! What the platform speaks of. Fields that this version does not know are
//! kept in `extra`; a missing one is no error where the work can do without.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::status::{DeploymentStatus, SatelliteStatus, TaskStatus};
use satellite_core::http::Secret;
use satellite_core::lenient::or_default;

/// A piece of work that the platform hands out.
///
/// `P` is the payload as a handler wants it: any `Deserialize` type, or
/// [`Value`] for all there is.
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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Task<P = Value> {
    /// Its identity.
    pub id: String,
    /// Its type, an open set; the wire calls it `type`.
    #[serde(rename = "type")]
    pub task_type: String,
    /// What to do it with.
    pub payload: P,
    /// Where it stands.
    #[serde(default = "pending")]
    pub status: TaskStatus,
    /// When the platform made it (RFC 3339): tasks run in this order.
    #[serde(default, deserialize_with = "or_default")]
    pub created_at: String,
    /// The rest of what the platform says of it.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
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

    /// `scheduled_at` is the same for all tasks; ids are uuid v7.
    pub(crate) fn order(&self, other: &Self) -> std::cmp::Ordering {
        let key = |task: &Self| (task.created_at.clone(), task.id.clone());
        key(self).cmp(&key(other))
    }
}

/// A model to be served, as the platform has it on record.
///
/// ```
/// use satellite_sdk::{Deployment, DeploymentStatus};
///
/// let deployment: Deployment =
///     serde_json::from_str(r#"{"id": "d-1", "name": "iris", "status": "pending"}"#)?;
/// assert_eq!(deployment.status, DeploymentStatus::Pending);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Deployment {
    /// Its identity, a uuid.
    pub id: String,
    /// Its name, for people.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// Where it stands.
    pub status: DeploymentStatus,
    /// The artifact to serve.
    #[serde(default, deserialize_with = "or_default")]
    pub artifact_id: String,
    /// The artifact's name.
    #[serde(default, deserialize_with = "or_default")]
    pub artifact_name: String,
    /// Where its predictions are asked for.
    #[serde(default)]
    pub inference_url: Option<String>,
    /// Settings for the satellite: booleans, numbers, text.
    #[serde(default, deserialize_with = "or_default")]
    pub satellite_parameters: Map<String, Value>,
    /// Attribute of a request → id of the secret that fills it in.
    #[serde(default, deserialize_with = "or_default")]
    pub dynamic_attributes_secrets: BTreeMap<String, String>,
    /// Environment variable → id of the secret that it holds.
    #[serde(default, deserialize_with = "or_default")]
    pub env_variables_secrets: BTreeMap<String, String>,
    /// Environment variable → value.
    #[serde(default, deserialize_with = "or_default")]
    pub env_variables: BTreeMap<String, String>,
    /// The OpenAPI document and manifest of its model.
    #[serde(default)]
    pub schemas: Option<Value>,
    /// Why it failed, as `{reason, error}`.
    #[serde(default)]
    pub error_message: Option<Value>,
    /// Tags of the user's.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    /// The rest of what the platform says of it.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The part of a deployment that a satellite may change. The platform replaces
/// all of it at once, so all of it is sent, also what stays.
///
/// See [`PlatformClient::update_deployment`](super::PlatformClient::update_deployment).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DeploymentUpdate {
    /// Where it stands.
    pub status: DeploymentStatus,
    /// Where its predictions are asked for.
    pub inference_url: Option<String>,
    /// The OpenAPI document and manifest of its model.
    pub schemas: Option<Value>,
    /// Why it failed, as `{reason, error}`.
    pub error_message: Option<Value>,
    /// Tags of the user's.
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

/// A secret of the orbit, its value in plain text.
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
    /// Its identity, a uuid: secrets are asked for by it, not by name.
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// What it is about.
    pub value: Secret,
    /// Tags of the user's.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}

/// A model's file and where to fetch it.
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
    /// A presigned URL, good for about 12 hours: as good as a secret.
    pub url: String,
}

/// This satellite, as the platform has it on record.
///
/// ```
/// let info: satellite_sdk::SatelliteInfo =
///     serde_json::from_str(r#"{"id": "s", "orbit_id": "o", "paired": true, "status": "active"}"#)?;
/// assert!(info.paired);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct SatelliteInfo {
    /// Its identity.
    pub id: String,
    /// The orbit that it belongs to.
    #[serde(default, deserialize_with = "or_default")]
    pub orbit_id: String,
    /// Its name, for people.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether it has registered.
    #[serde(default)]
    pub paired: bool,
    /// What the platform thinks of it.
    pub status: SatelliteStatus,
    /// The rest of what the platform says of it.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn pending() -> TaskStatus {
    TaskStatus::Pending
}
