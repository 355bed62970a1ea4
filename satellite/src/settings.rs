//! The settings of the Docker satellite, in addition to the SDK's own.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use satellite_sdk::Variables;

use crate::engine_kind::EngineKind;
use crate::variants::Images;

#[cfg(feature = "monitoring")]
mod monitoring;
#[cfg(not(feature = "monitoring"))]
#[path = "settings/no_monitoring.rs"]
mod monitoring;

pub use monitoring::MonitoringSettings;

const BASE_URL: &str = "http://localhost";

/// The variable with the time that a model server has to finish its requests, which
/// luml-model-server reads too.
pub const DRAIN: &str = "LUML_MODEL_DRAIN_SEC";

/// How much longer than that a model server may take to exit.
const EXIT_TIME: Duration = Duration::from_secs(2);

/// Settings for `LUML_ENGINE=process`.
#[derive(Debug, Clone, Default)]
pub struct ProcessSettings {
    /// `LUML_STATE_DIR`: the folder of the model servers' records and logs.
    pub state_dir: PathBuf,
    /// `LUML_MODEL_USER`: the user and group id of model servers, if not the satellite's.
    pub user: Option<(u32, u32)>,
    /// Arguments of the model server's program; only the demo has any.
    pub arguments: Vec<String>,
}

/// Validated settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `LUML_ENGINE`: what runs the model servers.
    pub engine: EngineKind,
    pub process: ProcessSettings,
    /// `LUML_DOCKER`: the engine's command line program.
    pub docker: String,
    /// `DOCKER_HOST`: the engine's address, if it is not the program's default.
    pub docker_host: Option<String>,
    /// `LUML_NETWORK`: the bridge network of the models; created if it does not exist.
    pub network: String,
    /// `LUML_BASE_URL`: the address of this satellite that is registered with the platform.
    pub base_url: String,
    /// `LUML_MODEL_IMAGES`, `LUML_MODEL_IMAGE`, `LUML_MODEL_VARIANTS`, `LUML_MODEL_SERVER`:
    /// what serves each variant of models.
    pub images: Images,
    /// `LUML_ALLOWED_IMAGES`: images that a deployment may request instead.
    pub allowed_images: Vec<String>,
    /// `LUML_MODEL_PORT`: the port of a model server in its container.
    pub model_port: u16,
    /// `LUML_GATEWAY_HOST`, `LUML_GATEWAY_PORT`: the gateway's listen address.
    pub gateway: SocketAddr,
    /// `LUML_GATEWAY_BODY_MEMORY_MB`: memory limit for request bodies that secrets are
    /// inserted into, in bytes, for all calls together.
    pub gateway_memory: u64,
    /// `LUML_AGENT_URL`: the gateway's URL for model servers.
    pub agent_url: String,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, passed on to model servers.
    pub otel_endpoint: Option<String>,
    /// `LUML_HEALTH_CHECK_TIMEOUT_SEC`: how long a model may take to become healthy.
    pub health_check_timeout: Duration,
    /// `LUML_MODEL_DRAIN_SEC`: how long a model server may finish its requests when it is
    /// stopped. It has the same variable; see [`Settings::stop_timeout`].
    pub drain: Duration,
    /// `LUML_RECONCILE_INTERVAL_SEC`: the interval of reconciliation.
    pub reconcile_interval: Duration,
    /// `LUML_ORPHAN_GRACE_SEC`: how long a container without a deployment is kept.
    pub orphan_grace: Duration,
    pub monitoring: MonitoringSettings,
}

impl Settings {
    /// Reads the variables and records invalid values in them.
    pub fn read(variables: &mut Variables) -> Self {
        let host: IpAddr = variables.host("LUML_GATEWAY_HOST");
        let port = variables.port("LUML_GATEWAY_PORT", 8000);
        let seconds = Duration::from_secs;
        let engine = variables.value(
            "LUML_ENGINE",
            EngineKind::Docker,
            "docker or process",
            |text| match text {
                "docker" => Some(EngineKind::Docker),
                "process" if cfg!(target_os = "linux") => Some(EngineKind::Process),
                _ => None,
            },
        );
        let agent = match engine {
            EngineKind::Docker => "host.docker.internal",
            EngineKind::Process => "127.0.0.1",
        };
        Settings {
            engine,
            process: process_settings(variables, engine),
            docker: variables.text("LUML_DOCKER").unwrap_or("docker".into()),
            docker_host: variables.text("DOCKER_HOST"),
            network: variables
                .text("LUML_NETWORK")
                .unwrap_or("satellite-network".into()),
            // The Python agent's default: the platform requires a URL to register.
            base_url: variables
                .url("LUML_BASE_URL", Some(BASE_URL))
                .unwrap_or_else(|| BASE_URL.to_owned()),
            images: Images::read(variables, engine),
            allowed_images: variables.list("LUML_ALLOWED_IMAGES"),
            model_port: variables.port("LUML_MODEL_PORT", 8080),
            gateway: SocketAddr::new(host, port),
            gateway_memory: megabytes(variables, "LUML_GATEWAY_BODY_MEMORY_MB", 256),
            agent_url: variables
                .url("LUML_AGENT_URL", None)
                .unwrap_or_else(|| format!("http://{agent}:{port}")),
            otel_endpoint: variables.text("OTEL_EXPORTER_OTLP_ENDPOINT"),
            health_check_timeout: variables.seconds("LUML_HEALTH_CHECK_TIMEOUT_SEC", seconds(1800)),
            drain: variables.seconds(DRAIN, seconds(8)),
            reconcile_interval: variables.seconds("LUML_RECONCILE_INTERVAL_SEC", seconds(15)),
            orphan_grace: variables.seconds("LUML_ORPHAN_GRACE_SEC", seconds(300)),
            monitoring: MonitoringSettings::read(variables),
        }
    }

    /// The time between SIGTERM and SIGKILL: what the model server takes at most, and some for
    /// its exit.
    pub fn stop_timeout(&self) -> Duration {
        self.drain.saturating_add(EXIT_TIME)
    }

    /// Whether a deployment may use this image: one that serves a variant, or one from the
    /// operator's list, in which a trailing `*` matches anything.
    pub fn allows_image(&self, image: &str) -> bool {
        self.images.contains(image)
            || self
                .allowed_images
                .iter()
                .any(|allowed| match allowed.strip_suffix('*') {
                    Some(prefix) => image.starts_with(prefix),
                    None => image == allowed,
                })
    }
}

/// Reads the settings of the process engine; it keeps its records in the state folder.
fn process_settings(variables: &mut Variables, engine: EngineKind) -> ProcessSettings {
    let state_dir = variables.text("LUML_STATE_DIR");
    let state_dir = state_dir.or_else(|| variables.systemd_state_dir());
    if engine.is_process() && state_dir.is_none() {
        variables.problem("LUML_ENGINE", "process needs a folder: set LUML_STATE_DIR");
    }
    let expected = "a user of this host, or user and group id such as 1000:1000";
    ProcessSettings {
        state_dir: state_dir.unwrap_or_default().into(),
        user: variables.value("LUML_MODEL_USER", None, expected, |text| {
            user(
                text,
                &std::fs::read_to_string("/etc/passwd").unwrap_or_default(),
            )
            .map(Some)
        }),
        arguments: Vec::new(),
    }
}

/// The user and group id of a user in `/etc/passwd`, or of `UID:GID`.
fn user(text: &str, passwd: &str) -> Option<(u32, u32)> {
    let ids = |user: &str, group: &str| Some((user.parse().ok()?, group.parse().ok()?));
    if let Some((user, group)) = text.split_once(':') {
        return ids(user, group);
    }
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_user = fields.next() == Some(text);
        let (user, group) = (fields.nth(1)?, fields.next()?);
        is_user.then(|| ids(user, group)).flatten()
    })
}

/// Reads a setting in MB (1 MB is 1024 * 1024 bytes) and returns bytes.
fn megabytes(variables: &mut Variables, name: &str, default: u64) -> u64 {
    let expected = "a whole number of MB, at least 1";
    let megabytes = variables.value(name, default, expected, |text| {
        text.parse::<u32>()
            .ok()
            .filter(|megabytes| *megabytes > 0)
            .map(u64::from)
    });
    megabytes << 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_name_of_this_host_or_two_ids() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nmodel:x:998:997::/:/bin/false\n";
        for (text, expected) in [
            ("model", Some((998, 997))),
            ("1000:1001", Some((1000, 1001))),
            ("nobody", None),
            ("1000", None),
            ("1000:", None),
            ("broken", None),
        ] {
            assert_eq!(user(text, passwd), expected, "{text}");
        }
    }
}
