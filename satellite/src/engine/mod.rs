//! The container engine, used through its command line program: docker, podman or nerdctl.

mod call;
mod container;
mod fault;

pub use container::{Container, State};
pub use fault::Fault;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::Secret;

use self::call::Call;
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

/// Timeout for calls that only read.
const QUERY_TIMEOUT: Duration = Duration::from_secs(20);
/// Timeout for calls that create, start or remove.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(120);
/// How often the engine is asked whether a container is gone.
const REMOVAL_INTERVAL: Duration = Duration::from_millis(200);

/// An image may be large and the network slow.
const PULL_TIMEOUT: Duration = Duration::from_secs(3600);

/// One engine. Each method runs its program once, unless documented otherwise.
#[derive(Debug, Clone)]
pub struct Engine {
    program: String,
    host: Option<String>,
}

/// The specification of a container to create.
pub struct ContainerSpec<'a> {
    pub name: &'a str,
    pub image: &'a str,
    pub network: &'a str,
    /// The port in the container; published on loopback on a port that the engine chooses.
    pub port: u16,
    pub labels: BTreeMap<&'a str, String>,
    pub environment: BTreeMap<String, Secret>,
    pub restart_policy: &'a str,
    pub memory_limit: Option<&'a str>,
    pub cpu_limit: Option<&'a str>,
    pub gpus: Option<&'a str>,
}

impl Engine {
    pub fn new(settings: &Settings) -> Self {
        Engine {
            program: settings.docker.clone(),
            host: settings.docker_host.clone(),
        }
    }

    /// The engine's version. Succeeds only if the engine is available.
    pub fn version(&self) -> Result<String, Fault> {
        let format = match self.is_podman() {
            true => "{{.Client.Version}}",
            false => "{{.Server.Version}}",
        };
        let answer = self
            .call(["version", "--format", format])
            .run(QUERY_TIMEOUT)?;
        Ok(answer.trim().to_owned())
    }

    /// All containers that serve a deployment, of any satellite. Two calls.
    pub fn containers(&self) -> Result<Vec<Container>, Fault> {
        self.listed(&format!("label={DEPLOYMENT}"))
    }

    /// The containers that serve this deployment. Two calls.
    pub fn containers_of(&self, deployment_id: &str) -> Result<Vec<Container>, Fault> {
        let mut found = self.listed(&format!("label={DEPLOYMENT}={deployment_id}"))?;
        found.retain(|container| container.deployment_id == deployment_id);
        Ok(found)
    }

    fn listed(&self, filter: &str) -> Result<Vec<Container>, Fault> {
        let list = ["ps", "--all", "--quiet", "--no-trunc", "--filter", filter];
        let ids = self.call(list).run(QUERY_TIMEOUT)?;
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let inspected = self
            .call(["container", "inspect"])
            .arguments(&ids)
            .run(QUERY_TIMEOUT);
        match inspected {
            // One of them was removed between the two calls: inspect each.
            Err(Fault::NoContainer) => ids.iter().filter_map(|id| self.container(id)).collect(),
            answer => container::parse(&answer?),
        }
    }

    /// One container; `None` if it does not exist.
    pub fn container(&self, id: &str) -> Option<Result<Container, Fault>> {
        match self.call(["container", "inspect", id]).run(QUERY_TIMEOUT) {
            Err(Fault::NoContainer) => None,
            answer => answer
                .and_then(|json| container::parse(&json))
                .map(|mut found| found.pop())
                .transpose(),
        }
    }

    /// Creates and starts a container; returns its id.
    pub fn start(&self, spec: &ContainerSpec<'_>) -> Result<String, Fault> {
        let port = format!("127.0.0.1::{}", spec.port);
        let mut call = self.call(["run", "--detach", "--name", spec.name]);
        call = call
            .arguments(&["--network", spec.network, "--publish", &port])
            .arguments(&["--restart", spec.restart_policy]);
        if !self.is_podman() {
            // Podman adds this host name by default.
            call = call.arguments(&["--add-host", "host.docker.internal:host-gateway"]);
        }
        for (name, value) in &spec.labels {
            call = call.arguments(&["--label", &format!("{name}={value}")]);
        }
        let limits = [
            ("--memory", spec.memory_limit),
            ("--cpus", spec.cpu_limit),
            ("--gpus", spec.gpus),
        ];
        for (option, limit) in limits {
            if let Some(limit) = limit {
                call = call.arguments(&[option, limit]);
            }
        }
        call = call.environment(&spec.environment)?;
        let answer = call.arguments(&["--", spec.image]).run(CHANGE_TIMEOUT)?;
        Ok(answer.lines().last().unwrap_or_default().trim().to_owned())
    }

    /// Starts a container that has exited.
    pub fn restart(&self, id: &str) -> Result<(), Fault> {
        self.call(["start", id]).run(CHANGE_TIMEOUT).map(drop)
    }

    /// Stops a container gracefully and removes it. False if it did not exist. Two calls.
    pub fn remove(&self, id: &str) -> Result<bool, Fault> {
        match self.call(["stop", "--time", "5", id]).run(CHANGE_TIMEOUT) {
            Err(Fault::NoContainer) => return Ok(false),
            Err(fault @ Fault::NoEngine(_)) => return Err(fault),
            _ => {} // the result of the next call decides
        }
        let end = Instant::now() + CHANGE_TIMEOUT;
        let mut is_being_removed = false;
        loop {
            let call = self.call(["rm", "--force", "--volumes", id]);
            match call.run(CHANGE_TIMEOUT) {
                Err(Fault::NoContainer) => return Ok(is_being_removed),
                // The engine goes on with a call whose program was killed.
                Err(Fault::BeingRemoved(_)) if Instant::now() < end => {
                    is_being_removed = true;
                    thread::sleep(REMOVAL_INTERVAL);
                }
                answer => return answer.map(|_| true),
            }
        }
    }

    /// The last lines of a container's log. Only a masker can read them.
    pub fn last_lines(&self, id: &str) -> Output {
        let call = self.call(["logs", "--tail", "30", id]);
        let lines = call.run_with_stderr(QUERY_TIMEOUT);
        Output::new(lines.unwrap_or_else(|fault| format!("(no logs: {fault})")))
    }

    /// Creates the network unless it exists.
    pub fn ensure_network(&self, name: &str) -> Result<(), Fault> {
        match self
            .call(["network", "inspect", "--", name])
            .run(QUERY_TIMEOUT)
        {
            Err(Fault::NoNetwork(_)) => {}
            answer => return answer.map(drop),
        }
        let label = format!("{INSTANCE}=satellite");
        let create = ["network", "create", "--driver", "bridge", "--label", &label];
        match self
            .call(create)
            .arguments(&["--", name])
            .run(QUERY_TIMEOUT)
        {
            Ok(_) => {
                log::info!("created the network {name}");
                Ok(())
            }
            // Another process created it in the meantime.
            Err(Fault::Other(text)) if text.contains("already exists") => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    pub fn has_network(&self, name: &str) -> Result<bool, Fault> {
        match self
            .call(["network", "inspect", "--", name])
            .run(QUERY_TIMEOUT)
        {
            Err(Fault::NoNetwork(_)) => Ok(false),
            answer => answer.map(|_| true),
        }
    }

    pub fn has_image(&self, image: &str) -> Result<bool, Fault> {
        let id = ["image", "inspect", "--format", "{{.Id}}", "--", image];
        match self.call(id).run(QUERY_TIMEOUT) {
            Err(Fault::NoImage(_)) => Ok(false),
            answer => answer.map(|_| true),
        }
    }

    /// Pulls an image; each line of the program's progress output is passed to `on_line`.
    pub fn pull(&self, image: &str, on_line: impl FnMut(&str)) -> Result<(), Fault> {
        self.call(["pull", "--", image])
            .run_streaming(PULL_TIMEOUT, on_line)
    }

    /// Creates an image from a tar archive.
    #[cfg(feature = "demo")]
    pub fn import(&self, archive: &[u8], name: &str, changes: &[&str]) -> Result<(), Fault> {
        let mut call = self.call(["import"]);
        for change in changes {
            call = call.arguments(&["--change", change]);
        }
        call.arguments(&["-", name])
            .input(archive)
            .run(CHANGE_TIMEOUT)
            .map(drop)
    }

    #[cfg(feature = "demo")]
    pub fn remove_image(&self, name: &str) -> Result<(), Fault> {
        self.call(["image", "rm", "--force", name])
            .run(CHANGE_TIMEOUT)
            .map(drop)
    }

    #[cfg(feature = "demo")]
    pub fn remove_network(&self, name: &str) -> Result<(), Fault> {
        self.call(["network", "rm", name])
            .run(CHANGE_TIMEOUT)
            .map(drop)
    }

    fn is_podman(&self) -> bool {
        self.program.ends_with("podman")
    }

    fn call<const N: usize>(&self, arguments: [&str; N]) -> Call {
        Call::new(&self.program, self.host.as_deref()).arguments(&arguments)
    }
}
