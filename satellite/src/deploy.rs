//! Deploy: starts a model's container and waits until the model is healthy.

use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use satellite_sdk::{
    Artifact, Context, Deployment, DeploymentStatus, Failure, Later, PlatformClient, Task,
};
use serde_json::json;

use crate::engine::{self, Container, ContainerSpec, Environment, Fault};
use crate::environment::environment;
use crate::gateway::Route;
use crate::image;
use crate::job::{self, Job, JobError, Target, failed};
use crate::model::Models;
use crate::parameters::Parameters;
use crate::queue::{Cancelled, DesiredState};
use crate::shared::Shared;
use crate::variants;

/// How often the health of a starting model is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The failure's reason if no image, or with the process engine no program, serves the model.
const NO_IMAGE: &str = "Docker image not found";

/// The handler.
pub fn handler(shared: Shared) -> impl Fn(Task<Target>, &Context) -> Result<(), Failure> {
    job::handler(shared, DesiredState::Deployed, Job::deploy, finish)
}

impl Job {
    fn deploy(&self, task_id: &str) -> Result<String, JobError> {
        let settings = self.shared.settings();
        let (deployment, artifact) = self.artifact()?;
        let artifact_url = artifact.url.clone();
        let parameters = Parameters::of(&deployment, settings)?;
        let image = self.select_image(&parameters, &artifact)?;
        let secrets = self.secrets(&deployment)?;
        let environment = environment(settings, &deployment, &artifact_url, &secrets);

        self.network()?;
        self.image(&image)?;
        let container =
            self.container(task_id, &artifact_url, &image, &parameters, &environment)?;
        let last_lines = || self.last_lines(&container, &deployment, &secrets, &artifact_url);
        let timeout = parameters.health_check_timeout;
        let port = self.wait_until_healthy(&container, timeout, &environment, last_lines)?;
        self.finalize(&deployment, port)
    }

    fn artifact(&self) -> Result<(Deployment, Artifact), JobError> {
        const REASON: &str = "failed to get model artifact details";
        let deployment = self
            .platform(|platform| platform.get_deployment(&self.deployment_id))?
            .map_err(|e| failed(REASON, e))?;
        if deployment.status == DeploymentStatus::DeletionPending {
            return Err(JobError::Cancelled(Cancelled::Deleted));
        }
        self.shared.monitoring().note(&deployment);
        let artifact = self
            .platform(|platform| platform.get_artifact(&deployment.artifact_id))?
            .map_err(|e| failed(REASON, e))?;
        Ok((deployment, artifact))
    }

    /// The image that the deployment requests, or that of its artifact's variant.
    fn select_image(
        &self,
        parameters: &Parameters,
        artifact: &Artifact,
    ) -> Result<String, JobError> {
        if let Some(image) = &parameters.image {
            return Ok(image.clone());
        }
        let images = &self.shared.settings().images;
        let variant = variants::of(&artifact.artifact).unwrap_or_else(|| {
            let variant = images.fallback();
            log::info!(
                "deployment {}: the artifact's record has no manifest.variant; using the image \
                 for {variant} models",
                self.deployment_id
            );
            variant
        });
        let image = images.select(variant);
        image
            .map(str::to_owned)
            .map_err(|why| failed(NO_IMAGE, why))
    }

    fn network(&self) -> Result<(), JobError> {
        self.engine(|engine| engine.ensure_network())?
            .map_err(|fault| failed("Failed to create container", fault))
    }

    fn image(&self, image: &str) -> Result<(), JobError> {
        let exists = self.engine(|engine| engine.has_image(image))?;
        if exists.map_err(|fault| failed(NO_IMAGE, fault))? {
            return Ok(());
        }
        let settings = self.shared.settings();
        if !image::can_be_pulled(image, settings) {
            let remedy = image::remedy(image, settings);
            return Err(failed(
                NO_IMAGE,
                format!("it is not on this host; {remedy}"),
            ));
        }
        let id = &self.deployment_id;
        log::info!("deployment {id}: pulling {image}");
        let mut log_line = |line: &str| log::info!("deployment {id}: {line}");
        self.engine(|engine| engine.pull(image, &mut log_line))?
            .map_err(|fault| failed(NO_IMAGE, fault))
    }

    /// The container for this task: the one that an earlier process of this satellite
    /// created for it, or a new one that replaces any other.
    fn container(
        &self,
        task_id: &str,
        artifact_url: &str,
        image: &str,
        parameters: &Parameters,
        environment: &Environment,
    ) -> Result<String, JobError> {
        const REASON: &str = "Failed to create container";
        let name = container_name(&self.deployment_id);
        let settings = self.shared.settings();
        let gpus = parameters.gpus();
        let spec = ContainerSpec {
            name: &name,
            image,
            port: settings.model_port,
            labels: vec![
                (engine::DEPLOYMENT, self.deployment_id.clone()),
                (engine::MODEL, model_id(artifact_url)),
                (engine::INSTANCE, self.shared.instance_id().to_owned()),
                (engine::TASK, task_id.to_owned()),
            ],
            environment,
            restart_policy: &parameters.restart_policy,
            memory_limit: parameters.memory_limit.as_deref(),
            cpu_limit: parameters.cpu_limit.as_deref(),
            gpus: gpus.as_deref(),
        };
        for attempt in 1.. {
            if let Some(earlier) = self.earlier_container(task_id)? {
                self.shared.engine().adopt(&earlier.id, environment);
                return Ok(earlier.id);
            }
            // Not `self.engine`: an engine that becomes unavailable during the call may
            // have created the container, which the next attempt then finds.
            let fault = match self.shared.engine().start(&spec) {
                Ok(id) => return Ok(id),
                Err(fault) => fault,
            };
            match fault {
                Fault::NoEngine(_) => {
                    log::warn!("deployment {}: retrying: {fault}", self.deployment_id);
                    self.shared.set_engine_unavailable(&self.cx, &fault);
                    self.pause(Duration::from_secs(1))?;
                }
                Fault::NoImage(_) => return Err(failed(NO_IMAGE, fault)),
                Fault::NoNetwork(_) if attempt < 4 => self.network()?,
                Fault::TimedOut(_) if attempt < 4 => {}
                Fault::Other(_) if self.is_engine_unavailable(&fault) => {
                    self.pause(POLL_INTERVAL)?
                }
                Fault::NameTaken(_) if attempt < 4 => self.remove_conflicting(&name)?,
                _ => return Err(failed(REASON, fault)),
            }
        }
        unreachable!("the loop has no end condition")
    }

    /// The running container that was created for this task. Removes all others.
    fn earlier_container(&self, task_id: &str) -> Result<Option<Container>, JobError> {
        let mut found = None;
        for container in self.containers()? {
            let is_for_this_task = container.task_id.as_deref() == Some(task_id);
            if is_for_this_task && container.is_running() && found.is_none() {
                found = Some(container);
            } else {
                self.remove(&container.id)?;
            }
        }
        Ok(found)
    }

    /// Removes the container that has this name, if it belongs to this deployment.
    fn remove_conflicting(&self, name: &str) -> Result<(), JobError> {
        let found = self.engine(|engine| engine.container(name).transpose())?;
        match found.map_err(|fault| failed("Failed to create container", fault))? {
            Some(container) if container.deployment_id == self.deployment_id => {
                self.remove(&container.id)
            }
            Some(_) => {
                let text =
                    format!("a container that does not belong to this deployment is named {name}");
                Err(failed("Failed to create container", text))
            }
            None => Ok(()),
        }
    }

    fn wait_until_healthy(
        &self,
        id: &str,
        timeout: Duration,
        environment: &Environment,
        last_lines: impl Fn() -> String,
    ) -> Result<u16, JobError> {
        let models = Models::new();
        let end = Instant::now() + timeout;
        let container_port = self.shared.settings().model_port;
        let mut may_restart = true;
        let mut healthy = None;
        loop {
            let container = self.engine(|engine| engine.container(id).transpose())?;
            let container = container.map_err(|fault| failed("Failed to deploy model", fault))?;
            match &container {
                None => return Err(failed("Container stopped or not found", "it was removed")),
                // A stopping engine stops its containers: that is not the model's failure.
                Some(container) if container.was_stopped() && may_restart => {
                    may_restart = false;
                    log::info!("container {} was stopped; restarting it", container.name);
                    self.engine(|engine| engine.restart(id, &|| Ok(environment.clone())))?
                        .map_err(|fault| failed("Container stopped or not found", fault))?;
                }
                Some(container) if container.is_failing() => {
                    let text = format!(
                        "it exited with exit code {} after {} restarts; {}",
                        container.exit_code,
                        container.restarts,
                        last_lines()
                    );
                    return Err(failed("Container stopped or not found", text));
                }
                Some(_) => {}
            }
            let current = container.and_then(|c| Some((c.port(container_port)?, c.restarts)));
            // It still runs, so no other program answered at its port.
            if let Some((port, _)) = current.filter(|_| current == healthy) {
                return Ok(port);
            }
            // Checks the model more often than the container, which costs a process.
            for _ in 0..4 {
                if current.is_some_and(|(port, _)| models.is_healthy(port)) {
                    healthy = current;
                    break;
                }
                if Instant::now() >= end {
                    let lines = last_lines();
                    let text = format!("not healthy within {timeout:.0?}; {lines}");
                    return Err(failed("healthcheck timeout", text));
                }
                self.pause(POLL_INTERVAL)?;
            }
        }
    }

    fn finalize(&self, deployment: &Deployment, port: u16) -> Result<String, JobError> {
        const REASON: &str = "failed to finalize deployment";
        let route = Route::open(&Models::new(), deployment, port, self.shared.monitoring());
        let inference_url = format!("/deployments/{}", self.deployment_id);
        let schemas = route.public_schemas();
        // A deletion that was requested in the meantime must not be overwritten.
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
            return Err(JobError::Cancelled(Cancelled::Deleted));
        }
        self.shared.routes().insert(route);
        let monitoring = self.shared.monitoring();
        monitoring.note_status(&self.deployment_id, "active");
        Ok(inference_url)
    }

    /// Sets the deployment's status to failed. The SDK logs the failure with the task.
    fn mark_failed(&self, failure: &Failure) -> Result<(), JobError> {
        let marked = self.platform(|platform| {
            set_status(
                platform,
                &self.deployment_id,
                DeploymentStatus::Failed,
                failure,
            )
        })?;
        let monitoring = self.shared.monitoring();
        monitoring.note_status(&self.deployment_id, "failed");
        if let Err(error) = marked {
            log::warn!(
                "deployment {}: cannot update its status: {error}",
                self.deployment_id
            );
        }
        Ok(())
    }

    /// All containers of this deployment.
    pub fn containers(&self) -> Result<Vec<Container>, JobError> {
        self.engine(|engine| engine.containers_of(&self.deployment_id))?
            .map_err(|fault| failed("Failed to create container", fault))
    }

    pub fn remove(&self, id: &str) -> Result<(), JobError> {
        self.engine(|engine| engine.remove(id))?
            .map(drop)
            .map_err(|fault| failed("Failed to remove container.", fault))
    }

    /// Removes the deployment's containers; true if there were any.
    pub fn remove_containers(&self) -> Result<bool, JobError> {
        self.shared.routes().remove(&self.deployment_id);
        let containers = self.containers()?;
        for container in &containers {
            self.remove(&container.id)?;
        }
        Ok(!containers.is_empty())
    }
}

/// Reports the result: the deployment's status and the task's result.
fn finish(job: &Job, end: Result<String, JobError>, later: Later) {
    let id = &job.deployment_id;
    match end {
        Ok(inference_url) => {
            log::info!("deployment {id} is active at {inference_url}");
            later.done(json!({ "inference_url": inference_url }));
        }
        Err(JobError::Stopping) => later.leave_running(),
        Err(JobError::Cancelled(Cancelled::Deleted)) => {
            log::info!("deployment {id} is being deleted; deploy cancelled");
            let _ = job.remove_containers();
            later.fail(Failure::new("cancelled", "the deployment is being deleted"));
        }
        Err(JobError::Cancelled(Cancelled::Replaced)) => {
            later.fail(Failure::new("cancelled", "a later deploy replaced it"));
        }
        Err(JobError::Failed(failure)) => {
            let ends = [job.mark_failed(&failure), job.remove_containers().map(drop)];
            match ends
                .iter()
                .any(|end| matches!(end, Err(JobError::Stopping)))
            {
                true => later.leave_running(),
                false => later.fail(failure),
            }
        }
    }
}

/// Sets a deployment's status and error message, and nothing else. A pending deletion
/// keeps its status.
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

/// MD5 of the path in the artifact's URL, which is the same in every presigned URL.
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
