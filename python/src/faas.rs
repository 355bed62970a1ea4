//! The client for FaaS.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use satellite_sdk::compute::Cancel;
use satellite_sdk::compute::faas::{
    Branch, Environment, EnvironmentSpec, Execution, ExecutionRequest, ExecutionResult, FaasClient,
    FaasDialect, Instance, Output, Runtime, Snapshot, Stream,
};
use satellite_sdk::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Answer, Client, arguments, unknown};
use crate::configured;
use crate::json::with;
use crate::options::{Options, positive};

struct Faas(FaasClient);

pub fn open(options: Options) -> Result<Arc<dyn Client>> {
    let mut builder = configured!(FaasClient::builder(), options);
    builder = match options.dialect.as_deref() {
        None => builder,
        Some("gateway") => builder.dialect(FaasDialect::Gateway),
        Some("server") => builder.dialect(FaasDialect::Server),
        Some(other) => {
            let text = format!("dialect: expected gateway or server, found {other:?}");
            return Err(Error::settings(vec![text]));
        }
    };
    if let Some(most) = options.max_parallel {
        builder = builder.max_parallel(most);
    }
    Ok(Arc::new(Faas(builder.build()?)))
}

#[derive(Deserialize)]
struct Id {
    id: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    count: usize,
    #[serde(default)]
    follow: bool,
    runtime: Option<String>,
}

/// One of a shell script, a list of arguments, or a file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Command {
    Shell(String),
    Words(Vec<String>),
    File { file: PathBuf },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    command: Command,
    environment: Option<String>,
    timeout: Option<f64>,
    /// One byte per item.
    stdin: Option<Vec<u8>>,
    env_vars: Option<BTreeMap<String, String>>,
    working_dir: Option<String>,
    checked: Option<bool>,
    memory_mb: Option<u32>,
    cpu_cores: Option<u8>,
    runtime: Option<String>,
    mode: Option<String>,
    cache_key: Option<String>,
    snapshot: Option<String>,
    branch_from: Option<String>,
}

fn request(given: Value) -> Result<ExecutionRequest> {
    let given: Given = arguments(given)?;
    let mut request = match given.command {
        Command::Shell(text) => ExecutionRequest::shell(text),
        Command::Words(words) => ExecutionRequest::command(words),
        Command::File { file } => ExecutionRequest::file(file)?,
    };
    macro_rules! set {
        ($($field:ident)*) => {$(
            if let Some(value) = given.$field {
                request = request.$field(value);
            }
        )*};
    }
    set!(environment stdin working_dir checked memory_mb cpu_cores cache_key snapshot);
    if let Some(seconds) = given.timeout {
        request = request.timeout(positive("timeout", seconds)?);
    }
    for (name, value) in given.env_vars.unwrap_or_default() {
        request = request.env(name, value);
    }
    if let Some(runtime) = given.runtime {
        request = request.runtime(runtime.into());
    }
    if let Some(mode) = given.mode {
        request = request.mode(mode.into());
    }
    if let Some(id) = given.branch_from {
        request = request.branch_from(id);
    }
    Ok(request)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    base_image: Option<String>,
    #[serde(default)]
    layers: Vec<Value>,
    #[serde(default)]
    resources: Option<SpecResources>,
    cache_strategy: Option<String>,
    #[serde(default)]
    features: BTreeMap<String, bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecResources {
    cpu_cores: Option<f64>,
    memory_mb: Option<u64>,
}

fn spec(given: Value) -> Result<EnvironmentSpec> {
    let given: Spec = arguments(given)?;
    let mut spec = EnvironmentSpec::default();
    if let Some(image) = given.base_image {
        spec = spec.base_image(image);
    }
    if let Some(resources) = given.resources {
        if let Some(cores) = resources.cpu_cores {
            spec = spec.cpu_cores(cores);
        }
        if let Some(megabytes) = resources.memory_mb {
            spec = spec.memory_mb(megabytes);
        }
    }
    if let Some(strategy) = given.cache_strategy {
        spec = spec.cache_strategy(strategy);
    }
    spec = given.layers.into_iter().fold(spec, EnvironmentSpec::layer);
    let features = given.features.into_iter();
    Ok(features.fold(spec, |spec, (name, enabled)| spec.feature(name, enabled)))
}

impl Client for Faas {
    fn cancelled_by(&self, cancel: &Cancel) -> Result<Arc<dyn Client>> {
        Ok(Arc::new(Faas(self.0.cancelled_by(cancel)?)))
    }

    fn perform(&self, operation: &str, given: Value) -> Result<Answer> {
        let client = &self.0;
        let (executions, gateway) = (client.executions(), client.gateway());
        let (environments, snapshots) = (client.environments(), client.snapshots());
        let id = |given| arguments::<Id>(given);
        let named = |given: &mut Value| -> Result<(String, ExecutionRequest)> {
            let id: String = arguments(take(given, "id"))?;
            Ok((id, request(take(given, "request"))?))
        };
        let mut given = given;
        let value = match operation {
            "execute" => result(executions.run(request(given)?)?),
            "run_batch" => {
                let requests: Vec<Value> = arguments(given)?;
                let requests = requests.into_iter().map(request);
                let requests: Vec<_> = requests.collect::<Result<_>>()?;
                let results = executions.run_batch(&requests).into_iter();
                results.map(batch_result).collect()
            }
            "stream" => return Ok(streamed(executions.stream(request(given)?)?)),
            "logs" => {
                let given = id(given)?;
                return Ok(streamed(executions.logs(&given.id, given.follow)?));
            }
            "executions" => executions.list()?.into_iter().map(execution).collect(),
            "execution" => execution(executions.get(&id(given)?.id)?),
            "cancel" => json!(executions.cancel(&id(given)?.id)?),
            "environments" => environments.list()?.into_iter().map(environment).collect(),
            "create_environment" => {
                let name: String = arguments(take(&mut given, "name"))?;
                environment(environments.create(&name, &spec(take(&mut given, "spec"))?)?)
            }
            "environment" => environment(environments.get(&id(given)?.id)?),
            "update_environment" => {
                let name: String = arguments(take(&mut given, "name"))?;
                environment(environments.update(&name, &spec(take(&mut given, "spec"))?)?)
            }
            "delete_environment" => json!(environments.delete(&id(given)?.id)?),
            "create_snapshot" => {
                let given = id(given)?;
                snapshot(snapshots.create(&given.id, given.name.as_deref())?)
            }
            "create_snapshot_from_script" => {
                let (name, script) = named(&mut given)?;
                snapshot(snapshots.create_from_script(script, &name)?)
            }
            "restore" => branch(&snapshots.restore(&id(given)?.id)?),
            "branch" => {
                let given = id(given)?;
                let branches = snapshots.branch(&given.id, given.count)?;
                branches.iter().map(branch).collect()
            }
            "snapshots" => snapshots.list()?.into_iter().map(snapshot).collect(),
            "snapshot" => snapshot(snapshots.get(&id(given)?.id)?),
            "delete_snapshot" => json!(snapshots.delete(&id(given)?.id)?),
            "fork" => gateway
                .fork(request(given)?)?
                .into_iter()
                .map(result)
                .collect(),
            "fork_execution" => {
                let (id, request) = named(&mut given)?;
                result(gateway.fork_execution(&id, request)?)
            }
            "create_instance" => {
                let given = id(given)?;
                instance(gateway.create_instance(&given.id, given.name.as_deref())?)
            }
            "instances" => gateway.instances()?.into_iter().map(instance).collect(),
            "instance" => instance(gateway.instance(&id(given)?.id)?),
            "exec" => {
                let (id, request) = named(&mut given)?;
                result(gateway.exec(&id, request)?)
            }
            "stop_instance" => json!(gateway.stop_instance(&id(given)?.id)?),
            "prewarm" => {
                let given = id(given)?;
                let runtime = given.runtime.map(Runtime::from);
                json!(gateway.prewarm(&given.id, given.count, runtime)?)
            }
            "pools" => gateway.pools()?,
            "metrics" => gateway.metrics()?,
            "health" => {
                let health = client.health()?;
                with(
                    health.extra,
                    json!({
                        "status": health.status, "docker": health.docker,
                        "firecracker": health.firecracker, "uptime_ms": health.uptime_ms,
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

/// A field, or null. The index of a `Value` would panic where it is not an object.
fn take(given: &mut Value, name: &str) -> Value {
    given.get_mut(name).map(Value::take).unwrap_or_default()
}

fn result(result: ExecutionResult) -> Value {
    let is_merged = result.is_merged();
    with(
        result.extra,
        json!({
            "request_id": result.request_id, "status": result.status, "stdout": result.stdout,
            "stderr": result.stderr, "exit_code": result.exit_code,
            "duration": result.duration.as_secs_f64(), "cached": result.cached,
            "error": result.error, "is_merged": is_merged,
        }),
    )
}

fn batch_result(one: Result<ExecutionResult>) -> Value {
    match one {
        Ok(one) => json!({ "result": result(one) }),
        Err(error) => json!({ "error": error.to_string(), "is_timeout": error.is_timeout(),
            "is_retryable": error.is_retryable(), "status": error.status() }),
    }
}

fn streamed(stream: Stream<Output>) -> Answer {
    let items = stream.map(|output| {
        Ok(match output? {
            Output::Stdout(text) => json!({ "stream": "stdout", "text": text }),
            Output::Stderr(text) => json!({ "stream": "stderr", "text": text }),
            Output::Exit(code) => json!({ "stream": "exit", "code": code }),
            other => json!({ "stream": "other", "text": other.to_string() }),
        })
    });
    Answer::Stream(Box::new(items))
}

fn execution(one: Execution) -> Value {
    with(
        one.extra,
        json!({
            "id": one.id, "status": one.status, "command": one.command, "image": one.image,
            "started_at": one.started_at, "exit_code": one.exit_code,
        }),
    )
}

fn environment(one: Environment) -> Value {
    with(
        one.extra,
        json!({
            "id": one.id, "name": one.name, "base_image": one.base_image, "layers": one.layers,
            "resources": one.resources, "cache_strategy": one.cache_strategy,
            "features": one.features,
        }),
    )
}

fn snapshot(one: Snapshot) -> Value {
    with(
        one.extra,
        json!({
            "id": one.id, "name": one.name, "container_id": one.container_id,
            "created_at": one.created_at, "size_bytes": one.size_bytes,
        }),
    )
}

fn branch(branch: &Branch) -> Value {
    json!({ "id": branch.id() })
}

fn instance(one: Instance) -> Value {
    with(
        one.extra,
        json!({
            "id": one.id, "name": one.name, "image": one.image, "status": one.status,
        }),
    )
}
