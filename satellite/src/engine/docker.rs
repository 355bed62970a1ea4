//! A container engine, used through its command line program: docker, podman or nerdctl.

use std::thread;
use std::time::{Duration, Instant};

use super::call::Call;
use super::container;
use super::{Container, ContainerSpec, Engine, EnvironmentSource, Fault};
use super::{DEPLOYMENT, INSTANCE};
use crate::masker::Output;
use crate::settings::Settings;

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
pub struct Docker {
    program: String,
    host: Option<String>,
    network: String,
    stop_timeout: Duration,
}

impl Docker {
    pub fn new(settings: &Settings) -> Self {
        Docker {
            program: settings.docker.clone(),
            host: settings.docker_host.clone(),
            network: settings.network.clone(),
            stop_timeout: settings.stop_timeout(),
        }
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

    pub fn has_network(&self, name: &str) -> Result<bool, Fault> {
        match self
            .call(["network", "inspect", "--", name])
            .run(QUERY_TIMEOUT)
        {
            Err(Fault::NoNetwork(_)) => Ok(false),
            answer => answer.map(|_| true),
        }
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

    /// The address of this host in the network, if the engine runs on this host.
    #[cfg(feature = "demo")]
    pub fn gateway_of_network(&self) -> Option<std::net::IpAddr> {
        let format = "{{(index .IPAM.Config 0).Gateway}}";
        let inspect = [
            "network",
            "inspect",
            "--format",
            format,
            "--",
            &self.network,
        ];
        let answer = self.call(inspect).run(QUERY_TIMEOUT).ok()?;
        let address = answer.trim().parse().ok()?;
        let is_local = std::net::TcpListener::bind((address, 0)).is_ok();
        is_local.then_some(address)
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

impl Engine for Docker {
    fn version(&self) -> Result<String, Fault> {
        let format = match self.is_podman() {
            true => "{{.Client.Version}}",
            false => "{{.Server.Version}}",
        };
        let answer = self
            .call(["version", "--format", format])
            .run(QUERY_TIMEOUT)?;
        Ok(answer.trim().to_owned())
    }

    fn containers(&self) -> Result<Vec<Container>, Fault> {
        self.listed(&format!("label={DEPLOYMENT}"))
    }

    fn containers_of(&self, deployment_id: &str) -> Result<Vec<Container>, Fault> {
        let mut found = self.listed(&format!("label={DEPLOYMENT}={deployment_id}"))?;
        found.retain(|container| container.deployment_id == deployment_id);
        Ok(found)
    }

    fn container(&self, id: &str) -> Option<Result<Container, Fault>> {
        match self.call(["container", "inspect", id]).run(QUERY_TIMEOUT) {
            Err(Fault::NoContainer) => None,
            answer => answer
                .and_then(|json| container::parse(&json))
                .map(|mut found| found.pop())
                .transpose(),
        }
    }

    fn ensure_network(&self) -> Result<(), Fault> {
        let name = &*self.network;
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

    fn has_image(&self, image: &str) -> Result<bool, Fault> {
        let id = ["image", "inspect", "--format", "{{.Id}}", "--", image];
        match self.call(id).run(QUERY_TIMEOUT) {
            Err(Fault::NoImage(_)) => Ok(false),
            answer => answer.map(|_| true),
        }
    }

    fn pull(&self, image: &str, on_line: &mut dyn FnMut(&str)) -> Result<(), Fault> {
        self.call(["pull", "--", image])
            .run_streaming(PULL_TIMEOUT, on_line)
    }

    fn start(&self, spec: &ContainerSpec<'_>) -> Result<String, Fault> {
        let port = format!("127.0.0.1::{}", spec.port);
        let mut call = self.call(["run", "--detach", "--name", spec.name]);
        call = call
            .arguments(&["--network", &self.network, "--publish", &port])
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
        call = call.environment(spec.environment)?;
        let answer = call.arguments(&["--", spec.image]).run(CHANGE_TIMEOUT)?;
        Ok(answer.lines().last().unwrap_or_default().trim().to_owned())
    }

    fn restart(&self, id: &str, _: EnvironmentSource<'_>) -> Result<(), Fault> {
        self.call(["start", id]).run(CHANGE_TIMEOUT).map(drop)
    }

    fn remove(&self, id: &str) -> Result<bool, Fault> {
        let seconds = self.stop_timeout.as_secs().to_string();
        let stop = self.call(["stop", "--time", &seconds, id]);
        match stop.run(CHANGE_TIMEOUT + self.stop_timeout) {
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

    fn last_lines(&self, id: &str) -> Output {
        let call = self.call(["logs", "--tail", "30", id]);
        let lines = call.run_with_stderr(QUERY_TIMEOUT);
        Output::new(lines.unwrap_or_else(|fault| format!("(no logs: {fault})")))
    }
}
