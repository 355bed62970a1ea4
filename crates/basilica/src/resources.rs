//! The resources of a deployment: cores, memory, GPUs, ports, volumes.

use serde::{Deserialize, Serialize};

/// The resources of a container.
///
/// ```
/// use satellite_basilica::ResourceRequirements;
///
/// let resources = ResourceRequirements::builder().cpu_cores(2.0).gpu_count(1).build();
/// assert_eq!((resources.memory_mb, resources.storage_mb), (1024, 10240));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ResourceRequirements {
    /// CPU cores. Default: 1.
    pub cpu_cores: f64,
    /// Memory in MB. Default: 1024.
    pub memory_mb: u64,
    /// Disk in MB. Default: 10240.
    pub storage_mb: u64,
    /// How many GPUs. Default: none.
    pub gpu_count: u32,
    /// The accepted types, such as `H100`; any type if empty.
    #[serde(default)]
    pub gpu_types: Vec<String>,
}

impl Default for ResourceRequirements {
    fn default() -> Self {
        ResourceRequirements {
            cpu_cores: 1.0,
            memory_mb: 1024,
            storage_mb: 10240,
            gpu_count: 0,
            gpu_types: Vec::new(),
        }
    }
}

impl ResourceRequirements {
    /// A builder that starts with the defaults.
    pub fn builder() -> ResourceRequirementsBuilder {
        ResourceRequirementsBuilder(Self::default())
    }

    pub(super) fn check(&self, problem: &mut dyn FnMut(&str, String)) {
        if !(self.cpu_cores.is_finite() && self.cpu_cores > 0.0) {
            let found = self.cpu_cores;
            problem("cpu_cores", format!("expected more than 0, found {found}"));
        }
        for (name, megabytes) in [
            ("memory_mb", self.memory_mb),
            ("storage_mb", self.storage_mb),
        ] {
            if !(1..=i64::MAX as u64).contains(&megabytes) {
                problem(name, format!("expected 1 or more, found {megabytes}"));
            }
        }
        if self.gpu_count == 0 && !self.gpu_types.is_empty() {
            problem("gpu_types", "expected a gpu_count too".to_owned());
        }
        for name in self.gpu_types.iter().filter(|name| !is_gpu_type(name)) {
            problem(
                "gpu_types",
                format!("expected names such as H100, found {name:?}"),
            );
        }
    }
}

pub(super) fn is_gpu_type(name: &str) -> bool {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || " -_.".contains(c);
    !name.trim().is_empty() && name.len() <= 64 && name.chars().all(is_fit)
}

/// Builds [`ResourceRequirements`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ResourceRequirementsBuilder(ResourceRequirements);

impl ResourceRequirementsBuilder {
    /// CPU cores.
    pub fn cpu_cores(mut self, cores: f64) -> Self {
        self.0.cpu_cores = cores;
        self
    }

    /// Memory in MB.
    pub fn memory_mb(mut self, megabytes: u64) -> Self {
        self.0.memory_mb = megabytes;
        self
    }

    /// Disk in MB.
    pub fn storage_mb(mut self, megabytes: u64) -> Self {
        self.0.storage_mb = megabytes;
        self
    }

    /// How many GPUs.
    pub fn gpu_count(mut self, count: u32) -> Self {
        self.0.gpu_count = count;
        self
    }

    /// The accepted GPU types.
    pub fn gpu_types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.0.gpu_types = types.into_iter().map(Into::into).collect();
        self
    }

    /// The result. It is validated with the rest of a deployment.
    pub fn build(self) -> ResourceRequirements {
        self.0
    }
}

/// Selects a machine by its GPUs instead of by an executor's id.
///
/// ```
/// use satellite_basilica::GpuRequirements;
///
/// let two = GpuRequirements::new(2, 80).gpu_type("H100");
/// # let _ = two;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[must_use]
pub struct GpuRequirements {
    pub(super) min_memory_gb: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gpu_type: Option<String>,
    pub(super) gpu_count: u32,
}

impl GpuRequirements {
    /// At least `gpu_count` GPUs, each with at least `min_memory_gb` GB of memory.
    pub fn new(gpu_count: u32, min_memory_gb: u32) -> Self {
        GpuRequirements {
            min_memory_gb,
            gpu_type: None,
            gpu_count,
        }
    }

    /// Requires this GPU type.
    pub fn gpu_type(mut self, name: impl Into<String>) -> Self {
        self.gpu_type = Some(name.into());
        self
    }
}

/// Maps a port of the container to one of the host.
///
/// ```
/// use satellite_basilica::PortMapping;
///
/// let ports = [PortMapping::tcp(80, 8080), PortMapping::udp(53, 5353)];
/// # let _ = ports;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PortMapping {
    /// The port in the container.
    pub container_port: u16,
    /// The port on the host.
    pub host_port: u16,
    /// TCP or UDP.
    #[serde(default)]
    pub protocol: Protocol,
}

/// The transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    #[serde(alias = "TCP", alias = "Tcp")]
    Tcp,
    /// UDP.
    #[serde(alias = "UDP", alias = "Udp")]
    Udp,
}

impl PortMapping {
    /// A TCP mapping.
    pub fn tcp(container_port: u16, host_port: u16) -> Self {
        PortMapping {
            container_port,
            host_port,
            protocol: Protocol::Tcp,
        }
    }

    /// A UDP mapping.
    pub fn udp(container_port: u16, host_port: u16) -> Self {
        PortMapping {
            protocol: Protocol::Udp,
            ..Self::tcp(container_port, host_port)
        }
    }
}

/// Mounts a host directory in the container.
///
/// ```
/// use satellite_basilica::VolumeMount;
///
/// let models = VolumeMount::new("/srv/models", "/models").read_only();
/// # let _ = models;
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[must_use]
pub struct VolumeMount {
    pub(super) host_path: String,
    pub(super) container_path: String,
    pub(super) read_only: bool,
}

impl VolumeMount {
    /// Mounts `host_path` at `container_path`.
    pub fn new(host_path: impl Into<String>, container_path: impl Into<String>) -> Self {
        VolumeMount {
            host_path: host_path.into(),
            container_path: container_path.into(),
            read_only: false,
        }
    }

    /// Makes the mount read-only.
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }
}
