//! Conversions between the wire formats of both APIs and [`Deployment`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::config::{DeploymentConfig, Placement, random_public_key};
use super::models::{
    CpuOffering, CpuSpec, Deployment, DeploymentEvent, DeploymentStatus, Executor, GpuSpec,
};
use super::resources::{PortMapping, ResourceRequirements};
use super::ssh::SshAccess;
use satellite_core::http::Secret;
use satellite_core::lenient::or_default;

/// `POST /rentals`.
pub(super) fn rental_request(config: &DeploymentConfig) -> Value {
    let selection = match &config.placement {
        Some(Placement::Gpu(gpu)) => json!({ "type": "gpu_requirements", "gpu_requirements": gpu }),
        Some(Placement::Executor(id)) => json!({ "type": "executor_id", "executor_id": id }),
        None => Value::Null,
    };
    let ssh_key = match config.ssh_key.trim() {
        "" => random_public_key(),
        key => key.to_owned(),
    };
    json!({
        "executor_selection": selection,
        "container_image": config.image,
        "ssh_public_key": ssh_key,
        "environment": variables(config),
        "ports": config.ports,
        "resources": config.resources,
        "command": config.command,
        "volumes": config.volumes,
        "no_ssh": config.no_ssh,
    })
}

/// `POST /deployments`.
pub(super) fn deployment_request(config: &DeploymentConfig) -> Value {
    let resources = &config.resources;
    let mut requested = json!({
        "cpu": resources.cpu_cores.to_string(),
        "memory": format!("{}Mi", resources.memory_mb),
    });
    if resources.gpu_count > 0 {
        requested["gpus"] = json!({ "count": resources.gpu_count, "model": resources.gpu_types });
    }
    let mut body = json!({
        "instanceName": config.name,
        "image": config.image,
        "replicas": config.replicas,
        "port": config.ports.first().map(|port| port.container_port),
        "env": variables(config),
        "resources": requested,
        "public": config.public,
    });
    if !config.command.is_empty() {
        body["command"] = json!(config.command);
    }
    if let Some(ttl) = config.ttl {
        body["ttlSeconds"] = ttl.as_secs().into();
    }
    body
}

fn variables(config: &DeploymentConfig) -> BTreeMap<&str, &str> {
    let pairs = config.environment.iter();
    pairs
        .map(|(name, value)| (name.as_str(), value.expose()))
        .collect()
}

/// The response to `POST /rentals`.
#[derive(Deserialize)]
pub(super) struct CreatedRental {
    rental_id: String,
    #[serde(default)]
    ssh_credentials: Option<Secret>,
    #[serde(default, deserialize_with = "or_default")]
    container_info: ContainerInfo,
}

#[derive(Deserialize, Default)]
struct ContainerInfo {
    #[serde(default, deserialize_with = "or_default")]
    mapped_ports: Vec<PortMapping>,
    #[serde(default, deserialize_with = "or_default")]
    status: String,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl CreatedRental {
    /// Adds the fields that only the request contains.
    pub(super) fn joined(self, config: &DeploymentConfig) -> Deployment {
        let executor_id = match &config.placement {
            Some(Placement::Executor(id)) => Some(id.clone()),
            _ => None,
        };
        let status = match self.container_info.status.as_str() {
            "" => DeploymentStatus::Pending,
            status => status.into(),
        };
        Deployment {
            status,
            executor_id,
            image: Some(config.image.clone()),
            resources: Some(config.resources.clone()),
            ports: self.container_info.mapped_ports,
            extra: self.container_info.extra,
            ..empty_deployment(self.rental_id)
        }
        .with_ssh(self.ssh_credentials)
    }
}

/// `GET /rentals/{id}`.
#[derive(Deserialize)]
pub(super) struct Rental {
    pub(super) rental_id: String,
    pub(super) status: DeploymentStatus,
    #[serde(default, deserialize_with = "or_default")]
    executor: Machine,
    #[serde(default)]
    ssh_credentials: Option<Secret>,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Rental {
    /// The machine, if the response contains it.
    pub(super) fn executor_id(self) -> Option<String> {
        Some(self.executor.id).filter(|id| !id.is_empty())
    }

    /// Adds the image, which only the list contains.
    pub(super) fn joined(self, listed: Option<ListedRental>) -> Deployment {
        let resources = match &listed {
            Some(listed) if !listed.gpu_specs.is_empty() => {
                resources(&listed.gpu_specs, &self.executor.cpu_specs)
            }
            _ => resources(&self.executor.gpu_specs, &self.executor.cpu_specs),
        };
        Deployment {
            status: self.status,
            created_at: self.created_at,
            executor_id: Some(self.executor.id).filter(|id| !id.is_empty()),
            image: listed.and_then(|listed| listed.container_image),
            machine_resources: Some(resources),
            extra: self.extra,
            ..empty_deployment(self.rental_id)
        }
        .with_ssh(self.ssh_credentials)
    }
}

/// `GET /rentals`.
#[derive(Deserialize)]
pub(super) struct Rentals {
    pub(super) rentals: Vec<ListedRental>,
}

#[derive(Deserialize)]
pub(super) struct ListedRental {
    pub(super) rental_id: String,
    state: DeploymentStatus,
    #[serde(default)]
    executor_id: Option<String>,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    container_image: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    gpu_specs: Vec<GpuSpec>,
    #[serde(default, deserialize_with = "or_default")]
    cpu_specs: CpuSpec,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl From<ListedRental> for Deployment {
    fn from(listed: ListedRental) -> Self {
        Deployment {
            status: listed.state,
            created_at: listed.created_at,
            executor_id: listed.executor_id,
            image: listed.container_image,
            machine_resources: Some(resources(&listed.gpu_specs, &listed.cpu_specs)),
            extra: listed.extra,
            ..empty_deployment(listed.rental_id)
        }
    }
}

/// A deployment of the newer service, as all of its routes return it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Service {
    pub(super) instance_name: String,
    #[serde(default, deserialize_with = "or_default")]
    state: String,
    #[serde(default)]
    phase: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Service {
    pub(super) fn status(&self) -> DeploymentStatus {
        let status = match self.state.as_str() {
            "" => self.phase.as_deref().unwrap_or("pending"),
            state => state,
        };
        DeploymentStatus::from(status).with_reason(self.message.clone())
    }

    /// Adds the fields that only the request contains.
    pub(super) fn joined(self, config: &DeploymentConfig) -> Deployment {
        Deployment {
            image: Some(config.image.clone()),
            resources: Some(config.resources.clone()),
            ..self.into()
        }
    }
}

impl From<Service> for Deployment {
    fn from(service: Service) -> Self {
        Deployment {
            status: service.status(),
            created_at: service.created_at,
            url: service.url.filter(|url| !url.is_empty()),
            extra: service.extra,
            ..empty_deployment(service.instance_name)
        }
    }
}

/// `GET /deployments`.
#[derive(Deserialize)]
pub(super) struct Services {
    pub(super) deployments: Vec<Service>,
}

/// `GET /deployments/{name}/events`.
#[derive(Deserialize)]
pub(super) struct Events {
    pub(super) events: Vec<DeploymentEvent>,
}

/// `GET /v2/secure-cloud/cpu-prices`.
#[derive(Deserialize)]
pub(super) struct CpuOfferings {
    pub(super) nodes: Vec<CpuOffering>,
}

/// `GET /executors` and `GET /nodes`.
#[derive(Deserialize)]
pub(super) struct Available {
    #[serde(alias = "available_nodes")]
    pub(super) available_executors: Vec<AvailableMachine>,
}

#[derive(Deserialize)]
pub(super) struct AvailableMachine {
    #[serde(alias = "node")]
    executor: Machine,
    #[serde(default, deserialize_with = "or_default")]
    availability: Availability,
}

#[derive(Deserialize, Default)]
struct Machine {
    #[serde(default, deserialize_with = "or_default")]
    id: String,
    #[serde(default, deserialize_with = "or_default")]
    gpu_specs: Vec<GpuSpec>,
    #[serde(default, deserialize_with = "or_default")]
    cpu_specs: CpuSpec,
    #[serde(default)]
    location: Option<String>,
    #[serde(default)]
    hourly_rate_cents: Option<f64>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Deserialize, Default)]
struct Availability {
    #[serde(default)]
    available_until: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    verification_score: f64,
    #[serde(default, deserialize_with = "or_default")]
    uptime_percentage: f64,
}

impl From<AvailableMachine> for Executor {
    fn from(available: AvailableMachine) -> Self {
        let (machine, availability) = (available.executor, available.availability);
        Executor {
            id: machine.id,
            gpu_specs: machine.gpu_specs,
            cpu_specs: machine.cpu_specs,
            location: machine.location,
            hourly_rate_cents: machine.hourly_rate_cents,
            available_until: availability.available_until,
            verification_score: availability.verification_score,
            uptime_percentage: availability.uptime_percentage,
            extra: machine.extra,
        }
    }
}

impl Deployment {
    fn with_ssh(mut self, credentials: Option<Secret>) -> Self {
        self.ssh_access = credentials.as_ref().and_then(SshAccess::parse);
        self.ssh_credentials = credentials;
        self
    }
}

fn empty_deployment(id: String) -> Deployment {
    Deployment {
        id,
        status: DeploymentStatus::Pending,
        ssh_access: None,
        ssh_credentials: None,
        created_at: None,
        executor_id: None,
        image: None,
        resources: None,
        machine_resources: None,
        ports: Vec::new(),
        url: None,
        extra: Map::new(),
    }
}

/// The resources of a machine, as far as the response contains them.
fn resources(gpus: &[GpuSpec], cpu: &CpuSpec) -> ResourceRequirements {
    let mut gpu_types: Vec<_> = gpus.iter().map(|gpu| gpu.name.clone()).collect();
    gpu_types.dedup();
    ResourceRequirements {
        cpu_cores: cpu.cores.into(),
        memory_mb: u64::from(cpu.memory_gb) * 1024,
        storage_mb: 0,
        gpu_count: gpus.len() as u32,
        gpu_types,
    }
}
