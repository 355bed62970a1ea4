//! The service's data types. Fields that this version does not know are kept in
//! `extra`.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::resources::{PortMapping, ResourceRequirements};
use super::ssh::SshAccess;
use satellite_core::http::Secret;
use satellite_core::lenient::or_default;

/// A deployed container, with data merged from several responses of the service.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Deployment {
    /// The id that the service assigned, which all other calls take. It may differ
    /// from the requested name.
    pub id: String,
    /// Its status.
    pub status: DeploymentStatus,
    /// SSH access, if it was requested and the response contains it.
    pub ssh_access: Option<SshAccess>,
    /// The raw text that `ssh_access` was parsed from.
    pub ssh_credentials: Option<Secret>,
    /// When it was created (RFC 3339); the response to `deploy` may lack it.
    pub created_at: Option<String>,
    /// Its machine. If the service chose it by GPU requirements, `deploy` looks it up;
    /// `None` if that fails.
    pub executor_id: Option<String>,
    /// The container image. Only the newer service's response to `deploy` contains it.
    pub image: Option<String>,
    /// The requested resources. Only `deploy` sets them: the service does not return
    /// them later.
    pub resources: Option<ResourceRequirements>,
    /// The resources of the whole machine, from `get` and `list` of the rentals API;
    /// 0 for values that the response lacks.
    pub machine_resources: Option<ResourceRequirements>,
    /// The actual port mappings.
    pub ports: Vec<PortMapping>,
    /// The URL at which the newer service exposes it.
    pub url: Option<String>,
    /// All other fields of the response.
    pub extra: Map<String, Value>,
}

/// The status of a deployment.
///
/// ```
/// use satellite_basilica::DeploymentStatus;
///
/// assert_eq!(DeploymentStatus::from("active"), DeploymentStatus::Running);
/// assert!(DeploymentStatus::from("Terminated").is_over());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeploymentStatus {
    /// It is being created.
    Pending,
    /// It is running.
    Running,
    /// It was stopped. The service deletes stopped rentals: `is_not_found()`.
    Stopped,
    /// It failed, with the reason, or an empty string if unknown.
    Failed(String),
    /// A status that this version does not know.
    Other(String),
}

impl DeploymentStatus {
    /// Whether the status is final.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Stopped | Self::Failed(_))
    }

    /// Adds the reason if the status is `Failed`.
    pub(super) fn with_reason(self, reason: Option<String>) -> Self {
        match (self, reason) {
            (Self::Failed(_), Some(reason)) => Self::Failed(reason),
            (status, _) => status,
        }
    }

    /// Equality that ignores the reasons.
    pub(super) fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Failed(_), Self::Failed(_)) => true,
            _ => self == other,
        }
    }
}

impl From<&str> for DeploymentStatus {
    fn from(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "pending" | "provisioning" | "creating" | "starting" => Self::Pending,
            "active" | "running" | "ready" => Self::Running,
            "terminated" | "stopping" | "stopped" | "deleted" => Self::Stopped,
            "failed" | "error" => Self::Failed(String::new()),
            _ => Self::Other(word.to_owned()),
        }
    }
}

impl fmt::Display for DeploymentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.pad("pending"),
            Self::Running => f.pad("running"),
            Self::Stopped => f.pad("stopped"),
            Self::Failed(reason) if reason.is_empty() => f.pad("failed"),
            Self::Failed(reason) => write!(f, "failed: {reason}"),
            Self::Other(word) => f.pad(word),
        }
    }
}

impl<'de> Deserialize<'de> for DeploymentStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|word| Self::from(word.as_str()))
    }
}

/// Filters for deployments. Without any, all deployments match.
///
/// ```
/// use satellite_basilica::{DeploymentStatus, ListFilters};
///
/// let running = ListFilters::default().status(DeploymentStatus::Running).min_gpu_count(1);
/// # let _ = running;
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ListFilters {
    pub(super) status: Option<DeploymentStatus>,
    pub(super) gpu_type: Option<String>,
    pub(super) min_gpu_count: Option<u32>,
}

impl ListFilters {
    /// Those with this status.
    pub fn status(mut self, status: DeploymentStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// Those with a GPU of this type.
    pub fn gpu_type(mut self, name: impl Into<String>) -> Self {
        self.gpu_type = Some(name.into());
        self
    }

    /// Those with at least this many GPUs.
    pub fn min_gpu_count(mut self, count: u32) -> Self {
        self.min_gpu_count = Some(count);
        self
    }

    pub(super) fn matches(&self, deployment: &Deployment) -> bool {
        let machine = deployment.machine_resources.as_ref();
        let resources = machine.or(deployment.resources.as_ref());
        let is_type = |wanted: &String| {
            let types = resources.iter().flat_map(|resources| &resources.gpu_types);
            let wanted = wanted.to_ascii_lowercase();
            types
                .map(|name| name.to_ascii_lowercase())
                .any(|name| name.contains(&wanted))
        };
        self.status
            .as_ref()
            .is_none_or(|status| deployment.status.matches(status))
            && self.gpu_type.as_ref().is_none_or(is_type)
            && self
                .min_gpu_count
                .is_none_or(|least| resources.is_some_and(|r| r.gpu_count >= least))
    }
}

/// An available machine; the newer service calls it a node.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Executor {
    /// Its id.
    pub id: String,
    /// Its GPUs, one entry each.
    pub gpu_specs: Vec<GpuSpec>,
    /// Its CPU and memory.
    pub cpu_specs: CpuSpec,
    /// Its location.
    pub location: Option<String>,
    /// Its price per hour in US cents, if known.
    pub hourly_rate_cents: Option<f64>,
    /// Until when it is available (RFC 3339).
    pub available_until: Option<String>,
    /// Its verification score, from 0 to 1.
    pub verification_score: f64,
    /// Its uptime in percent.
    pub uptime_percentage: f64,
    /// All other fields of the machine.
    pub extra: Map<String, Value>,
}

/// A GPU.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct GpuSpec {
    /// Its type: `NVIDIA H100`.
    pub name: String,
    /// Its memory, in GB.
    #[serde(default, deserialize_with = "or_default")]
    pub memory_gb: u32,
    /// Its CUDA compute capability: `9.0`.
    #[serde(default, deserialize_with = "or_default")]
    pub compute_capability: String,
}

/// CPU and memory.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct CpuSpec {
    /// Cores.
    #[serde(default, deserialize_with = "or_default")]
    pub cores: u32,
    /// The CPU's name.
    #[serde(default, deserialize_with = "or_default")]
    pub model: String,
    /// Memory, in GB.
    #[serde(default, deserialize_with = "or_default")]
    pub memory_gb: u32,
}

/// The health of the service.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct HealthStatus {
    /// `healthy`, or a description of the problem.
    pub status: String,
    /// The service's version.
    #[serde(default, deserialize_with = "or_default")]
    pub version: String,
    /// The service's time (RFC 3339).
    #[serde(default, deserialize_with = "or_default")]
    pub timestamp: String,
    /// How many validators are healthy.
    #[serde(default, deserialize_with = "or_default")]
    pub healthy_validators: u32,
    /// How many validators exist.
    #[serde(default, deserialize_with = "or_default")]
    pub total_validators: u32,
    /// All other fields of the response.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A machine without GPUs that the newer service offers.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct CpuOffering {
    /// Its id.
    pub id: String,
    /// Its provider.
    #[serde(default, deserialize_with = "or_default")]
    pub provider: String,
    /// Virtual CPU cores.
    #[serde(default, deserialize_with = "or_default")]
    pub vcpu_count: u32,
    /// Memory, in GB.
    #[serde(default, deserialize_with = "or_default")]
    pub system_memory_gb: u32,
    /// Disk, in GB.
    #[serde(default, deserialize_with = "or_default")]
    pub storage_gb: u32,
    /// Its region.
    #[serde(default, deserialize_with = "or_default")]
    pub region: String,
    /// US dollars per hour, as the service formats it.
    #[serde(default, deserialize_with = "or_default")]
    pub hourly_rate: String,
    /// Whether it is available.
    #[serde(default, deserialize_with = "or_default")]
    pub availability: bool,
    /// All other fields of the response.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A Kubernetes event of a deployment of the newer service.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct DeploymentEvent {
    /// `Normal` or `Warning`.
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    pub kind: String,
    /// The reason as one word: `Pulled`, `BackOff`.
    #[serde(default, deserialize_with = "or_default")]
    pub reason: String,
    /// The message for people.
    #[serde(default, deserialize_with = "or_default")]
    pub message: String,
    /// How often it happened.
    #[serde(default)]
    pub count: Option<u32>,
    /// When it last happened (RFC 3339).
    #[serde(default)]
    pub last_timestamp: Option<String>,
}
