//! The client for SkyPilot.

use std::collections::BTreeMap;
use std::sync::Arc;

use satellite_sdk::compute::Cancel;
use satellite_sdk::compute::skypilot::{
    Accelerators, CloudCredentials, Cluster, Clusters, Exec, Launch, Logs, Offer, Refresh, Request,
    RequestRecord, SkyPilotClient, Start, Stop, Task, Terminate,
};
use satellite_sdk::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Answer, Client, arguments, unknown};
use crate::configured;
use crate::json::with;
use crate::options::{Options, positive};

struct SkyPilot(SkyPilotClient);

pub fn open(options: Options) -> Result<Arc<dyn Client>> {
    let mut builder = configured!(SkyPilotClient::builder(), options);
    if let Some((id, name)) = &options.user {
        builder = builder.user(id, name);
    }
    Ok(Arc::new(SkyPilot(builder.build()?)))
}

/// The arguments of all operations. The Python methods have the signatures.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Given {
    cluster_name: String,
    cluster_names: Vec<String>,
    task: String,
    command: String,
    request_id: String,
    envs: BTreeMap<String, String>,
    retry_until_up: bool,
    idle_minutes_to_stop: Option<u32>,
    down: bool,
    dry_run: bool,
    no_setup: bool,
    fast: bool,
    purge: bool,
    graceful: bool,
    refresh: Option<String>,
    all_users: bool,
    follow: bool,
    raw: bool,
    tail: u64,
    since: Option<String>,
    job_id: Option<u64>,
    job_ids: Vec<u64>,
    timeout: Option<f64>,
    hours: f64,
    days: u32,
    name: Option<String>,
    region: Option<String>,
    count: Option<u32>,
    clouds: Vec<String>,
    all_regions: bool,
    credentials: Option<Credentials>,
}

#[derive(Deserialize)]
#[serde(tag = "cloud", rename_all = "lowercase")]
enum Credentials {
    Aws {
        access_key_id: String,
        secret_access_key: String,
        session_token: Option<String>,
        region: Option<String>,
    },
    Azure {
        tenant_id: String,
        client_id: String,
        client_secret: String,
        subscription_id: String,
    },
    Gcp {
        service_account: String,
    },
}

impl From<Credentials> for CloudCredentials {
    fn from(credentials: Credentials) -> Self {
        match credentials {
            Credentials::Aws {
                access_key_id,
                secret_access_key,
                session_token,
                region,
            } => {
                let mut aws = CloudCredentials::aws(access_key_id, secret_access_key);
                if let Some(token) = session_token {
                    aws = aws.session_token(token);
                }
                match region {
                    Some(region) => aws.region(region),
                    None => aws,
                }
            }
            Credentials::Azure {
                tenant_id,
                client_id,
                client_secret,
                subscription_id,
            } => CloudCredentials::azure(tenant_id, client_id, client_secret, subscription_id),
            Credentials::Gcp { service_account } => CloudCredentials::gcp(service_account),
        }
    }
}

impl Client for SkyPilot {
    fn cancelled_by(&self, cancel: &Cancel) -> Result<Arc<dyn Client>> {
        Ok(Arc::new(SkyPilot(self.0.cancelled_by(cancel)?)))
    }

    fn perform(&self, operation: &str, given: Value) -> Result<Answer> {
        let mut given: Given = arguments(given)?;
        let client = match given.credentials.take() {
            Some(credentials) => self.0.with_credentials(credentials.into()),
            None => self.0.clone(),
        };
        let name = given.cluster_name.as_str();
        let value = match operation {
            "health" => {
                let health = client.health()?;
                with(
                    health.extra,
                    json!({
                        "status": health.status, "api_version": health.api_version,
                        "version": health.version, "user": health.user,
                        "service_account_token_enabled": health.service_account_token_enabled,
                        "basic_auth_enabled": health.basic_auth_enabled,
                    }),
                )
            }
            "launch" => id_of(&client.launch(&launch(&given))?),
            "start" => {
                let mut start = Start::new(name)
                    .retry_until_up(given.retry_until_up)
                    .down(given.down);
                if let Some(minutes) = given.idle_minutes_to_stop {
                    start = start.idle_minutes_to_stop(minutes);
                }
                id_of(&client.start(start)?)
            }
            "stop" => id_of(&client.stop(Stop::new(name).graceful(given.graceful))?),
            "terminate" => {
                let options = Terminate::new(name)
                    .purge(given.purge)
                    .graceful(given.graceful);
                id_of(&client.terminate(options)?)
            }
            "autostop" => id_of(&client.autostop(name, given.idle_minutes_to_stop, given.down)?),
            "status" => cluster(client.status(name)?),
            "clusters" => {
                let list = client.clusters(&clusters(&given)?)?;
                list.into_iter().map(cluster).collect()
            }
            "exec" => {
                let output = client.exec(&exec(&given)?)?;
                json!({ "exit_code": output.exit_code, "stdout": output.stdout,
                    "stderr": output.stderr })
            }
            "submit_job" => id_of(&client.submit_job(name, given.task.as_str())?),
            "queue" => {
                let jobs = client.queue(name, given.all_users)?.into_iter();
                let job = |job: satellite_sdk::compute::skypilot::Job| {
                    with(
                        job.extra,
                        json!({ "job_id": job.job_id, "job_name": job.job_name,
                        "status": job.status }),
                    )
                };
                jobs.map(job).collect()
            }
            "job_status" => {
                let statuses = client.job_status(name, &given.job_ids)?.into_iter();
                let statuses = statuses.map(|(id, status)| (id.to_string(), json!(status)));
                Value::Object(statuses.collect())
            }
            "cancel_jobs" if given.job_ids.is_empty() => id_of(&client.cancel_all_jobs(name)?),
            "cancel_jobs" => id_of(&client.cancel_jobs(name, &given.job_ids)?),
            "logs" => {
                let items = client.logs(&logs(&given))?;
                return Ok(Answer::Stream(Box::new(
                    items.map(|line| line.map(Value::from)),
                )));
            }
            "request_log" => {
                let items = client.request_log(&given.request_id, given.follow)?;
                return Ok(Answer::Stream(Box::new(
                    items.map(|line| line.map(Value::from)),
                )));
            }
            "request" => record(&client.request(&given.request_id)?),
            "requests" => client.requests(name)?.iter().map(record).collect(),
            "wait" => record(&client.wait_for_request(&given.request_id, |_| ())?),
            "cancel_request" => json!(client.cancel_request(&given.request_id)?),
            "estimate_cost" => {
                let estimate = client.estimate_cost(given.task.as_str(), given.hours)?;
                json!({
                    "provider": estimate.provider, "region": estimate.region,
                    "instance_type": estimate.instance_type, "nodes": estimate.nodes,
                    "accelerators": estimate.accelerators, "currency": estimate.currency,
                    "cost_per_hour": estimate.cost_per_hour, "is_exact": estimate.is_exact,
                    "printed_cost": estimate.printed_cost, "hours": estimate.hours,
                    "estimated_cost": estimate.total,
                })
            }
            "accelerators" => {
                let offers = client.accelerators(&accelerators(&given))?.into_iter();
                let listed = offers
                    .map(|(name, offers)| (name, offers.iter().map(offer).collect::<Value>()));
                Value::Object(listed.collect())
            }
            "cost_report" => {
                let costs = client.cost_report(given.days)?.into_iter();
                let cost = |cost: satellite_sdk::compute::skypilot::ClusterCost| {
                    let hourly = cost.cost_per_hour();
                    with(
                        cost.extra,
                        json!({ "name": cost.name, "duration": cost.duration,
                        "total_cost": cost.total_cost, "currency": cost.currency,
                        "launched_at": cost.launched_at, "cost_per_hour": hourly }),
                    )
                };
                costs.map(cost).collect()
            }
            "cost_per_hour" => json!(client.cost_per_hour(name)?),
            "check" => {
                let clouds: Vec<_> = given.clouds.iter().map(String::as_str).collect();
                json!(client.check(&clouds)?)
            }
            "enabled_clouds" => json!(client.enabled_clouds()?),
            "validate" => json!(client.validate(given.task.as_str())?),
            _ => return Err(unknown(operation)),
        };
        Ok(Answer::Json(value))
    }

    fn url(&self) -> String {
        self.0.url().to_owned()
    }
}

fn id_of<T>(request: &Request<T>) -> Value {
    json!({ "request_id": request.id() })
}

fn launch(given: &Given) -> Launch {
    let mut launch = Launch::new(&given.cluster_name, Task::yaml(&given.task))
        .retry_until_up(given.retry_until_up)
        .down(given.down)
        .dry_run(given.dry_run)
        .no_setup(given.no_setup)
        .fast(given.fast);
    if let Some(minutes) = given.idle_minutes_to_stop {
        launch = launch.idle_minutes_to_stop(minutes);
    }
    let envs = given.envs.iter();
    envs.fold(launch, |launch, (name, value)| launch.env(name, value))
}

fn clusters(given: &Given) -> Result<Clusters> {
    let refresh = match given.refresh.as_deref() {
        None | Some("none") => Refresh::None,
        Some("auto") => Refresh::Auto,
        Some("force") => Refresh::Force,
        Some(other) => {
            let text = format!("refresh: expected none, auto or force, found {other:?}");
            return Err(Error::settings(vec![text]));
        }
    };
    let clusters = Clusters::new().refresh(refresh).all_users(given.all_users);
    Ok(given.cluster_names.iter().fold(clusters, Clusters::name))
}

fn exec(given: &Given) -> Result<Exec> {
    let mut exec = Exec::new(&given.cluster_name, &given.command);
    if let Some(seconds) = given.timeout {
        exec = exec.timeout(positive("timeout", seconds)?);
    }
    let envs = given.envs.iter();
    Ok(envs.fold(exec, |exec, (name, value)| exec.env(name, value)))
}

fn logs(given: &Given) -> Logs {
    let mut logs = Logs::new(&given.cluster_name)
        .tail(given.tail)
        .follow(given.follow)
        .raw(given.raw);
    if let Some(id) = given.job_id {
        logs = logs.job(id);
    }
    match &given.since {
        Some(since) => logs.since(since), // the server does not support it: an error says so
        None => logs,
    }
}

fn accelerators(given: &Given) -> Accelerators {
    let mut query = Accelerators::new().all_regions(given.all_regions);
    if let Some(name) = &given.name {
        query = query.name(name);
    }
    if let Some(region) = &given.region {
        query = query.region(region);
    }
    if let Some(count) = given.count {
        query = query.count(count);
    }
    given.clouds.iter().fold(query, Accelerators::cloud)
}

fn cluster(one: Cluster) -> Value {
    with(
        one.extra,
        json!({
            "name": one.name, "status": one.status, "cloud": one.cloud, "region": one.region,
            "resources_str": one.resources_str, "accelerators": one.accelerators,
            "nodes": one.nodes, "autostop": one.autostop, "to_down": one.to_down,
            "launched_at": one.launched_at, "user_name": one.user_name, "user_hash": one.user_hash,
        }),
    )
}

fn record(one: &RequestRecord) -> Value {
    json!({
        "request_id": one.request_id, "name": one.name, "status": one.status,
        "status_msg": one.status_msg, "cluster_name": one.cluster_name,
        "created_at": one.created_at, "finished_at": one.finished_at,
    })
}

fn offer(offer: &Offer) -> Value {
    json!({
        "cloud": offer.cloud, "instance_type": offer.instance_type,
        "accelerator": offer.accelerator, "count": offer.count, "cpus": offer.cpus,
        "device_memory": offer.device_memory, "memory": offer.memory, "price": offer.price,
        "spot_price": offer.spot_price, "currency": offer.currency, "region": offer.region,
    })
}
