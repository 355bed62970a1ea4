//! The engine that runs model servers: a container engine, or the satellite itself, which
//! runs them as its child processes. A "container" is a model server of either.

mod call;
mod container;
mod docker;
mod fault;
#[cfg(target_os = "linux")]
mod process;

pub use container::{Container, State};
pub use docker::Docker;
pub use fault::Fault;
#[cfg(target_os = "linux")]
pub use process::{LAUNCH, launch};

use satellite_sdk::{Failure, Secret};

use crate::masker::Output;
use crate::settings::Settings;

/// The label with the id of the deployment that a container serves.
pub const DEPLOYMENT: &str = "df.deployment_id";

/// The label with the id of the artifact that it serves.
pub const MODEL: &str = "df.model_id";

/// The label with the instance id of the satellite that created the container.
pub const INSTANCE: &str = "df.satellite";

/// The label with the id of the task that the container was created for.
pub const TASK: &str = "df.task_id";

/// The variables of a container. The last of one name wins.
#[derive(Clone, Default)]
pub struct Environment(Vec<(String, Secret)>);

impl Environment {
    pub fn set(&mut self, name: &str, value: Secret) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, earlier)) => *earlier = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// Gets a container's variables from the platform. Only an engine that does not keep them
/// calls it: the process engine writes no secret to a file.
pub type EnvironmentSource<'a> = &'a dyn Fn() -> Result<Environment, Failure>;

/// The specification of a container to create.
pub struct ContainerSpec<'a> {
    pub name: &'a str,
    /// With the process engine the path of a program.
    pub image: &'a str,
    /// The port in the container; published on loopback on a port that the engine chooses.
    pub port: u16,
    pub labels: Vec<(&'static str, String)>,
    pub environment: &'a Environment,
    pub restart_policy: &'a str,
    pub memory_limit: Option<&'a str>,
    pub cpu_limit: Option<&'a str>,
    pub gpus: Option<&'a str>,
}

impl ContainerSpec<'_> {
    fn label(&self, name: &str) -> Option<&str> {
        let label = self.labels.iter().find(|(other, _)| *other == name);
        label.map(|(_, value)| value.as_str())
    }
}

/// What deploy, undeploy and reconcile need of an engine.
pub trait Engine: Send + Sync {
    /// Begins to supervise the containers of an earlier process of this satellite. Call it
    /// once, in the one process that may change containers.
    fn begin(&self) {}

    /// Ends the containers that cannot outlive this satellite.
    fn end(&self) {}

    /// The engine's version. Succeeds only if the engine is available.
    fn version(&self) -> Result<String, Fault>;

    /// All containers that serve a deployment, of any satellite.
    fn containers(&self) -> Result<Vec<Container>, Fault>;

    /// The containers that serve this deployment.
    fn containers_of(&self, deployment_id: &str) -> Result<Vec<Container>, Fault>;

    /// One container, by its id or name; `None` if it does not exist.
    fn container(&self, id: &str) -> Option<Result<Container, Fault>>;

    /// Creates the network unless it exists.
    fn ensure_network(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn has_image(&self, image: &str) -> Result<bool, Fault>;

    /// Pulls an image; each line of the program's progress output is passed to `on_line`.
    fn pull(&self, image: &str, on_line: &mut dyn FnMut(&str)) -> Result<(), Fault>;

    /// Creates and starts a container; returns its id.
    fn start(&self, spec: &ContainerSpec<'_>) -> Result<String, Fault>;

    /// Starts a container that has exited.
    fn restart(&self, id: &str, environment: EnvironmentSource<'_>) -> Result<(), Fault>;

    /// Gives an engine that does not keep the variables of a running container those with
    /// which it may restart it.
    fn adopt(&self, _id: &str, _environment: &Environment) {}

    /// Stops a container gracefully and removes it. False if it did not exist.
    fn remove(&self, id: &str) -> Result<bool, Fault>;

    /// The last lines of a container's log. Only a masker can read them.
    fn last_lines(&self, id: &str) -> Output;
}

/// The engine that the settings select.
pub fn open(settings: &Settings) -> Box<dyn Engine> {
    #[cfg(target_os = "linux")]
    if settings.engine.is_process() {
        return Box::new(process::Processes::new(settings));
    }
    Box::new(Docker::new(settings))
}
