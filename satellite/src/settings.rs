//! What the Docker satellite has to know beside the kit's own settings.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use satellite_sdk::Variables;

/// What serves a model unless `LUML_MODEL_IMAGE` says otherwise.
pub const DEFAULT_IMAGE: &str = "luml-random-svc:latest";

const BASE_URL: &str = "http://localhost";

/// The variants of models that the platform knows.
const VARIANTS: [&str; 2] = ["pyfunc", "pipeline"];

/// The settings of the Docker part, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `LUML_DOCKER`: the program to speak to the engine with.
    pub docker: String,
    /// `DOCKER_HOST`: the engine, where it is not the program's default.
    pub docker_host: Option<String>,
    /// `LUML_NETWORK`: the bridge that models live on; made when absent.
    pub network: String,
    /// `LUML_BASE_URL`: where the platform is told that it reaches this satellite.
    pub base_url: String,
    /// `LUML_MODEL_IMAGE`: what serves a model.
    pub image: String,
    /// `LUML_MODEL_VARIANTS`: the variants of models that the image can serve.
    pub model_variants: Vec<String>,
    /// `LUML_ALLOWED_IMAGES`: what a deployment may ask for in its place.
    pub allowed_images: Vec<String>,
    /// `LUML_MODEL_PORT`: where a model server listens inside its container.
    pub model_port: u16,
    /// `LUML_GATEWAY_HOST`, `LUML_GATEWAY_PORT`: where predictions are asked for.
    pub gateway: SocketAddr,
    /// `LUML_GATEWAY_BODY_MEMORY_MB`: memory for request bodies that secrets are put into, in
    /// bytes, for all calls together.
    pub gateway_memory: u64,
    /// `LUML_AGENT_URL`: where a model server reaches the gateway.
    pub agent_url: String,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, passed on to model servers.
    pub otel_endpoint: Option<String>,
    /// `LUML_HEALTH_CHECK_TIMEOUT_SEC`: how long a model may take to come up.
    pub health_check_timeout: Duration,
    /// `LUML_RECONCILE_INTERVAL_SEC`: between two looks at what really runs.
    pub reconcile_interval: Duration,
    /// `LUML_ORPHAN_GRACE_SEC`: how long a container without a deployment stays.
    pub orphan_grace: Duration,
}

impl Settings {
    /// Reads the variables; what is wrong is noted in them.
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
            // As the Python agent's: the platform needs one in order to register.
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

    /// Whether a deployment may be served by this image: a name from the
    /// operator's list, where `*` at an end stands for anything.
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

/// Each of them once, in the order given.
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

/// A setting in MB (1 MB is 1024 * 1024 bytes), in bytes.
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
