//! The settings of the Docker satellite, in addition to the SDK's own.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use satellite_sdk::Variables;

/// The model server image unless `LUML_MODEL_IMAGE` sets another.
pub const DEFAULT_IMAGE: &str = "luml-random-svc:latest";

const BASE_URL: &str = "http://localhost";

/// The model variants that the platform knows.
const VARIANTS: [&str; 2] = ["pyfunc", "pipeline"];

/// Validated settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `LUML_DOCKER`: the engine's command line program.
    pub docker: String,
    /// `DOCKER_HOST`: the engine's address, if it is not the program's default.
    pub docker_host: Option<String>,
    /// `LUML_NETWORK`: the bridge network of the models; created if it does not exist.
    pub network: String,
    /// `LUML_BASE_URL`: the address of this satellite that is registered with the platform.
    pub base_url: String,
    /// `LUML_MODEL_IMAGE`: the model server image.
    pub image: String,
    /// `LUML_MODEL_VARIANTS`: the model variants that the image can serve.
    pub model_variants: Vec<String>,
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
    /// `LUML_RECONCILE_INTERVAL_SEC`: the interval of reconciliation.
    pub reconcile_interval: Duration,
    /// `LUML_ORPHAN_GRACE_SEC`: how long a container without a deployment is kept.
    pub orphan_grace: Duration,
}

impl Settings {
    /// Reads the variables and records invalid values in them.
    pub fn read(variables: &mut Variables) -> Self {
        let host: IpAddr = variables.host("LUML_GATEWAY_HOST");
        let port = variables.port("LUML_GATEWAY_PORT", 8000);
        let seconds = Duration::from_secs;
        Settings {
            docker: variables.text("LUML_DOCKER").unwrap_or("docker".into()),
            docker_host: variables.text("DOCKER_HOST"),
            network: variables
                .text("LUML_NETWORK")
                .unwrap_or("satellite-network".into()),
            // The Python agent's default: the platform requires a URL to register.
            base_url: variables
                .url("LUML_BASE_URL", Some(BASE_URL))
                .unwrap_or_else(|| BASE_URL.to_owned()),
            image: variables
                .text("LUML_MODEL_IMAGE")
                .unwrap_or_else(|| DEFAULT_IMAGE.to_owned()),
            model_variants: variables.value(
                "LUML_MODEL_VARIANTS",
                VARIANTS.map(str::to_owned).to_vec(),
                "a comma separated list of pyfunc and pipeline",
                variants,
            ),
            allowed_images: variables.list("LUML_ALLOWED_IMAGES"),
            model_port: variables.port("LUML_MODEL_PORT", 8080),
            gateway: SocketAddr::new(host, port),
            gateway_memory: megabytes(variables, "LUML_GATEWAY_BODY_MEMORY_MB", 256),
            agent_url: variables
                .url("LUML_AGENT_URL", None)
                .unwrap_or_else(|| format!("http://host.docker.internal:{port}")),
            otel_endpoint: variables.text("OTEL_EXPORTER_OTLP_ENDPOINT"),
            health_check_timeout: variables.seconds("LUML_HEALTH_CHECK_TIMEOUT_SEC", seconds(1800)),
            reconcile_interval: variables.seconds("LUML_RECONCILE_INTERVAL_SEC", seconds(15)),
            orphan_grace: variables.seconds("LUML_ORPHAN_GRACE_SEC", seconds(300)),
        }
    }

    /// Whether a deployment may use this image: the default image, or one from the
    /// operator's list, in which a trailing `*` matches anything.
    pub fn allows_image(&self, image: &str) -> bool {
        image == self.image
            || self
                .allowed_images
                .iter()
                .any(|allowed| match allowed.strip_suffix('*') {
                    Some(prefix) => image.starts_with(prefix),
                    None => image == allowed,
                })
    }
}

/// Parses the list; drops duplicates and keeps the order.
fn variants(text: &str) -> Option<Vec<String>> {
    let mut variants: Vec<String> = Vec::new();
    for word in text.split(',').map(str::trim) {
        if !VARIANTS.contains(&word) {
            return None;
        }
        if !variants.iter().any(|variant| variant == word) {
            variants.push(word.to_owned());
        }
    }
    Some(variants)
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
