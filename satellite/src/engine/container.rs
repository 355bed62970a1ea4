//! A container, as `container inspect` describes it. Parsed with miniserde, which reads
//! only the needed fields of a large document.

use std::collections::HashMap;

use miniserde::{Deserialize, json};

use super::{DEPLOYMENT, Fault, INSTANCE, MODEL, TASK};

/// A container that serves, or served, a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    pub id: String,
    pub name: String,
    pub deployment_id: String,
    pub instance_id: Option<String>,
    pub task_id: Option<String>,
    pub model_id: Option<String>,
    pub state: State,
    pub restarts: u64,
    pub exit_code: i64,
    /// Creation time as text; sorts chronologically.
    pub created: String,
    pub started: String,
    /// Pairs of container port and published port on loopback.
    pub(super) ports: Vec<(u16, u16)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Running,
    /// Between a crash and the restart.
    Restarting,
    /// Created and not started yet.
    Created,
    Paused,
    /// Exited, dead, or being removed.
    Exited,
}

impl Container {
    /// The loopback port on which the container's port is published.
    pub fn port(&self, container_port: u16) -> Option<u16> {
        let found = self.ports.iter().find(|(port, _)| *port == container_port);
        found.map(|(_, host_port)| *host_port)
    }

    pub fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// Exited by a signal or with exit code 0: probably stopped from outside.
    pub fn was_stopped(&self) -> bool {
        const SIGKILL: i64 = 128 + 9;
        const SIGTERM: i64 = 128 + 15;
        self.state == State::Exited && [0, SIGKILL, SIGTERM].contains(&self.exit_code)
    }

    /// Exited, or restarts in a loop.
    pub fn is_failing(&self) -> bool {
        match self.state {
            State::Exited => true,
            State::Restarting => self.restarts >= 3,
            _ => self.restarts >= 5,
        }
    }
}

/// Parses the output of `container inspect`: an array.
pub fn parse(text: &str) -> Result<Vec<Container>, Fault> {
    let inspected: Vec<Inspected> = json::from_str(text).map_err(|_| {
        Fault::Other("the engine's description of its containers has an unknown format".into())
    })?;
    Ok(inspected.into_iter().map(Container::from).collect())
}

#[derive(Deserialize)]
struct Inspected {
    #[serde(rename = "Id")]
    id: String,
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Created")]
    created: Option<String>,
    #[serde(rename = "RestartCount")]
    restarts: Option<u64>,
    #[serde(rename = "State")]
    state: InspectedState,
    #[serde(rename = "Config")]
    config: Config,
    #[serde(rename = "NetworkSettings")]
    network: Option<Network>,
}

#[derive(Deserialize)]
struct InspectedState {
    #[serde(rename = "Status")]
    status: Option<String>,
    #[serde(rename = "ExitCode")]
    exit_code: Option<i64>,
    #[serde(rename = "StartedAt")]
    started: Option<String>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "Labels")]
    labels: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
struct Network {
    #[serde(rename = "Ports")]
    ports: Option<HashMap<String, Option<Vec<Binding>>>>,
}

#[derive(Deserialize)]
struct Binding {
    #[serde(rename = "HostPort")]
    port: Option<String>,
}

impl From<Inspected> for Container {
    fn from(inspected: Inspected) -> Self {
        let mut labels = inspected.config.labels.unwrap_or_default();
        let state = match inspected.state.status.as_deref() {
            Some("running") => State::Running,
            Some("restarting") => State::Restarting,
            Some("created" | "configured" | "initialized") => State::Created,
            Some("paused") => State::Paused,
            _ => State::Exited,
        };
        let ports = inspected.network.and_then(|network| network.ports);
        Container {
            id: inspected.id,
            name: inspected.name.trim_start_matches('/').to_owned(),
            deployment_id: labels.remove(DEPLOYMENT).unwrap_or_default(),
            instance_id: labels.remove(INSTANCE),
            task_id: labels.remove(TASK),
            model_id: labels.remove(MODEL),
            state,
            restarts: inspected.restarts.unwrap_or(0),
            exit_code: inspected.state.exit_code.unwrap_or(0),
            created: inspected.created.unwrap_or_default(),
            started: inspected.state.started.unwrap_or_default(),
            ports: ports.into_iter().flatten().filter_map(published).collect(),
        }
    }
}

/// `"8080/tcp": [{"HostPort": "32768"}]`
fn published((port, bindings): (String, Option<Vec<Binding>>)) -> Option<(u16, u16)> {
    let container_port = port.split('/').next()?.parse().ok()?;
    let host_port = bindings?.into_iter().find_map(|b| b.port?.parse().ok())?;
    Some((container_port, host_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inspect_output_is_parsed() {
        let text = r#"[{"Id": "abc", "Name": "/sat-1", "Created": "2026-01-01T00:00:00Z",
            "RestartCount": 2, "Platform": "linux", "Mounts": [],
            "State": {"Status": "running", "Running": true, "ExitCode": 0, "StartedAt": "2026"},
            "Config": {"Labels": {"df.deployment_id": "1", "df.satellite": "me"}, "Env": ["A=b"]},
            "NetworkSettings": {"Ports": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}],
                                          "9090/tcp": null}}}]"#;
        let container = parse(text).unwrap().remove(0);
        assert_eq!(container.name, "sat-1");
        assert_eq!(container.deployment_id, "1");
        assert_eq!(container.instance_id.as_deref(), Some("me"));
        assert_eq!(
            (container.port(8080), container.port(9090)),
            (Some(32768), None)
        );
        assert!(container.is_running() && !container.is_failing());
    }

    #[test]
    fn invalid_output_is_an_error_and_not_an_empty_list() {
        for text in ["", "{}", "[{}]", "[1]", "nothing"] {
            assert!(matches!(parse(text), Err(Fault::Other(_))), "{text}");
        }
    }
}
