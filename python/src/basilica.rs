//! The client for Basilica.

use std::collections::BTreeMap;
use std::sync::Arc;

use satellite_sdk::compute::Cancel;
use satellite_sdk::compute::basilica::{
    ApiVersion, BasilicaClient, Deployment, DeploymentConfig, DeploymentStatus, Executor,
    ExecutorFilters, GpuRequirements, ListFilters, LogLine, PortMapping, ResourceRequirements,
    VolumeMount,
};
use satellite_sdk::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Answer, Client, arguments, unknown};
use crate::configured;
use crate::json::with;
use crate::options::{Options, positive};

struct Basilica(BasilicaClient);

pub fn open(options: Options) -> Result<Arc<dyn Client>> {
    let mut builder = configured!(BasilicaClient::builder(), options);
    builder = match options.api_version.as_deref() {
        None => builder,
        Some("rentals") => builder.api_version(ApiVersion::Rentals),
        Some("deployments") => builder.api_version(ApiVersion::Deployments),
        Some(other) => {
            let text = format!("api_version: expected rentals or deployments, found {other:?}");
            return Err(Error::settings(vec![text]));
        }
    };
    if let Some(token) = &options.refresh_token {
        builder = builder.refresh_token(token);
    }
    if let Some(path) = &options.token_file {
        builder = builder.token_file(path);
    }
    if let Some((domain, client_id)) = &options.auth0 {
        builder = builder.auth0(domain, client_id);
    }
    Ok(Arc::new(Basilica(builder.build()?)))
}

#[derive(Deserialize)]
struct Id {
    id: String,
    #[serde(default)]
    follow: bool,
    tail: Option<u64>,
    #[serde(default)]
    limit: u32,
    #[serde(default)]
    public_key: String,
    #[serde(default)]
    scopes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    executor_id: Option<String>,
    gpu: Option<Gpu>,
    image: String,
    ssh_key: Option<String>,
    #[serde(default)]
    no_ssh: bool,
    cpu_cores: f64,
    memory_mb: u64,
    storage_mb: u64,
    gpu_count: u32,
    gpu_types: Vec<String>,
    environment: BTreeMap<String, String>,
    ports: Vec<PortMapping>,
    volumes: Vec<Volume>,
    command: Option<Vec<String>>,
    name: Option<String>,
    replicas: u32,
    ttl: Option<f64>,
    public: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gpu {
    count: u32,
    min_memory_gb: u32,
    gpu_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Volume {
    host_path: String,
    container_path: String,
    #[serde(default)]
    read_only: bool,
}

fn config(given: Value) -> Result<DeploymentConfig> {
    let given: Config = arguments(given)?;
    let resources = ResourceRequirements::builder()
        .cpu_cores(given.cpu_cores)
        .memory_mb(given.memory_mb)
        .storage_mb(given.storage_mb)
        .gpu_count(given.gpu_count)
        .gpu_types(given.gpu_types);
    let mut config = DeploymentConfig::builder()
        .image(given.image)
        .no_ssh(given.no_ssh)
        .resources(resources.build())
        .environment(given.environment)
        .ports(given.ports)
        .volumes(given.volumes.into_iter().map(|volume| {
            let mount = VolumeMount::new(volume.host_path, volume.container_path);
            if volume.read_only {
                mount.read_only()
            } else {
                mount
            }
        }))
        .command(given.command.unwrap_or_default())
        .replicas(given.replicas)
        .public(given.public);
    if let Some(id) = given.executor_id {
        config = config.executor_id(id);
    }
    if let Some(gpu) = given.gpu {
        let mut requirements = GpuRequirements::new(gpu.count, gpu.min_memory_gb);
        if let Some(name) = gpu.gpu_type {
            requirements = requirements.gpu_type(name);
        }
        config = config.gpu(requirements);
    }
    if let Some(key) = given.ssh_key {
        config = config.ssh_key(key);
    }
    if let Some(name) = given.name {
        config = config.name(name);
    }
    if let Some(seconds) = given.ttl {
        config = config.ttl(positive("ttl", seconds)?);
    }
    config.build()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Find {
    min_gpu_memory_gb: Option<u32>,
    gpu_type: Option<String>,
    min_gpu_count: Option<u32>,
    city: Option<String>,
    region: Option<String>,
    country: Option<String>,
}

fn executor_filters(given: Value) -> Result<ExecutorFilters> {
    let given: Find = arguments(given)?;
    let mut filters = ExecutorFilters::default();
    macro_rules! set {
        ($($field:ident)*) => {$(
            if let Some(value) = given.$field {
                filters = filters.$field(value);
            }
        )*};
    }
    set!(min_gpu_memory_gb gpu_type min_gpu_count city region country);
    Ok(filters)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    status: Option<String>,
    gpu_type: Option<String>,
    min_gpu_count: Option<u32>,
}

fn list_filters(given: Value) -> Result<ListFilters> {
    let given: List = arguments(given)?;
    let mut filters = ListFilters::default();
    if let Some(status) = given.status {
        filters = filters.status(DeploymentStatus::from(status.as_str()));
    }
    if let Some(name) = given.gpu_type {
        filters = filters.gpu_type(name);
    }
    if let Some(count) = given.min_gpu_count {
        filters = filters.min_gpu_count(count);
    }
    Ok(filters)
}

impl Client for Basilica {
    fn cancelled_by(&self, cancel: &Cancel) -> Result<Arc<dyn Client>> {
        Ok(Arc::new(Basilica(self.0.cancelled_by(cancel)?)))
    }

    fn perform(&self, operation: &str, given: Value) -> Result<Answer> {
        let (deployments, account) = (self.0.deployments(), self.0.account());
        let id = |given| arguments::<Id>(given);
        let value = match operation {
            "deploy" => deployment(deployments.deploy(&config(given)?)?),
            "check_config" => json!(config(given)?.name()),
            "matching" => {
                let matching = deployments.matching(&config(given)?)?;
                matching.into_iter().map(deployment).collect()
            }
            "get" => deployment(deployments.get(&id(given)?.id)?),
            "status" => status(&deployments.status(&id(given)?.id)?),
            "list_deployments" => {
                let list = deployments.list(&list_filters(given)?)?;
                list.into_iter().map(deployment).collect()
            }
            "stop" => json!(deployments.stop(&id(given)?.id)?),
            "restart" => deployment(deployments.restart(&id(given)?.id)?),
            "events" => {
                let given = id(given)?;
                let events = deployments.events(&given.id, given.limit)?.into_iter();
                let event = |event: satellite_sdk::compute::basilica::DeploymentEvent| {
                    json!({ "type": event.kind, "reason": event.reason, "message": event.message,
                        "count": event.count, "last_timestamp": event.last_timestamp })
                };
                events.map(event).collect()
            }
            "logs" => {
                let given = id(given)?;
                let lines = match given.tail {
                    Some(tail) => deployments.logs_tail(&given.id, tail, given.follow)?,
                    None => deployments.logs(&given.id, given.follow)?,
                };
                let items = lines.map(|line| line.map(|line| log_line(&line)));
                return Ok(Answer::Stream(Box::new(items)));
            }
            "list_executors" => {
                let found = self.0.executors().find(&executor_filters(given)?)?;
                found.into_iter().map(executor).collect()
            }
            "cpu_offerings" => {
                let offerings = self.0.executors().cpu_offerings()?.into_iter();
                let offering = |one: satellite_sdk::compute::basilica::CpuOffering| {
                    with(
                        one.extra,
                        json!({
                            "id": one.id, "provider": one.provider, "vcpu_count": one.vcpu_count,
                            "system_memory_gb": one.system_memory_gb, "storage_gb": one.storage_gb,
                            "region": one.region, "hourly_rate": one.hourly_rate,
                            "availability": one.availability,
                        }),
                    )
                };
                offerings.map(offering).collect()
            }
            "create_api_key" => {
                let given = id(given)?;
                let scopes: Vec<_> = given.scopes.iter().map(String::as_str).collect();
                let key = account.create_api_key(&given.id, &scopes)?;
                json!({ "name": key.name, "token": key.token.expose(),
                    "created_at": key.created_at })
            }
            "api_keys" => {
                let key = |key: satellite_sdk::compute::basilica::ApiKey| {
                    with(
                        key.extra,
                        json!({ "name": key.name, "kid": key.kid,
                        "created_at": key.created_at, "last_used_at": key.last_used_at }),
                    )
                };
                account.api_keys()?.into_iter().map(key).collect()
            }
            "delete_api_key" => json!(account.delete_api_key(&id(given)?.id)?),
            "register_ssh_key" => {
                let given = id(given)?;
                ssh_key(account.register_ssh_key(&given.id, &given.public_key)?)
            }
            "ssh_key" => account.ssh_key()?.map_or(Value::Null, ssh_key),
            "delete_ssh_key" => json!(account.delete_ssh_key()?),
            "balance" => {
                let balance = account.balance()?;
                with(
                    balance.extra,
                    json!({
                    "balance": balance.balance, "last_updated": balance.last_updated }),
                )
            }
            "health" => {
                let health = self.0.health()?;
                with(
                    health.extra,
                    json!({
                        "status": health.status, "version": health.version,
                        "timestamp": health.timestamp,
                        "healthy_validators": health.healthy_validators,
                        "total_validators": health.total_validators,
                    }),
                )
            }
            _ => return Err(unknown(operation)),
        };
        Ok(Answer::Json(value))
    }

    fn url(&self) -> String {
        self.0.url().to_owned()
    }
}

fn ssh_key(key: satellite_sdk::compute::basilica::SshKey) -> Value {
    with(
        key.extra,
        json!({ "id": key.id, "name": key.name, "public_key": key.public_key,
        "created_at": key.created_at }),
    )
}

fn status(status: &DeploymentStatus) -> Value {
    match status {
        DeploymentStatus::Failed(reason) => json!({ "status": "failed", "reason": reason }),
        other => json!({ "status": other.to_string(), "reason": null }),
    }
}

fn deployment(one: Deployment) -> Value {
    let ssh = one.ssh_access.as_ref().map(|access| {
        json!({ "user": access.user, "host": access.host, "port": access.port,
            "command": access.to_string() })
    });
    let state = status(&one.status);
    with(
        one.extra,
        json!({
            "id": one.id, "status": state["status"], "reason": state["reason"], "ssh_access": ssh,
            "created_at": one.created_at, "executor_id": one.executor_id, "image": one.image,
            "resources": one.resources, "ports": one.ports, "url": one.url,
        }),
    )
}

fn executor(one: Executor) -> Value {
    let gpus = one.gpu_specs.iter().map(|gpu| {
        json!({ "name": gpu.name, "memory_gb": gpu.memory_gb,
            "compute_capability": gpu.compute_capability })
    });
    let (gpus, cpu) = (gpus.collect::<Value>(), &one.cpu_specs);
    let cpu = json!({ "cores": cpu.cores, "model": cpu.model, "memory_gb": cpu.memory_gb });
    with(
        one.extra,
        json!({
            "id": one.id, "gpu_specs": gpus, "cpu_specs": cpu, "location": one.location,
            "hourly_rate_cents": one.hourly_rate_cents, "available_until": one.available_until,
            "verification_score": one.verification_score,
            "uptime_percentage": one.uptime_percentage,
        }),
    )
}

fn log_line(line: &LogLine) -> Value {
    json!({ "timestamp": line.timestamp, "stream": line.stream, "message": line.message })
}
