//! The container engine, spoken to through its command line: docker, podman or
//! nerdctl.

mod call;
mod container;
mod fault;

pub use container::{Container, State};
pub use fault::Fault;

use std::collections::BTreeMap;
use std::time::Duration;

use satellite_sdk::Secret;

use self::call::Call;
use crate::masker::Output;
use crate::settings::Settings;

/// The label that says which deployment a container serves.
pub const DEPLOYMENT: &str = "df.deployment_id";

/// The label that says which artifact it serves.
pub const MODEL: &str = "df.model_id";

/// The label that says whose container it is: a mark of the satellite's token.
pub const OWNER: &str = "df.satellite";

/// The label that says which task a container was made for.
pub const TASK: &str = "df.task_id";

const QUICK: Duration = Duration::from_secs(20);
const SLOW: Duration = Duration::from_secs(120);

/// An image may be large and the line slow.
const PULL: Duration = Duration::from_secs(3600);

/// One engine. Each method is one call of its program, unless it says more.
#[derive(Debug, Clone)]
pub struct Engine {
    program: String,
    host: Option<String>,
}

/// A container to be made.
pub struct Order<'a> {
    pub name: &'a str,
    pub image: &'a str,
    pub network: &'a str,
    /// The port inside, published on loopback under one of the system's choice.
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

    /// The engine's version: it is there and answers.
    pub fn version(&self) -> Result<String, Fault> {
        let format = match self.is_podman() {
            true => "{{.Client.Version}}",
            false => "{{.Server.Version}}",
        };
        let answer = self.call(["version", "--format", format]).run(QUICK)?;
        Ok(answer.trim().to_owned())
    }

    /// All containers that serve a deployment, whoever made them. Two calls.
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
        let ids = self.call(list).run(QUICK)?;
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let inspected = self
            .call(["container", "inspect"])
            .arguments(&ids)
            .run(QUICK);
        match inspected {
            // One of them went between the two calls: ask for each.
            Err(Fault::NoContainer) => ids.iter().filter_map(|id| self.container(id)).collect(),
            answer => container::parse(&answer?),
        }
    }

    /// One container; `None` where it is gone.
    pub fn container(&self, id: &str) -> Option<Result<Container, Fault>> {
        match self.call(["container", "inspect", id]).run(QUICK) {
            Err(Fault::NoContainer) => None,
            answer => answer
                .and_then(|json| container::parse(&json))
                .map(|mut found| found.pop())
                .transpose(),
        }
    }

    /// Makes a container and starts it; returns its id.
    pub fn start(&self, order: &Order<'_>) -> Result<String, Fault> {
        let port = format!("127.0.0.1::{}", order.port);
        let mut call = self.call(["run", "--detach", "--name", order.name]);
        call = call
            .arguments(&["--network", order.network, "--publish", &port])
            .arguments(&["--restart", order.restart_policy]);
        if !self.is_podman() {
            // Podman gives the host this name by itself.
            call = call.arguments(&["--add-host", "host.docker.internal:host-gateway"]);
        }
        for (name, value) in &order.labels {
            call = call.arguments(&["--label", &format!("{name}={value}")]);
        }
        let limits = [
            ("--memory", order.memory_limit),
            ("--cpus", order.cpu_limit),
            ("--gpus", order.gpus),
        ];
        for (option, limit) in limits {
            if let Some(limit) = limit {
                call = call.arguments(&[option, limit]);
            }
        }
        call = call.environment(&order.environment)?;
        let answer = call.arguments(&["--", order.image]).run(SLOW)?;
        Ok(answer.lines().last().unwrap_or_default().trim().to_owned())
    }

    /// Starts a container that has ended.
    pub fn start_again(&self, id: &str) -> Result<(), Fault> {
        self.call(["start", id]).run(SLOW).map(drop)
    }

    /// Ends a container, its processes asked first, and removes it. False where
    /// there was none. Two calls.
    pub fn remove(&self, id: &str) -> Result<bool, Fault> {
        match self.call(["stop", "--time", "5", id]).run(SLOW) {
            Err(Fault::NoContainer) => return Ok(false),
            Err(fault @ Fault::NoEngine(_)) => return Err(fault),
            _ => {} // whatever it was, the next call decides
        }
        match self.call(["rm", "--force", "--volumes", id]).run(SLOW) {
            Err(Fault::NoContainer) => Ok(false),
            answer => answer.map(|_| true),
        }
    }

    /// The last lines that a container wrote; to be read through a masker.
    pub fn last_lines(&self, id: &str) -> Output {
        let call = self.call(["logs", "--tail", "30", id]);
        let lines = call.run_with_stderr(QUICK);
        Output::new(lines.unwrap_or_else(|fault| format!("(no logs: {fault})")))
    }

    /// Makes the network unless it is there.
    pub fn ensure_network(&self, name: &str) -> Result<(), Fault> {
        match self.call(["network", "inspect", "--", name]).run(QUICK) {
            Err(Fault::NoNetwork(_)) => {}
            answer => return answer.map(drop),
        }
        let label = format!("{OWNER}=satellite");
        let create = ["network", "create", "--driver", "bridge", "--label", &label];
        match self.call(create).arguments(&["--", name]).run(QUICK) {
            Ok(_) => {
                log::info!("made the network {name}");
                Ok(())
            }
            // Somebody else was quicker.
            Err(Fault::Other(text)) if text.contains("already exists") => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    pub fn has_network(&self, name: &str) -> Result<bool, Fault> {
        match self.call(["network", "inspect", "--", name]).run(QUICK) {
            Err(Fault::NoNetwork(_)) => Ok(false),
            answer => answer.map(|_| true),
        }
    }

    pub fn has_image(&self, image: &str) -> Result<bool, Fault> {
        let id = ["image", "inspect", "--format", "{{.Id}}", "--", image];
        match self.call(id).run(QUICK) {
            Err(Fault::NoImage(_)) => Ok(false),
            answer => answer.map(|_| true),
        }
    }

    /// Fetches an image; what the program says of its progress goes to `told`.
    pub fn pull(&self, image: &str, told: impl FnMut(&str)) -> Result<(), Fault> {
        self.call(["pull", "--", image]).run_told(PULL, told)
    }

    /// Makes an image of a tar archive that the caller writes.
    #[cfg(feature = "demo")]
    pub fn import(&self, archive: &[u8], name: &str, changes: &[&str]) -> Result<(), Fault> {
        let mut call = self.call(["import"]);
        for change in changes {
            call = call.arguments(&["--change", change]);
        }
        call.arguments(&["-", name])
            .input(archive)
            .run(SLOW)
            .map(drop)
    }

    #[cfg(feature = "demo")]
    pub fn remove_image(&self, name: &str) -> Result<(), Fault> {
        self.call(["image", "rm", "--force", name])
            .run(SLOW)
            .map(drop)
    }

    #[cfg(feature = "demo")]
    pub fn remove_network(&self, name: &str) -> Result<(), Fault> {
        self.call(["network", "rm", name]).run(SLOW).map(drop)
    }

    fn is_podman(&self) -> bool {
        self.program.ends_with("podman")
    }

    fn call<const N: usize>(&self, arguments: [&str; N]) -> Call {
        Call::new(&self.program, self.host.as_deref()).arguments(&arguments)
    }
}
