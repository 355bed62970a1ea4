//! `satellite basilica deploy`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;
use satellite_sdk::compute::basilica::{
    ApiVersion, BasilicaClient, Deployment, DeploymentConfig, DeploymentStatus, GpuRequirements,
    PortMapping, ResourceRequirements, VolumeMount,
};

use super::Common;
use super::deployments::{details, document};
use crate::interrupt::Interrupt;
use crate::output::{Problem, Progress, note};
use crate::remote::{self, Variables, duration};

/// Deploys a container
///
/// The rentals API needs a machine, either one of `satellite basilica nodes` or any with
/// the GPUs of --gpus, --gpu-type and --min-gpu-memory. The deployments API chooses the
/// machine itself and needs one port.
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite basilica deploy nginx:latest --executor executor-1 -p 8080:80
  satellite basilica deploy vllm/vllm-openai --gpus 1 --gpu-type H100 --min-gpu-memory 80 \\
    --ssh-key ~/.ssh/id_ed25519.pub -e HF_TOKEN -p 8000:8000 --wait -- --model mistral
  satellite basilica deploy my/app --api deployments --name my-app -p 8080 --ttl 2h

Ctrl-C ends the wait: the deployment goes on.")]
pub struct Deploy {
    /// Container image
    image: String,
    /// Command and its arguments, instead of those of the image
    #[arg(last = true)]
    command: Vec<String>,
    /// Machine to deploy on
    #[arg(long, value_name = "ID")]
    executor: Option<String>,
    /// Number of GPUs
    #[arg(long, value_name = "N", default_value_t = 0)]
    gpus: u32,
    /// Type of GPU, such as H100; may be repeated for the deployments API
    #[arg(long, value_name = "TYPE", requires = "gpus")]
    gpu_type: Vec<String>,
    /// Memory of each GPU in GB, at least, if any machine will do
    #[arg(long, value_name = "GB", default_value_t = 0, requires = "gpus")]
    min_gpu_memory: u32,
    /// CPU cores
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    cpus: f64,
    /// Memory in MB
    #[arg(long, value_name = "MB", default_value_t = 1024)]
    memory: u64,
    /// Disk in MB
    #[arg(long, value_name = "MB", default_value_t = 10240)]
    storage: u64,
    /// File with the public key for SSH; without it ~/.ssh/id_ed25519.pub or id_rsa.pub
    #[arg(long, value_name = "FILE")]
    ssh_key: Option<PathBuf>,
    /// No access by SSH
    #[arg(long, conflicts_with = "ssh_key")]
    no_ssh: bool,
    /// Publishes a port of the container at a port of the host; may be repeated
    #[arg(short, long, value_name = "[HOST:]CONTAINER[/udp]", value_parser = port)]
    publish: Vec<PortMapping>,
    /// Mounts a folder of the host; may be repeated
    #[arg(short, long, value_name = "HOST:CONTAINER[:ro]", value_parser = volume)]
    volume: Vec<VolumeMount>,
    #[command(flatten)]
    variables: Variables,
    /// Name to ask for, with the deployments API
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Number of replicas, with the deployments API
    #[arg(long, value_name = "N", default_value_t = 1)]
    replicas: u32,
    /// Deletes the deployment after this time, with the deployments API
    #[arg(long, value_name = "TIME", value_parser = duration)]
    ttl: Option<Duration>,
    /// Anybody may reach it, with the deployments API
    #[arg(long)]
    public: bool,
    /// Waits until it runs
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    common: Common,
}

/// `8080:80`, `80` for the same port, `53:53/udp`.
fn port(text: &str) -> Result<PortMapping, String> {
    let expected = || "expected ports such as 8080:80 or 53:53/udp".to_owned();
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (host, container) = ports.split_once(':').unwrap_or((ports, ports));
    let (Ok(host), Ok(container)) = (host.parse(), container.parse()) else {
        return Err(expected());
    };
    match protocol {
        "tcp" => Ok(PortMapping::tcp(container, host)),
        "udp" => Ok(PortMapping::udp(container, host)),
        _ => Err(expected()),
    }
}

fn volume(text: &str) -> Result<VolumeMount, String> {
    let parts: Vec<_> = text.split(':').collect();
    match parts[..] {
        [host, container] => Ok(VolumeMount::new(host, container)),
        [host, container, "ro"] => Ok(VolumeMount::new(host, container).read_only()),
        _ => Err("expected folders such as /srv/models:/models:ro".to_owned()),
    }
}

impl Deploy {
    pub fn run(self) -> Result<ExitCode, Problem> {
        let client = self.common.client()?;
        let config = self.config(client.api_version())?;
        let interrupt = Interrupt::watch()?;
        let client = client.cancelled_by(interrupt.cancel())?;
        let mut deployed = match client.deployments().deploy(&config) {
            Ok(deployed) => deployed,
            Err(error) if error.is_outcome_unknown() && !interrupt.is_raised() => {
                show_candidates(&client, &config);
                return Err(error.into());
            }
            Err(error) => {
                return Err(interrupt.explain(error, || {
                    "the service may have deployed it: `satellite basilica list` shows it".into()
                }));
            }
        };
        let mut has_failed = false;
        if self.wait {
            deployed.status = wait(&client, &interrupt, &deployed.id)?;
            has_failed = deployed.status.is_over();
        }
        self.common
            .format
            .print(&document(&deployed), || details(&deployed))?;
        match has_failed {
            true => Err(Problem::new(format_args!(
                "{} does not run: {}",
                deployed.id, deployed.status
            ))),
            false => Ok(ExitCode::SUCCESS),
        }
    }

    fn config(&self, version: ApiVersion) -> Result<DeploymentConfig, Problem> {
        let resources = ResourceRequirements::builder()
            .cpu_cores(self.cpus)
            .memory_mb(self.memory)
            .storage_mb(self.storage)
            .gpu_count(self.gpus)
            .gpu_types(&self.gpu_type);
        let mut builder = DeploymentConfig::builder()
            .image(&self.image)
            .resources(resources.build())
            .environment(self.variables.all()?)
            .ports(self.publish.iter().copied())
            .volumes(self.volume.iter().cloned())
            .command(&self.command)
            .no_ssh(self.no_ssh)
            .replicas(self.replicas)
            .public(self.public);
        // The deployments API places it by its resources.
        let needs_place = version == ApiVersion::Rentals && self.gpus > 0;
        builder = match (&self.executor, needs_place) {
            (Some(id), _) => builder.executor_id(id),
            (None, true) => {
                let gpus = GpuRequirements::new(self.gpus, self.min_gpu_memory);
                builder.gpu(match self.gpu_type.first() {
                    Some(name) => gpus.gpu_type(name),
                    None => gpus,
                })
            }
            (None, false) => builder,
        };
        if let Some(key) = self.ssh_key()? {
            builder = builder.ssh_key(key);
        }
        if let Some(name) = &self.name {
            builder = builder.name(name);
        }
        if let Some(ttl) = self.ttl {
            builder = builder.ttl(ttl);
        }
        Ok(builder.build()?)
    }

    /// The public key of `--ssh-key`, or the usual one of this user.
    fn ssh_key(&self) -> Result<Option<String>, Problem> {
        if self.no_ssh {
            return Ok(None);
        }
        if let Some(path) = &self.ssh_key {
            return Ok(Some(remote::read(path)?.trim().to_owned()));
        }
        let folder = std::env::home_dir().unwrap_or_default().join(".ssh");
        let usual = ["id_ed25519.pub", "id_rsa.pub"].map(|name| folder.join(name));
        let found = usual
            .iter()
            .find_map(|path| std::fs::read_to_string(path).ok());
        Ok(found.map(|key| key.trim().to_owned()))
    }
}

/// Waits until a deployment runs or has ended.
fn wait(
    client: &BasilicaClient,
    interrupt: &Interrupt,
    id: &str,
) -> Result<DeploymentStatus, Problem> {
    let goes_on = || {
        format!(
            "{id} goes on; `satellite basilica status {id}` shows it and `satellite basilica stop {id}` ends it"
        )
    };
    let mut progress = Progress::new();
    let mut pause = Duration::from_millis(200);
    loop {
        let status = client.deployments().status(id);
        let status = status.map_err(|error| interrupt.explain(error, goes_on))?;
        if status == DeploymentStatus::Running || status.is_over() {
            return Ok(status);
        }
        progress.show(format_args!("{id} is {status}"));
        let mut left = pause;
        while !left.is_zero() {
            if interrupt.is_raised() {
                progress.clear();
                return Err(interrupt.stopped(goes_on()));
            }
            let step = left.min(Duration::from_millis(100));
            thread::sleep(step);
            left -= step;
        }
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

/// After a lost response: the deployments that it may have been about.
fn show_candidates(client: &BasilicaClient, config: &DeploymentConfig) {
    let found: Vec<Deployment> = client.deployments().matching(config).unwrap_or_default();
    for deployment in found {
        let created = deployment
            .created_at
            .as_deref()
            .unwrap_or("at an unknown time");
        note(format_args!(
            "this may be it: {}, created {created}",
            deployment.id
        ));
    }
}
