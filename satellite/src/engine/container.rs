//! A container, as `container inspect` shows it. Parsed with miniserde: of a
//! large document only the few fields that matter.

use std::collections::HashMap;

use miniserde::{Deserialize, json};

use super::{DEPLOYMENT, Fault, MODEL, OWNER, TASK};

/// A container that serves a deployment, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    pub id: String,
    pub name: String,
    pub deployment_id: String,
    pub owner: Option<String>,
    pub task_id: Option<String>,
    pub model_id: Option<String>,
    pub state: State,
    pub restarts: u64,
    pub exit_code: i64,
    /// When it was made; as text, it sorts by time.
    pub created: String,
    pub started: String,
    /// The port on loopback that leads to each port inside.
    ports: Vec<(u16, u16)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Running,
    /// Between a crash and the next start.
    Restarting,
    /// Made and not started yet.
    Created,
    Paused,
    /// Ended, dead, or being removed.
    Ended,
}

impl Container {
    /// The port on loopback that leads to `inside`.
    pub fn port(&self, inside: u16) -> Option<u16> {
        let found = self.ports.iter().find(|(port, _)| *port == inside);
        found.map(|(_, outside)| *outside)
    }

    pub fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// Ended in a way that does not look like its own doing: by a signal, or as
    /// if all was well.
    pub fn was_ended(&self) -> bool {
        const SIGKILL: i64 = 128 + 9;
        const SIGTERM: i64 = 128 + 15;
        self.state == State::Ended && [0, SIGKILL, SIGTERM].contains(&self.exit_code)
    }

    /// Ended for good, or comes up and goes down again and again.
    pub fn is_failing(&self) -> bool {
        match self.state {
            State::Ended => true,
            State::Restarting => self.restarts >= 3,
            _ => self.restarts >= 5,
        }
    }
}

/// What `container inspect` printed: an array.
pub fn parse(text: &str) -> Result<Vec<Container>, Fault> {
    let inspected: Vec<Inspected> = json::from_str(text).map_err(|_| {
        Fault::Other("the engine describes its containers in an unknown way".into())
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
            _ => State::Ended,
        };
        let ports = inspected.network.and_then(|network| network.ports);
        Container {
            id: inspected.id,
            name: inspected.name.trim_start_matches('/').to_owned(),
            deployment_id: labels.remove(DEPLOYMENT).unwrap_or_default(),
            owner: labels.remove(OWNER),
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
fn published((inside, bindings): (String, Option<Vec<Binding>>)) -> Option<(u16, u16)> {
    let inside = inside.split('/').next()?.parse().ok()?;
    let outside = bindings?.into_iter().find_map(|b| b.port?.parse().ok())?;
    Some((inside, outside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_large_document_the_few_fields_that_matter() {
        let text = r#"[{"Id": "abc", "Name": "/sat-1", "Created": "2026-01-01T00:00:00Z",
            "RestartCount": 2, "Platform": "linux", "Mounts": [],
            "State": {"Status": "running", "Running": true, "ExitCode": 0, "StartedAt": "2026"},
            "Config": {"Labels": {"df.deployment_id": "1", "df.satellite": "me"}, "Env": ["A=b"]},
            "NetworkSettings": {"Ports": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}],
                                          "9090/tcp": null}}}]"#;
        let container = parse(text).unwrap().remove(0);
        assert_eq!(container.name, "sat-1");
        assert_eq!(container.deployment_id, "1");
        assert_eq!(container.owner.as_deref(), Some("me"));
        assert_eq!(
            (container.port(8080), container.port(9090)),
            (Some(32768), None)
        );
        assert!(container.is_running() && !container.is_failing());
    }

    #[test]
    fn garbage_is_an_error_and_not_an_absence() {
        for text in ["", "{}", "[{}]", "[1]", "nothing"] {
            assert!(matches!(parse(text), Err(Fault::Other(_))), "{text}");
        }
    }
}
