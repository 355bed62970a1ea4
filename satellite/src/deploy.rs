//! Deploy: from a task to a model that answers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use satellite_sdk::{
    Context, Deployment, DeploymentStatus, Failure, Later, PlatformClient, Secret, Task,
};
use serde_json::json;

use crate::engine::{self, Container, Fault, Order};
use crate::fleet::Fleet;
use crate::gateway::Route;
use crate::image;
use crate::job::{self, End, Job, Target, failed};
use crate::model::Models;
use crate::parameters::Parameters;
use crate::queue::{Outdated, Wish};

/// How often a model that is coming up is looked at.
const ROUND: Duration = Duration::from_millis(500);

/// The handler: follows the model on its way up.
pub fn handler(fleet: Fleet) -> impl Fn(Task<Target>, &Context) -> Result<(), Failure> {
    job::handler(fleet, Wish::Up, Job::deploy, conclude)
}

impl Job {
    fn deploy(&self, task_id: &str) -> Result<String, End> {
        let (deployment, artifact_url) = self.artifact()?;
        let parameters = Parameters::of(&deployment, self.fleet.settings())?;
        let mut environment = self.environment(&deployment, &artifact_url)?;
        let secrets = self.secrets(&deployment)?;
        environment.extend(secrets.iter().cloned());
        // The deployment's own variables win.
        let own = deployment.env_variables.iter();
        environment.extend(own.map(|(name, value)| (name.clone(), Secret::new(value))));

        self.network()?;
        self.image(&parameters.image)?;
        let container = self.container(task_id, &artifact_url, &parameters, &environment)?;
        let last_lines = || self.last_lines(&container, &deployment, &secrets, &artifact_url);
        let timeout = parameters.health_check_timeout;
        let port = self.wait_until_healthy(&container, timeout, last_lines)?;
        self.finalize(&deployment, port)
    }

    fn artifact(&self) -> Result<(Deployment, String), End> {
        const REASON: &str = "failed to get model artifact details";
        let deployment = self
            .platform(|platform| platform.get_deployment(&self.deployment_id))?
            .map_err(|e| failed(REASON, e))?;
        if deployment.status == DeploymentStatus::DeletionPending {
            return Err(End::Outdated(Outdated::Deleted));
        }
        let url = self
            .platform(|platform| platform.artifact_download_url(&deployment.artifact_id))?
            .map_err(|e| failed(REASON, e))?;
        Ok((deployment, url))
    }

    fn environment(
        &self,
        deployment: &Deployment,
        artifact_url: &str,
    ) -> Result<BTreeMap<String, Secret>, End> {
        let settings = self.fleet.settings();
        let mut environment = BTreeMap::from([
            (
                "SATELLITE_AGENT_URL".to_owned(),
                Secret::new(&*settings.agent_url),
            ),
            ("MODEL_ARTIFACT_URL".to_owned(), Secret::new(artifact_url)),
            (
                "DEPLOYMENT_ID".to_owned(),
                Secret::new(&*self.deployment_id),
            ),
            (
                "MODEL_NAME".to_owned(),
                Secret::new(&*deployment.artifact_name),
            ),
        ]);
        if let Some(endpoint) = &settings.otel_endpoint {
            let name = "OTEL_EXPORTER_OTLP_ENDPOINT".to_owned();
            environment.insert(name, Secret::new(&**endpoint));
        }
        Ok(environment)
    }

    fn network(&self) -> Result<(), End> {
        let name = &self.fleet.settings().network;
        self.engine(|engine| engine.ensure_network(name))?
            .map_err(|fault| failed("Failed to create container", fault))
    }

    fn image(&self, image: &str) -> Result<(), End> {
        const REASON: &str = "Docker image not found";
        let here = self.engine(|engine| engine.has_image(image))?;
        if here.map_err(|fault| failed(REASON, fault))? {
            return Ok(());
        }
        if !image::can_be_pulled(image) {
            let remedy = image::remedy(image, self.fleet.settings());
            return Err(failed(REASON, format!("it is not on this host; {remedy}")));
        }
        let id = &self.deployment_id;
        log::info!("deployment {id}: pulling {image}");
        let told = |line: &str| log::info!("deployment {id}: {line}");
        self.engine(|engine| engine.pull(image, told))?
            .map_err(|fault| failed(REASON, fault))
    }

    /// A container for this task: the one that an earlier process of this
    /// satellite made for it, or a new one in place of whatever is there.
    fn container(
        &self,
        task_id: &str,
        artifact_url: &str,
        parameters: &Parameters,
        environment: &BTreeMap<String, Secret>,
    ) -> Result<String, End> {
        const REASON: &str = "Failed to create container";
        let name = container_name(&self.deployment_id);
        let settings = self.fleet.settings();
        let gpus = parameters.gpus();
        let order = Order {
            name: &name,
            image: &parameters.image,
            network: &settings.network,
            port: settings.model_port,
            labels: BTreeMap::from([
                (engine::DEPLOYMENT, self.deployment_id.clone()),
                (engine::MODEL, model_id(artifact_url)),
                (engine::OWNER, self.fleet.owner().to_owned()),
                (engine::TASK, task_id.to_owned()),
            ]),
            environment: environment.clone(),
            restart_policy: &parameters.restart_policy,
            memory_limit: parameters.memory_limit.as_deref(),
            cpu_limit: parameters.cpu_limit.as_deref(),
            gpus: gpus.as_deref(),
        };
        for attempt in 1.. {
            if let Some(earlier) = self.earlier_container(task_id)? {
                return Ok(earlier.id);
            }
            // Not `self.engine`: an engine that goes away in the middle may have
            // made the container, which the next round then finds.
            let fault = match self.fleet.engine().start(&order) {
                Ok(id) => return Ok(id),
                Err(fault) => fault,
            };
            match fault {
                Fault::NoEngine(_) => {
                    log::warn!("deployment {} waits: {fault}", self.deployment_id);
                    self.fleet.engine_is_away(&self.cx, &fault);
                    self.pause(Duration::from_secs(1))?;
                }
                Fault::NoImage(_) => return Err(failed("Docker image not found", fault)),
                Fault::NoNetwork(_) if attempt < 4 => self.network()?,
                Fault::TimedOut(_) if attempt < 4 => {}
                Fault::Other(_) if self.is_engine_away(&fault) => self.pause(ROUND)?,
                Fault::NameTaken(_) if attempt < 4 => self.remove_half_made(&name)?,
                _ => return Err(failed(REASON, fault)),
            }
        }
        unreachable!("each attempt returns or goes on")
    }

    /// The container that was made for this very task; others are in the way.
    fn earlier_container(&self, task_id: &str) -> Result<Option<Container>, End> {
        let mut mine = None;
        for container in self.containers()? {
            let made_for_this = container.task_id.as_deref() == Some(task_id);
            if made_for_this && container.is_running() && mine.is_none() {
                mine = Some(container);
            } else {
                self.remove(&container.id)?;
            }
        }
        Ok(mine)
    }

    /// Frees the container's name, if what has it is of this deployment.
    fn remove_half_made(&self, name: &str) -> Result<(), End> {
        let found = self.engine(|engine| engine.container(name).transpose())?;
        match found.map_err(|fault| failed("Failed to create container", fault))? {
            Some(container) if container.deployment_id == self.deployment_id => {
                self.remove(&container.id)
            }
            Some(_) => {
                let text = format!("a container that is not of this deployment is called {name}");
                Err(failed("Failed to create container", text))
            }
            None => Ok(()),
        }
    }

    fn wait_until_healthy(
        &self,
        id: &str,
        timeout: Duration,
        last_lines: impl Fn() -> String,
    ) -> Result<u16, End> {
        let models = Models::new();
        let end = Instant::now() + timeout;
        let inside = self.fleet.settings().model_port;
        let mut second_chance = true;
        loop {
            let container = self.engine(|engine| engine.container(id).transpose())?;
            let container = container.map_err(|fault| failed("Failed to deploy model", fault))?;
            match &container {
                None => return Err(failed("Container stopped or not found", "it was removed")),
                // An engine that is stopped ends its containers, not they themselves.
                Some(container) if container.was_ended() && second_chance => {
                    second_chance = false;
                    log::info!("{} was ended: started again", container.name);
                    self.engine(|engine| engine.start_again(id))?
                        .map_err(|fault| failed("Container stopped or not found", fault))?;
                }
                Some(container) if container.is_failing() => {
                    let text = format!(
                        "it ended with exit code {} after {} restarts; {}",
                        container.exit_code,
                        container.restarts,
                        last_lines()
                    );
                    return Err(failed("Container stopped or not found", text));
                }
                Some(_) => {}
            }
            let port = container.and_then(|container| container.port(inside));
            // A few looks at the model for each look at the container.
            for _ in 0..4 {
                if let Some(port) = port.filter(|port| models.is_healthy(*port)) {
                    return Ok(port);
                }
                if Instant::now() >= end {
                    let lines = last_lines();
                    let text = format!("no answer within {timeout:.0?}; {lines}");
                    return Err(failed("healthcheck timeout", text));
                }
                self.pause(ROUND)?;
            }
        }
    }

    fn finalize(&self, deployment: &Deployment, port: u16) -> Result<String, End> {
        const REASON: &str = "failed to finalize deployment";
        let route = Route::open(&Models::new(), deployment, port);
        let inference_url = format!("/deployments/{}", self.deployment_id);
        let schemas = route.public_schemas();
        // Whoever asked for the deletion meanwhile must find it asked for.
        let mut deleting = false;
        self.platform(|platform| {
            platform.update_deployment(&self.deployment_id, |update| {
                deleting = update.status == DeploymentStatus::DeletionPending;
                if !deleting {
                    update.status = DeploymentStatus::Active;
                }
                update.inference_url = Some(inference_url.clone());
                update.schemas.clone_from(&schemas);
                update.error_message = None;
            })
        })?
        .map_err(|e| failed(REASON, e))?;
        if deleting {
            return Err(End::Outdated(Outdated::Deleted));
        }
        self.fleet.routes().insert(route);
        Ok(inference_url)
    }

    /// Marks the deployment failed. The failure is logged with the task's result.
    fn mark_failed(&self, failure: &Failure) -> Result<(), End> {
        let marked = self.platform(|platform| {
            set_status(
                platform,
                &self.deployment_id,
                DeploymentStatus::Failed,
                failure,
            )
        })?;
        if let Err(error) = marked {
            log::warn!(
                "deployment {} cannot be marked: {error}",
                self.deployment_id
            );
        }
        Ok(())
    }

    /// All containers of this deployment.
    pub fn containers(&self) -> Result<Vec<Container>, End> {
        self.engine(|engine| engine.containers_of(&self.deployment_id))?
            .map_err(|fault| failed("Failed to create container", fault))
    }

    pub fn remove(&self, id: &str) -> Result<(), End> {
        self.engine(|engine| engine.remove(id))?
            .map(drop)
            .map_err(|fault| failed("Failed to remove container.", fault))
    }

    /// Removes what this deployment has; true where there was something.
    pub fn remove_containers(&self) -> Result<bool, End> {
        self.fleet.routes().remove(&self.deployment_id);
        let containers = self.containers()?;
        for container in &containers {
            self.remove(&container.id)?;
        }
        Ok(!containers.is_empty())
    }
}

/// Reports the end, of the deployment and of the task.
fn conclude(job: &Job, end: Result<String, End>, later: Later) {
    let id = &job.deployment_id;
    match end {
        Ok(inference_url) => {
            log::info!("deployment {id} is active at {inference_url}");
            later.done(json!({ "inference_url": inference_url }));
        }
        Err(End::Stopping) => later.leave_running(),
        Err(End::Outdated(Outdated::Deleted)) => {
            log::info!("deployment {id} is being deleted: given up");
            let _ = job.remove_containers();
            later.fail(Failure::new("cancelled", "the deployment is being deleted"));
        }
        Err(End::Outdated(Outdated::Replaced)) => {
            later.fail(Failure::new("cancelled", "a later deploy took its place"));
        }
        Err(End::Failed(failure)) => {
            let ends = [job.mark_failed(&failure), job.remove_containers().map(drop)];
            match ends.iter().any(|end| matches!(end, Err(End::Stopping))) {
                true => later.leave_running(),
                false => later.fail(failure),
            }
        }
    }
}

/// Sets a deployment's status with the reason, and nothing else; one whose
/// deletion was asked for keeps that status.
pub fn set_status(
    platform: &PlatformClient,
    deployment_id: &str,
    status: DeploymentStatus,
    failure: &Failure,
) -> satellite_sdk::Result<()> {
    let message = json!({ "reason": failure.reason(), "error": failure.error() });
    let deleting = DeploymentStatus::DeletionPending;
    let updated = platform.update_deployment(deployment_id, |update| {
        if update.status != deleting || status == DeploymentStatus::DeletionFailed {
            update.status = status;
        }
        update.error_message = Some(message);
    });
    updated.map(drop)
}

fn container_name(deployment_id: &str) -> String {
    format!("sat-{deployment_id}")
}

/// MD5 of the path in the artifact's URL: the same for each presigning.
fn model_id(artifact_url: &str) -> String {
    let after_scheme = artifact_url
        .split_once("://")
        .map_or(artifact_url, |(_, rest)| rest);
    let path = after_scheme
        .find('/')
        .map_or("", |start| &after_scheme[start..]);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let digest = Md5::digest(path.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
