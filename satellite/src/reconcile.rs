//! Reconcile: what the platform believes and what the engine runs, brought
//! together, at the start and then again and again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use satellite_sdk::{Context, Deployment, DeploymentStatus, Failure, PlatformClient};

use crate::deploy::set_status;
use crate::engine::{Container, Fault, State};
use crate::fleet::Fleet;
use crate::gateway::Route;
use crate::model::Models;

/// Keeps what has to be remembered from round to round.
pub struct Reconciler {
    fleet: Fleet,
    models: Models,
    /// Containers that nobody seems to want, and since when.
    unwanted: HashMap<String, Instant>,
    /// Models that did not answer, and how often in a row.
    misses: HashMap<String, u32>,
    /// Containers that were started again, once each.
    started: HashSet<String>,
}

/// A platform that is away is asked again in the next round.
const PATIENCE: Duration = Duration::from_secs(10);

/// A model may be slow once.
const MISSES: u32 = 2;

impl Reconciler {
    pub fn new(fleet: Fleet) -> Self {
        Reconciler {
            fleet,
            models: Models::new(),
            unwanted: HashMap::new(),
            misses: HashMap::new(),
            started: HashSet::new(),
        }
    }

    /// Rounds, until the satellite stops, in a thread of their own: a model that
    /// hangs holds up no task.
    pub fn run(mut self, cx: &Context) {
        let interval = self.fleet.settings().reconcile_interval;
        loop {
            let round = catch_unwind(AssertUnwindSafe(|| self.round(cx)));
            match round {
                Ok(Ok(())) => {}
                Ok(Err(_)) if cx.is_stopping() => {}
                Ok(Err(failure)) => log::warn!("reconcile: {}", failure.error()),
                Err(_) => log::error!("reconcile panicked; it comes round again"),
            }
            if !cx.sleep(interval) {
                return;
            }
        }
    }

    /// One round. What goes wrong is seen to in the next one.
    fn round(&mut self, cx: &Context) -> Result<(), Failure> {
        let begun = Instant::now();
        let containers = match self.fleet.engine().containers() {
            Ok(containers) => containers,
            Err(fault @ Fault::NoEngine(_)) => {
                self.fleet.engine_is_away(cx, &fault);
                return Ok(());
            }
            Err(fault) => return Err(fault.into()),
        };
        self.fleet.engine_is_back(cx);
        let platform = cx.platform().within(PATIENCE);
        let deployments = platform.list_deployments()?;

        let mut by_deployment: BTreeMap<&str, Vec<Container>> = BTreeMap::new();
        let mut unwanted = Vec::new();
        let known: HashSet<&str> = deployments.iter().map(|d| d.id.as_str()).collect();
        for container in containers {
            match known.get(container.deployment_id.as_str()) {
                Some(id) => by_deployment.entry(id).or_default().push(container),
                None => unwanted.push(container),
            }
        }
        for deployment in &deployments {
            let containers = by_deployment.remove(&*deployment.id).unwrap_or_default();
            // What was seen of one that a job works on, or has, is out of date.
            if self.fleet.queue().was_busy_since(&deployment.id, begun) {
                continue;
            }
            match self.see_to(&platform, deployment, containers) {
                Ok(containers) => unwanted.extend(containers),
                Err(failure) => log::warn!("deployment {}: {}", deployment.id, failure.error()),
            }
        }
        self.fleet.queue().remember_only(|id| known.contains(id));
        self.fleet.routes().retain(|id| known.contains(id));
        self.misses.retain(|id, _| known.contains(id.as_str()));
        self.clear_away(unwanted);
        Ok(())
    }

    /// One deployment; returns the containers that it has no use for.
    fn see_to(
        &mut self,
        platform: &PlatformClient,
        deployment: &Deployment,
        mut containers: Vec<Container>,
    ) -> Result<Vec<Container>, Failure> {
        match deployment.status {
            DeploymentStatus::Active | DeploymentStatus::NotResponding => {
                // The newest that runs serves; any other is one too many.
                containers.sort_by_key(|c| (!c.is_running(), std::cmp::Reverse(c.created.clone())));
                let surplus = containers.split_off(containers.len().min(1));
                self.follow(platform, deployment, containers.first())?;
                for container in surplus.iter().filter(|c| self.fleet.owns(c)) {
                    log::warn!("{} is one container too many: removed", container.name);
                    self.fleet.engine().remove(&container.id)?;
                }
                Ok(Vec::new())
            }
            // Whoever began this is gone; a task that still wants it has a job.
            DeploymentStatus::Pending | DeploymentStatus::Failed => Ok(containers),
            // The undeploy task, or the user, decides.
            _ => Ok(Vec::new()),
        }
    }

    /// A deployment that should answer: whether it does.
    fn follow(
        &mut self,
        platform: &PlatformClient,
        deployment: &Deployment,
        container: Option<&Container>,
    ) -> Result<(), Failure> {
        let id = &deployment.id;
        let inside = self.fleet.settings().model_port;
        let running = container.filter(|c| c.is_running());
        let at = running.and_then(|c| Some((c, c.port(inside)?)));
        if let Some((container, port)) = at.filter(|(_, port)| self.models.is_healthy(*port)) {
            self.misses.remove(id);
            return self.is_well(platform, deployment, &container.id, port);
        }
        if let Some(container) = container {
            self.start_once_more(container);
        }
        let misses = self.misses.entry(id.clone()).or_default();
        *misses += 1;
        let runs = at.is_some();
        if deployment.status == DeploymentStatus::NotResponding || (runs && *misses < MISSES) {
            return Ok(());
        }
        let reason = match container.map(|c| c.state) {
            None => "container not found",
            Some(State::Running) => "healthcheck failed",
            Some(_) => "container is not running",
        };
        log::warn!("deployment {id} does not respond: {reason}");
        let failure = Failure::new(reason, format_args!("seen by the satellite: {reason}"));
        Ok(set_status(
            platform,
            id,
            DeploymentStatus::NotResponding,
            &failure,
        )?)
    }

    fn is_well(
        &mut self,
        platform: &PlatformClient,
        deployment: &Deployment,
        container_id: &str,
        port: u16,
    ) -> Result<(), Failure> {
        let id = &deployment.id;
        self.started.remove(container_id);
        let routes = self.fleet.routes();
        if routes.get(id).is_none_or(|route| route.port != port) {
            log::info!("deployment {id} answers on port {port}");
            routes.insert(Route::open(&self.models, deployment, port));
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

    /// After the host was started anew, containers are there and do not run.
    fn start_once_more(&mut self, container: &Container) {
        let ended = container.state == State::Ended && self.fleet.owns(container);
        if ended && self.started.insert(container.id.clone()) {
            log::info!("{} has ended: started again", container.name);
            if let Err(fault) = self.fleet.engine().start_again(&container.id) {
                log::warn!("{} does not start: {fault}", container.name);
            }
        }
    }

    /// Removes what has been unwanted for long enough, and is this satellite's.
    fn clear_away(&mut self, unwanted: Vec<Container>) {
        let grace = self.fleet.settings().orphan_grace;
        let ids: HashSet<&str> = unwanted.iter().map(|c| c.id.as_str()).collect();
        self.unwanted.retain(|id, _| ids.contains(id.as_str()));
        for container in unwanted.iter().filter(|c| self.fleet.owns(c)) {
            let since = self.unwanted.entry(container.id.clone());
            if since.or_insert_with(Instant::now).elapsed() < grace {
                continue;
            }
            log::info!("{} belongs to no deployment: removed", container.name);
            if let Err(fault) = self.fleet.engine().remove(&container.id) {
                log::warn!("{} cannot be removed: {fault}", container.name);
            }
        }
    }
}
