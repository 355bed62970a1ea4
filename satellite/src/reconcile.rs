//! Reconcile: compares the platform's deployments with the engine's containers and
//! resolves the differences, at the start and then at an interval.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use satellite_sdk::{Context, Deployment, DeploymentStatus, Failure, PlatformClient};

use crate::deploy::set_status;
use crate::engine::{Container, Fault, State};
use crate::environment;
use crate::gateway::Route;
use crate::model::Models;
use crate::shared::Shared;

/// The state that is kept between two runs.
pub struct Reconciler {
    shared: Shared,
    models: Models,
    /// Containers without a deployment, and since when.
    orphans: HashMap<String, Instant>,
    /// Deployments with failed health checks, and how many in a row.
    failed_checks: HashMap<String, u32>,
    /// Containers that were restarted; each is restarted once until it is healthy.
    restarted: HashSet<String>,
}

/// Timeout for the platform's response; the next run tries again.
const PLATFORM_TIMEOUT: Duration = Duration::from_secs(10);

/// A running model does not respond after this many failed checks: one may be slow.
const MAX_FAILED_CHECKS: u32 = 2;

impl Reconciler {
    pub fn new(shared: Shared) -> Self {
        Reconciler {
            shared,
            models: Models::new(),
            orphans: HashMap::new(),
            failed_checks: HashMap::new(),
            restarted: HashSet::new(),
        }
    }

    /// Runs at the interval until the satellite stops, in its own thread, so that a model
    /// that hangs does not block tasks.
    pub fn run(mut self, cx: &Context) {
        let interval = self.shared.settings().reconcile_interval;
        loop {
            let result = catch_unwind(AssertUnwindSafe(|| self.run_once(cx)));
            match result {
                Ok(Ok(())) => {}
                Ok(Err(_)) if cx.is_stopping() => {}
                Ok(Err(failure)) => log::warn!("reconcile: {}", failure.error()),
                Err(_) => log::error!("reconcile panicked; it runs again after the interval"),
            }
            if !cx.sleep(interval) {
                return;
            }
        }
    }

    /// One run. The next run retries what failed.
    fn run_once(&mut self, cx: &Context) -> Result<(), Failure> {
        let begun = Instant::now();
        let containers = match self.shared.engine().containers() {
            Ok(containers) => containers,
            Err(fault @ Fault::NoEngine(_)) => {
                self.shared.set_engine_unavailable(cx, &fault);
                return Ok(());
            }
            Err(fault) => return Err(fault.into()),
        };
        self.shared.set_engine_available(cx);
        let platform = cx.platform().within(PLATFORM_TIMEOUT);
        let deployments = platform.list_deployments()?;

        let known: HashSet<&str> = deployments.iter().map(|d| d.id.as_str()).collect();
        let (mut deployed, mut orphans): (Vec<_>, Vec<_>) = containers
            .into_iter()
            .partition(|container| known.contains(container.deployment_id.as_str()));
        for deployment in &deployments {
            self.shared.monitoring().note(deployment);
            let containers;
            (containers, deployed) = deployed
                .into_iter()
                .partition(|container| container.deployment_id == deployment.id);
            // A job has changed these containers since they were listed.
            if self.shared.queue().was_active_since(&deployment.id, begun) {
                continue;
            }
            match self.reconcile_deployment(&platform, deployment, containers) {
                Ok(containers) => orphans.extend(containers),
                Err(failure) => log::warn!("deployment {}: {}", deployment.id, failure.error()),
            }
        }
        self.shared.queue().retain(|id| known.contains(id));
        self.shared.routes().retain(|id| known.contains(id));
        self.shared.monitoring().retain(|id| known.contains(id));
        self.failed_checks
            .retain(|id, _| known.contains(id.as_str()));
        self.remove_orphans(orphans);
        Ok(())
    }

    /// Reconciles one deployment; returns its orphaned containers.
    fn reconcile_deployment(
        &mut self,
        platform: &PlatformClient,
        deployment: &Deployment,
        mut containers: Vec<Container>,
    ) -> Result<Vec<Container>, Failure> {
        match deployment.status {
            DeploymentStatus::Active | DeploymentStatus::NotResponding => {
                // The newest running container serves; the others are surplus.
                containers.sort_by_key(|c| (!c.is_running(), std::cmp::Reverse(c.created.clone())));
                let surplus = containers.split_off(containers.len().min(1));
                self.check_health(platform, deployment, containers.first())?;
                for container in surplus.iter().filter(|c| self.shared.owns(c)) {
                    log::warn!("removing surplus container {}", container.name);
                    self.shared.engine().remove(&container.id)?;
                }
                Ok(Vec::new())
            }
            // No job works on it: the process that started the deploy has ended.
            DeploymentStatus::Pending | DeploymentStatus::Failed => Ok(containers),
            // Left to the undeploy task or to the user.
            _ => Ok(Vec::new()),
        }
    }

    /// Checks the health of a deployment that should respond, and updates its status.
    fn check_health(
        &mut self,
        platform: &PlatformClient,
        deployment: &Deployment,
        container: Option<&Container>,
    ) -> Result<(), Failure> {
        let id = &deployment.id;
        let container_port = self.shared.settings().model_port;
        let running = container.filter(|c| c.is_running());
        let endpoint = running.and_then(|c| Some((c, c.port(container_port)?)));
        if let Some((container, port)) = endpoint.filter(|(_, port)| self.models.is_healthy(*port))
        {
            self.failed_checks.remove(id);
            return self.mark_healthy(platform, deployment, &container.id, port);
        }
        if let Some(container) = container {
            self.restart_once(platform, deployment, container);
        }
        let failed_checks = self.failed_checks.entry(id.clone()).or_default();
        *failed_checks += 1;
        let runs = endpoint.is_some();
        if deployment.status == DeploymentStatus::NotResponding
            || (runs && *failed_checks < MAX_FAILED_CHECKS)
        {
            return Ok(());
        }
        let reason = match container.map(|c| c.state) {
            None => "container not found",
            Some(State::Running) => "healthcheck failed",
            Some(_) => "container is not running",
        };
        log::warn!("deployment {id} does not respond: {reason}");
        let failure = Failure::new(reason, format_args!("reported by the satellite: {reason}"));
        Ok(set_status(
            platform,
            id,
            DeploymentStatus::NotResponding,
            &failure,
        )?)
    }

    fn mark_healthy(
        &mut self,
        platform: &PlatformClient,
        deployment: &Deployment,
        container_id: &str,
        port: u16,
    ) -> Result<(), Failure> {
        let id = &deployment.id;
        self.restarted.remove(container_id);
        let routes = self.shared.routes();
        let monitoring = self.shared.monitoring();
        let wanted = monitoring.is_wanted(deployment);
        let known = routes.get(id).filter(|route| route.port == port);
        let is_current = |route: &Arc<Route>| match route.permit.as_ref() {
            Some(watched) => wanted && watched.is_complete(),
            None => !wanted,
        };
        if known.is_none() {
            log::info!("deployment {id} is healthy on port {port}");
        }
        if !known.as_ref().is_some_and(is_current) {
            routes.insert(Route::open(&self.models, deployment, port, monitoring));
        }
        if deployment.status == DeploymentStatus::NotResponding {
            log::info!("deployment {id} responds again");
            platform.update_deployment(id, |update| {
                if update.status == DeploymentStatus::NotResponding {
                    update.status = DeploymentStatus::Active;
                    update.error_message = None;
                }
            })?;
        }
        Ok(())
    }

    /// After a reboot of the host, containers exist but do not run.
    fn restart_once(
        &mut self,
        platform: &PlatformClient,
        deployment: &Deployment,
        container: &Container,
    ) {
        let exited = container.state == State::Exited && self.shared.owns(container);
        if exited && self.restarted.insert(container.id.clone()) {
            log::info!("container {} exited; restarting it", container.name);
            let settings = self.shared.settings();
            let environment = || environment::fetch(platform, settings, deployment);
            if let Err(fault) = self.shared.engine().restart(&container.id, &environment) {
                log::warn!("cannot restart container {}: {fault}", container.name);
                // It was not started: the next run tries again.
                self.restarted.remove(&container.id);
            }
        }
    }

    /// Removes this satellite's containers that have been orphans for the grace period.
    fn remove_orphans(&mut self, orphans: Vec<Container>) {
        let grace = self.shared.settings().orphan_grace;
        let ids: HashSet<&str> = orphans.iter().map(|c| c.id.as_str()).collect();
        self.orphans.retain(|id, _| ids.contains(id.as_str()));
        for container in orphans.iter().filter(|c| self.shared.owns(c)) {
            let since = self.orphans.entry(container.id.clone());
            if since.or_insert_with(Instant::now).elapsed() < grace {
                continue;
            }
            log::info!(
                "removing container {}: it belongs to no deployment",
                container.name
            );
            if let Err(fault) = self.shared.engine().remove(&container.id) {
                log::warn!("cannot remove container {}: {fault}", container.name);
            }
        }
    }
}
