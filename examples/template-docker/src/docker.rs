//! The host's Docker engine, through its command.

use std::process::{Command, Stdio};

use satellite_sdk::Failure;

/// The label of the containers of this satellite.
const LABEL: &str = "my-satellite=yes";
/// The port in the container.
const PORT: &str = "8080";

/// One engine. Each method runs its command once.
#[derive(Debug, Clone)]
pub struct Docker {
    program: String,
}

impl Docker {
    pub fn new(program: impl Into<String>) -> Self {
        Docker {
            program: program.into(),
        }
    }

    /// Pulls the image if it is missing, and starts the container. An engine that restarts
    /// starts it again.
    pub fn run(&self, name: &str, image: &str) -> Result<(), Failure> {
        let published = format!("127.0.0.1::{PORT}");
        self.call(&[
            "run",
            "--detach",
            "--name",
            name,
            "--label",
            LABEL,
            "--restart",
            "unless-stopped",
            "--publish",
            &published,
            "--cap-drop",
            "ALL",
            "--security-opt",
            "no-new-privileges",
            image,
        ])?;
        Ok(())
    }

    pub fn is_running(&self, name: &str) -> Result<bool, Failure> {
        let filter = format!("name=^/?{name}$");
        let names = self.call(&["ps", "--filter", &filter, "--format", "{{.Names}}"])?;
        Ok(names.lines().any(|line| line.trim() == name))
    }

    /// The address at which the host reaches the container.
    pub fn address(&self, name: &str) -> Result<String, Failure> {
        let addresses = self.call(&["port", name, PORT])?;
        match addresses.lines().next() {
            Some(address) => Ok(address.trim().to_owned()),
            None => Err(format!("{name} publishes no port").into()),
        }
    }

    /// Removes the container; it may be gone.
    pub fn remove(&self, name: &str) -> Result<(), Failure> {
        match self.call(&["rm", "--force", "--volumes", name]) {
            Err(failure) if failure.error().contains("No such container") => Ok(()),
            end => end.map(drop),
        }
    }

    fn call(&self, arguments: &[&str]) -> Result<String, Failure> {
        let what = format!("{} {}", self.program, arguments[0]);
        let output = Command::new(&self.program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| Failure::new(format!("cannot run {what}"), e))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => {
                let said = String::from_utf8_lossy(&output.stderr);
                let last = said.trim().lines().last().unwrap_or_default();
                Err(Failure::new(format!("{what} failed"), last))
            }
        }
    }
}
