//! What the service speaks of. Fields that this version does not know are kept
//! in `extra`.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::resources::{PortMapping, ResourceRequirements};
use super::ssh::SshAccess;
use satellite_core::http::Secret;
use satellite_core::lenient::or_default;

/// A container that was deployed: what the service tells in several places, put
/// together.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Deployment {
    /// The service's name for it, which all other calls want: not always the one
    /// that was asked for.
    pub id: String,
    /// Where it stands.
    pub status: DeploymentStatus,
    /// How to enter it, where that was asked for and is told.
    pub ssh_access: Option<SshAccess>,
    /// What `ssh_access` was read from.
    pub ssh_credentials: Option<Secret>,
    /// When it was made (RFC 3339); `deploy` itself is not always told.
    pub created_at: Option<String>,
    /// On which machine. `deploy` looks up the one that was chosen by its GPUs;
    /// where that fails it is `None`.
    pub executor_id: Option<String>,
    /// The container image. The newer service does not tell it again.
    pub image: Option<String>,
    /// What the container was asked to have. Only `deploy` knows: the service does
    /// not tell it again.
    pub resources: Option<ResourceRequirements>,
    /// What the whole machine has, as `get` and `list` of the rentals API tell it;
    /// 0 for what they leave out.
    pub machine_resources: Option<ResourceRequirements>,
    /// The ports as they were mapped.
    pub ports: Vec<PortMapping>,
    /// Where the newer service answers for it.
    pub url: Option<String>,
    /// The rest of what the service says of it.
    pub extra: Map<String, Value>,
}

/// Where a deployment stands.
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
    /// It is being made.
    Pending,
    /// It runs.
    Running,
    /// It was stopped. Rentals are forgotten then: `is_not_found()`.
    Stopped,
    /// It failed, for this reason, where one is told.
    Failed(String),
    /// A word that this version does not know.
    Other(String),
}

impl DeploymentStatus {
    /// Nothing more will come of it.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Stopped | Self::Failed(_))
    }

    /// Failed, for this reason.
    pub(super) fn because(self, reason: Option<String>) -> Self {
        match (self, reason) {
            (Self::Failed(_), Some(reason)) => Self::Failed(reason),
            (status, _) => status,
        }
    }

    /// As `other`, whatever the reasons.
    pub(super) fn is_like(&self, other: &Self) -> bool {
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

/// Which deployments to list; all, where nothing is set.
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
    /// Those that stand there.
    pub fn status(mut self, status: DeploymentStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// Those with a GPU of this type.
    pub fn gpu_type(mut self, name: impl Into<String>) -> Self {
        self.gpu_type = Some(name.into());
        self
    }

    /// Those with so many GPUs or more.
    pub fn min_gpu_count(mut self, count: u32) -> Self {
        self.min_gpu_count = Some(count);
        self
    }

    pub(super) fn is_met_by(&self, deployment: &Deployment) -> bool {
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
            .is_none_or(|status| deployment.status.is_like(status))
            && self.gpu_type.as_ref().is_none_or(is_type)
            && self
                .min_gpu_count
                .is_none_or(|least| resources.is_some_and(|r| r.gpu_count >= least))
    }
}

/// A machine to be had; the newer service calls it a node.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Executor {
    /// Its identity.
    pub id: String,
    /// Its GPUs, one by one.
    pub gpu_specs: Vec<GpuSpec>,
    /// Its CPU and memory.
    pub cpu_specs: CpuSpec,
    /// Where it stands.
    pub location: Option<String>,
    /// What it costs for an hour, in US cents, where that is told.
    pub hourly_rate_cents: Option<f64>,
    /// Until when it is to be had (RFC 3339).
    pub available_until: Option<String>,
    /// How well it was verified, from 0 to 1.
    pub verification_score: f64,
    /// For how much of the time it was up, in percent.
    pub uptime_percentage: f64,
    /// The rest of what the service says of the machine.
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
    /// What CUDA calls its generation: `9.0`.
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

/// How the service is.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct HealthStatus {
    /// `healthy`, or what is amiss.
    pub status: String,
    /// The service's version.
    #[serde(default, deserialize_with = "or_default")]
    pub version: String,
    /// The service's time (RFC 3339).
    #[serde(default, deserialize_with = "or_default")]
    pub timestamp: String,
    /// How many validators are well.
    #[serde(default, deserialize_with = "or_default")]
    pub healthy_validators: u32,
    /// How many there are.
    #[serde(default, deserialize_with = "or_default")]
    pub total_validators: u32,
    /// The rest of what the service says of itself.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A machine without GPUs that the newer service offers.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct CpuOffering {
    /// Its identity.
    pub id: String,
    /// Whose it is.
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
    /// Where it stands.
    #[serde(default, deserialize_with = "or_default")]
    pub region: String,
    /// US dollars for an hour, with the service's own digits.
    #[serde(default, deserialize_with = "or_default")]
    pub hourly_rate: String,
    /// Whether it is to be had.
    #[serde(default, deserialize_with = "or_default")]
    pub availability: bool,
    /// The rest of what the service says of it.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Something that happened to a deployment of the newer service, as Kubernetes
/// records it.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct DeploymentEvent {
    /// `Normal` or `Warning`.
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    pub kind: String,
    /// In one word: `Pulled`, `BackOff`.
    #[serde(default, deserialize_with = "or_default")]
    pub reason: String,
    /// In words for people.
    #[serde(default, deserialize_with = "or_default")]
    pub message: String,
    /// How often.
    #[serde(default)]
    pub count: Option<u32>,
    /// When it last happened (RFC 3339).
    #[serde(default)]
    pub last_timestamp: Option<String>,
}
