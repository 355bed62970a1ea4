//! The configuration of a deployment, validated before anything is sent.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::api_version::ApiVersion;
use super::resources::{
    GpuRequirements, PortMapping, Protocol, ResourceRequirements, VolumeMount, is_gpu_type,
};
use satellite_core::http::{Secret, retry};
use satellite_core::{Error, Result};

/// The configuration of a container to deploy.
///
/// ```
/// use satellite_basilica::{DeploymentConfig, PortMapping, ResourceRequirements};
///
/// let config = DeploymentConfig::builder()
///     .executor_id("executor-123")
///     .image("nginx:latest")
///     .ssh_key("ssh-ed25519 AAAAC3Nz me@edge")
///     .resources(ResourceRequirements::builder().cpu_cores(2.0).gpu_count(1).build())
///     .ports([PortMapping::tcp(80, 8080)])
///     .env("MODEL", "llama")
///     .build()?;
/// # let _ = config;
/// # Ok::<(), satellite_basilica::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DeploymentConfig {
    pub(super) name: String,
    pub(super) placement: Option<Placement>,
    pub(super) image: String,
    pub(super) ssh_key: String,
    pub(super) resources: ResourceRequirements,
    pub(super) environment: BTreeMap<String, Secret>,
    pub(super) ports: Vec<PortMapping>,
    pub(super) volumes: Vec<VolumeMount>,
    pub(super) command: Vec<String>,
    pub(super) no_ssh: bool,
    pub(super) replicas: u32,
    pub(super) ttl: Option<Duration>,
    pub(super) public: bool,
}

/// The machine to deploy on.
#[derive(Debug, Clone)]
pub(super) enum Placement {
    Executor(String),
    Gpu(GpuRequirements),
}

impl DeploymentConfig {
    /// Starts building a configuration.
    pub fn builder() -> DeploymentConfigBuilder {
        DeploymentConfigBuilder(DeploymentConfig {
            name: format!("satellite-{:012x}", retry::random_bits() >> 16),
            placement: None,
            image: String::new(),
            ssh_key: String::new(),
            resources: ResourceRequirements::default(),
            environment: BTreeMap::new(),
            ports: Vec::new(),
            volumes: Vec::new(),
            command: Vec::new(),
            no_ssh: false,
            replicas: 1,
            ttl: None,
            public: false,
        })
    }

    /// The name requested from the newer service; generated if none was set.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks the options that only one of the two APIs supports.
    pub(super) fn check_for(&self, version: ApiVersion) -> Result<()> {
        let mut problems = Vec::new();
        let mut problem = |name: &str, what: &str| problems.push(format!("{name}: {what}"));
        match version {
            ApiVersion::Rentals => {
                if self.placement.is_none() {
                    problem(
                        "executor_id",
                        "expected an executor id, or GPU requirements",
                    );
                }
                let has_key = !self.ssh_key.is_empty();
                // The gateway does not accept ECDSA or FIDO keys, and always checks a key.
                if has_key && !self.ssh_key.trim().starts_with("ssh-") {
                    problem(
                        "ssh_key",
                        "the rentals API accepts only keys that begin with `ssh-`",
                    );
                } else if !self.no_ssh && !has_key {
                    problem("ssh_key", PUBLIC_KEY);
                }
                if self.replicas != 1 || self.ttl.is_some() || self.public {
                    let what =
                        "the rentals API does not support them: leave them at their defaults";
                    problem("replicas, ttl, public", what);
                }
            }
            ApiVersion::Deployments => {
                if self.placement.is_some() {
                    let what = "the deployments API chooses the machine: set resources instead";
                    problem("executor_id, gpu", what);
                }
                if !matches!(&self.ports[..], [port] if port.protocol == Protocol::Tcp) {
                    problem("ports", "the deployments API requires exactly one TCP port");
                }
                if !self.volumes.is_empty() {
                    problem("volumes", "the deployments API does not support volumes");
                }
            }
        }
        fail_on(problems)
    }

    fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        let mut problem = |name: &str, what: String| problems.push(format!("{name}: {what}"));
        if !is_name(&self.name) {
            problem(
                "name",
                "expected a-z, 0-9 and dashes, at most 63 characters".into(),
            );
        }
        if self.image.is_empty() || !self.image.bytes().all(|b| b.is_ascii_graphic()) {
            let what = format!(
                "expected an image such as nginx:latest, found {:?}",
                self.image
            );
            problem("image", what);
        }
        match &self.placement {
            Some(Placement::Executor(id)) if id.trim().is_empty() => {
                problem(
                    "executor_id",
                    "expected an id, found an empty string".into(),
                );
            }
            Some(Placement::Gpu(gpu)) => {
                if gpu.gpu_count == 0 {
                    problem("gpu", "expected at least one, found 0".into());
                }
                if let Some(name) = gpu.gpu_type.as_ref().filter(|name| !is_gpu_type(name)) {
                    problem(
                        "gpu",
                        format!("expected a type such as H100, found {name:?}"),
                    );
                }
            }
            _ => {}
        }
        if !self.ssh_key.is_empty() && !is_public_key(&self.ssh_key) {
            problem("ssh_key", PUBLIC_KEY.into());
        }
        self.resources.check(&mut problem);
        for name in self.environment.keys().filter(|name| !is_variable(name)) {
            problem(
                "environment",
                format!("{name:?} is not a valid variable name"),
            );
        }
        if self
            .environment
            .values()
            .any(|value| value.expose().contains('\0'))
        {
            problem("environment", "a value contains a NUL byte".into());
        }
        let mut taken = HashSet::new();
        for port in &self.ports {
            if port.container_port == 0 || port.host_port == 0 {
                problem("ports", "expected 1 to 65535, found 0".into());
            } else if !taken.insert((port.host_port, port.protocol)) {
                problem(
                    "ports",
                    format!("host port {} is mapped twice", port.host_port),
                );
            }
        }
        let mut mounted = HashSet::new();
        for volume in &self.volumes {
            for path in [&volume.host_path, &volume.container_path] {
                if !is_absolute(path) {
                    problem(
                        "volumes",
                        format!("expected an absolute path, found {path:?}"),
                    );
                }
            }
            if volume.container_path.trim_end_matches('/').is_empty() {
                problem(
                    "volumes",
                    "a volume cannot be mounted over the container's /".into(),
                );
            } else if !mounted.insert(volume.container_path.trim_end_matches('/')) {
                let path = &volume.container_path;
                problem("volumes", format!("{path:?} is mounted twice"));
            }
        }
        if self.command.first().is_some_and(String::is_empty) {
            problem(
                "command",
                "expected a program, found an empty string".into(),
            );
        }
        if self.replicas == 0 {
            problem("replicas", "expected at least one, found 0".into());
        }
        if self
            .ttl
            .is_some_and(|ttl| !(1..=u64::from(u32::MAX)).contains(&ttl.as_secs()))
        {
            problem("ttl", "expected at least one second".into());
        }
        fail_on(problems)
    }
}

/// The error does not quote the key: it may be a private key by mistake.
const PUBLIC_KEY: &str =
    "expected one line of a public key, such as `ssh-ed25519 AAAA… name`, or no_ssh";

/// An Ed25519 public key of random bytes, so no matching private key is known.
pub(super) fn random_public_key() -> String {
    const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // The type and the length of the key. The first of the 43 characters that follow
    // starts with two bits of that length, which are zero.
    let mut key = String::from("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI");
    for n in 0..43 {
        let bits = (retry::random_bits() >> 32) as usize;
        let bits = if n == 0 { bits % 16 } else { bits % 64 };
        key.push(char::from(BASE64[bits]));
    }
    key + " no-ssh"
}

fn is_public_key(key: &str) -> bool {
    let mut parts = key.trim().splitn(3, ' ');
    let (kind, blob) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let is_blob = |b: u8| b.is_ascii_alphanumeric() || b"+/=".contains(&b);
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"]
        .iter()
        .any(|begin| kind.starts_with(begin))
        && !blob.is_empty()
        && blob.bytes().all(is_blob)
        && !key.trim().contains(char::is_control)
}

fn is_name(name: &str) -> bool {
    let is_fit = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(is_fit)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !name.contains(char::is_whitespace)
}

fn is_absolute(path: &str) -> bool {
    path.starts_with('/') && !path.split('/').any(|part| part == "..") && !path.contains('\0')
}

fn fail_on(problems: Vec<String>) -> Result<()> {
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Error::settings(problems)),
    }
}

/// Builds a [`DeploymentConfig`].
#[derive(Debug, Clone)]
#[must_use]
pub struct DeploymentConfigBuilder(DeploymentConfig);

impl DeploymentConfigBuilder {
    /// The machine to deploy on.
    pub fn executor_id(mut self, id: impl Into<String>) -> Self {
        self.0.placement = Some(Placement::Executor(id.into()));
        self
    }

    /// Any machine with these GPUs, instead of an executor id.
    pub fn gpu(mut self, requirements: GpuRequirements) -> Self {
        self.0.placement = Some(Placement::Gpu(requirements));
        self
    }

    /// The container image.
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.0.image = image.into();
        self
    }

    /// The public key that grants SSH access. The rentals API accepts only keys that
    /// begin with `ssh-`, such as `ssh-ed25519` and `ssh-rsa`.
    pub fn ssh_key(mut self, public_key: impl Into<String>) -> Self {
        self.0.ssh_key = public_key.into();
        self
    }

    /// Disables SSH access. The rentals API still validates a key: if no
    /// [`ssh_key`](Self::ssh_key) is set, the client generates a random public key that
    /// has no known private key.
    pub fn no_ssh(mut self, no_ssh: bool) -> Self {
        self.0.no_ssh = no_ssh;
        self
    }

    /// The resources of the container.
    pub fn resources(mut self, resources: ResourceRequirements) -> Self {
        self.0.resources = resources;
        self
    }

    /// Adds an environment variable; its value is never printed or logged.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.0.environment.insert(name.into(), value.into());
        self
    }

    /// Sets all environment variables.
    pub fn environment<N: Into<String>, V: Into<Secret>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let pairs = variables.into_iter();
        self.0.environment = pairs.map(|(n, v)| (n.into(), v.into())).collect();
        self
    }

    /// The port mappings.
    pub fn ports(mut self, ports: impl IntoIterator<Item = PortMapping>) -> Self {
        self.0.ports = ports.into_iter().collect();
        self
    }

    /// The host directories to mount.
    pub fn volumes(mut self, volumes: impl IntoIterator<Item = VolumeMount>) -> Self {
        self.0.volumes = volumes.into_iter().collect();
        self
    }

    /// The command to run instead of the image's default.
    pub fn command<T: Into<String>>(mut self, words: impl IntoIterator<Item = T>) -> Self {
        self.0.command = words.into_iter().map(Into::into).collect();
        self
    }

    /// The name to request from the newer service.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.0.name = name.into();
        self
    }

    /// The number of replicas in the newer service. Default: 1.
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.0.replicas = replicas;
        self
    }

    /// The newer service deletes the deployment after this time.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.0.ttl = Some(ttl);
        self
    }

    /// Whether the deployment is publicly reachable in the newer service. Default: no.
    pub fn public(mut self, public: bool) -> Self {
        self.0.public = public;
        self
    }

    /// Validates the configuration and returns it.
    ///
    /// # Errors
    /// `is_settings()`, which lists every problem.
    pub fn build(self) -> Result<DeploymentConfig> {
        self.0.check()?;
        Ok(self.0)
    }
}
