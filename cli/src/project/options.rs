//! The options that describe a processor, and what follows from them.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use satellite_sdk::state::Configuration;

use super::fields::{Bucket, Folder, Name, ObjectName, Quantity};
use super::image::Image;

/// Where the pod finds its configuration: the second place that a processor looks at.
pub const CONFIG_FOLDER: &str = "/etc/dory";

/// Where a processor keeps its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Store {
    /// In a ConfigMap of its namespace, with a Lease for the handover
    Configmap,
    /// On a volume
    Pvc,
    /// In a bucket of S3 or of a compatible server
    S3,
    /// Nowhere: an application without state behind the sidecar
    None,
}

/// What a processor needs in a cluster.
#[derive(Debug, Args)]
pub struct Options {
    /// The image [default: NAME:latest]
    #[arg(short, long, value_name = "IMAGE")]
    pub image: Option<Image>,
    /// The namespace, as in kubectl
    #[arg(short, long, default_value = "default", value_name = "NAME")]
    pub namespace: Name,
    /// How many pods; a state has one writer, so more than 1 only with --store none
    #[arg(long, default_value_t = 1, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub replicas: u16,
    /// The port of the endpoints (DORY_HEALTH_PORT) [default: that of --config, or 8080]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub health_port: Option<u16>,
    /// The port of the application, if it has one (DORY_APP_PORT)
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub app_port: Option<u16>,
    /// Settings for /etc/dory/config.yaml in the pod, in the format of dory.yaml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Time from the stop request to the end of the last save, in seconds
    /// (DORY_SHUTDOWN_TIMEOUT_SEC) [default: that of --config, or 30]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=300))]
    pub shutdown_timeout: Option<u16>,
    /// The Secret whose key `token` is the token for /state (DORY_STATE_TOKEN)
    #[arg(long, value_name = "SECRET")]
    pub token_secret: Option<ObjectName>,
    #[command(flatten)]
    pub state: StateOptions,
    #[command(flatten)]
    pub sidecar: SidecarOptions,
    #[command(flatten)]
    pub resources: ResourceOptions,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "State")]
pub struct StateOptions {
    /// Where the state is kept [default: configmap; none for a sidecar without --state-dir]
    #[arg(long, value_enum, hide_possible_values = false)]
    pub store: Option<Store>,
    /// pvc: the size of the volume
    #[arg(long, default_value = "1Gi", value_name = "SIZE", value_parser = Quantity::bytes)]
    pub storage_size: Quantity,
    /// pvc: the StorageClass [default: the cluster's default one]
    #[arg(long, value_name = "NAME")]
    pub storage_class: Option<ObjectName>,
    /// s3: the bucket
    #[arg(long, value_name = "NAME", required_if_eq("store", "s3"))]
    pub s3_bucket: Option<Bucket>,
    /// s3: the server, if it is not Amazon's
    #[arg(long, value_name = "URL")]
    pub s3_endpoint: Option<String>,
    /// s3: the region
    #[arg(long, value_name = "REGION")]
    pub s3_region: Option<String>,
    /// s3: what all names in the bucket begin with
    #[arg(long, value_name = "PREFIX")]
    pub s3_prefix: Option<String>,
    /// s3: the Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    /// [default: NAME-s3]
    #[arg(long, value_name = "SECRET")]
    pub s3_secret: Option<ObjectName>,
    /// configmap: also grants reading the state that dory-sdk saved for this Deployment
    /// without an id of its own
    #[arg(long)]
    pub import_dory_sdk: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Sidecar")]
pub struct SidecarOptions {
    /// An image with `satellite`: runs it beside an unmodified application
    #[arg(long, value_name = "IMAGE")]
    pub sidecar_image: Option<Image>,
    /// The folder of the application that the sidecar keeps as its state (Kubernetes 1.29 or
    /// later). Without --sidecar-image: the image itself starts the application under the
    /// sidecar
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<Folder>,
    /// The path at which the application reports its health (DORY_APP_HEALTH_PATH)
    #[arg(long, value_name = "PATH", requires_all = ["sidecar_image", "app_port"])]
    pub app_health_path: Option<Folder>,
    /// The path at which the application says that it is ready (DORY_APP_READY_PATH)
    #[arg(long, value_name = "PATH", requires_all = ["sidecar_image", "app_port"])]
    pub app_ready_path: Option<Folder>,
    /// The path that the sidecar calls before the pod stops (DORY_APP_PRESTOP_PATH)
    #[arg(long, value_name = "PATH", requires_all = ["sidecar_image", "app_port"])]
    pub app_prestop_path: Option<Folder>,
    /// The pod is ready only while the application answers (DORY_READY_REQUIRES_APP)
    #[arg(long, requires_all = ["sidecar_image", "app_port"])]
    pub ready_requires_app: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Resources")]
pub struct ResourceOptions {
    /// Processors that are reserved
    #[arg(long, default_value = "100m", value_name = "CPU", value_parser = Quantity::cpu)]
    pub cpu: Quantity,
    /// Memory that is reserved
    #[arg(long, default_value = "256Mi", value_name = "SIZE", value_parser = Quantity::bytes)]
    pub memory: Quantity,
    /// Processors that it may use
    #[arg(long, default_value = "500m", value_name = "CPU", value_parser = Quantity::cpu)]
    pub cpu_limit: Quantity,
    /// Memory that it may use
    #[arg(long, default_value = "512Mi", value_name = "SIZE", value_parser = Quantity::bytes)]
    pub memory_limit: Quantity,
}

impl Default for Options {
    fn default() -> Self {
        use clap::Parser;

        #[derive(Parser)]
        struct Defaults {
            #[command(flatten)]
            options: Options,
        }
        Defaults::parse_from(["defaults"]).options
    }
}

/// A processor whose options agree with each other.
#[derive(Debug)]
pub struct Processor {
    pub name: Name,
    pub image: Image,
    pub store: Store,
    pub health_port: u16,
    pub health_path: String,
    pub ready_path: String,
    /// In whole seconds, rounded up.
    pub shutdown_timeout: u16,
    /// The settings for the pod, and the text of their file.
    pub config: Option<String>,
    pub options: Options,
}

impl Processor {
    /// Checks what clap cannot. The error says what does not fit.
    pub fn new(name: Name, mut options: Options) -> Result<Self, String> {
        let sidecar = &options.sidecar;
        let has_state = sidecar.sidecar_image.is_none() || sidecar.state_dir.is_some();
        let store = match (options.state.store, has_state) {
            (None, true) => Store::Configmap,
            (None | Some(Store::None), false) => Store::None,
            (Some(Store::None), true) => {
                return Err("--store none is for an application behind the sidecar, \
                            without --state-dir: see --sidecar-image"
                    .to_owned());
            }
            (Some(_), false) => {
                return Err("--store: a sidecar keeps a state only with --state-dir".to_owned());
            }
            (Some(store), true) => store,
        };
        if store != Store::None && options.replicas > 1 {
            return Err(format!(
                "--replicas {}: a state has one writer; more pods would only wait for it. Give \
                 each processor a name of its own",
                options.replicas
            ));
        }
        if let Some(url) = &options.state.s3_endpoint {
            check_url("--s3-endpoint", url)?;
        }
        let resources = &options.resources;
        for (what, request, limit) in [
            ("cpu", &resources.cpu, &resources.cpu_limit),
            ("memory", &resources.memory, &resources.memory_limit),
        ] {
            if request.value() > limit.value() {
                let (request, limit) = (request.as_str(), limit.as_str());
                return Err(format!(
                    "--{what} {request} is more than --{what}-limit {limit}"
                ));
            }
        }
        let config = match options.config.take() {
            Some(path) => Some(read_config(&name, &path)?),
            None => None,
        };
        let (settings, text) = config.unzip();
        let defaults = || Configuration::from_variables([("DORY_PROCESSOR_ID", name.as_str())]);
        let settings = settings
            .map_or_else(defaults, Ok)
            .map_err(|e| e.to_string())?;
        let health_port = options.health_port.unwrap_or(settings.endpoints().port());
        if options.app_port == Some(health_port) {
            return Err(format!(
                "--app-port {health_port} is also the port of the endpoints: give another one, \
                 or another --health-port"
            ));
        }
        let seconds = settings.shutdown_timeout().as_secs_f64().ceil() as u16;
        let image = match &options.image {
            Some(image) => image.clone(),
            None => format!("{name}:latest").parse()?,
        };
        Ok(Processor {
            image,
            store,
            health_port,
            health_path: settings.health_path().to_owned(),
            ready_path: settings.ready_path().to_owned(),
            shutdown_timeout: options.shutdown_timeout.unwrap_or(seconds),
            config: text,
            name,
            options,
        })
    }

    /// How long the pod may take to end: the hook and the last save, and some time to exit.
    /// A sidecar that keeps a folder saves it after the application has ended, which may take
    /// as long.
    pub fn grace_period(&self) -> u16 {
        match self.keeps_folder_beside() {
            true => 2 * self.shutdown_timeout + 5,
            false => self.shutdown_timeout + 5,
        }
    }

    /// A sidecar in a container of its own keeps a folder of the application. It has to start
    /// before the application and to end after it, and it cannot stop the application to hand
    /// the state over.
    pub fn keeps_folder_beside(&self) -> bool {
        let sidecar = &self.options.sidecar;
        sidecar.sidecar_image.is_some() && sidecar.state_dir.is_some()
    }

    pub fn namespace(&self) -> &str {
        self.options.namespace.as_str()
    }

    pub fn config_name(&self) -> String {
        format!("{}-config", self.name)
    }

    pub fn volume_name(&self) -> String {
        format!("{}-state", self.name)
    }
}

fn check_url(option: &str, url: &str) -> Result<(), String> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let is_inner = |c: char| c.is_ascii_graphic() && !"@?#\"\\".contains(c);
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') && rest.chars().all(is_inner) => {
            Ok(())
        }
        _ => Err(format!(
            "{option}: expected an http or https URL without user, query and fragment"
        )),
    }
}

/// Reads a file of settings as the pod would.
fn read_config(name: &Name, path: &Path) -> Result<(Configuration, String), String> {
    let shown = path.display();
    let mut text = fs::read_to_string(path).map_err(|e| format!("cannot read {shown}: {e}"))?;
    let variables = [
        ("DORY_PROCESSOR_ID", name.as_str()),
        ("KUBERNETES_SERVICE_HOST", "in-the-pod"),
        // The options decide where the state is kept.
        ("DORY_STATE_BACKEND", "pvc"),
    ];
    let settings = Configuration::from_variables_and_file(variables, &shown.to_string(), &text)
        .map_err(|e| e.to_string())?;
    if let [first, ..] = settings.unknown() {
        return Err(first.replace(" is ignored", ""));
    }
    let has_token = settings
        .entries()
        .iter()
        .any(|(key, value)| *key == "state_token" && value == "set");
    if has_token {
        return Err(format!(
            "{shown}: state_token is a secret, and a ConfigMap is not: use --token-secret"
        ));
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok((settings, text))
}
