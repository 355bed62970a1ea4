//! `satellite generate`: the manifests of a processor.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::Failure;
use super::fields::Name;
use super::files::{self, File, Mode};
use super::manifests::{self, Kind};
use super::options::{Options, Processor};
use super::yaml;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum What {
    /// ServiceAccount, and Role and RoleBinding if the state is in a ConfigMap
    Rbac,
    /// Deployment, with the ConfigMap and the volume that it mounts
    Deployment,
    /// The same as a single Pod
    Pod,
    /// Service for the application's port
    Service,
    /// All of them in one file, without the Pod
    All,
}

/// Generates Kubernetes manifests for a processor in any language
///
/// Ports, probes, hook, grace period, update strategy and the DORY_* variables agree with each
/// other. The same options give the same bytes.
///
/// -n is the namespace, as in kubectl and `init`; in `dory generate` it was the name.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  satellite generate all --name my-app --image registry.example/my-app:1.2
  satellite generate all my-app -n shop -o - | kubectl apply -f -
  satellite generate deployment my-app --store pvc --storage-size 5Gi --dry-run
  satellite generate all my-app --store s3 --s3-bucket states --app-port 8081
  satellite generate deployment web --sidecar-image registry.example/satellite:0.1 \\
      --app-port 80 --state-dir /var/lib/web

Exit codes: 0 written, 1 not written (a file is in the way, options that do not fit),
2 wrong usage.")]
pub struct Generate {
    /// What to generate
    #[arg(value_enum)]
    what: What,
    /// The processor: its id, and the name of its objects
    #[arg(value_name = "NAME", required_unless_present = "name_option")]
    name: Option<Name>,
    /// The same, as an option
    #[arg(
        long = "name",
        id = "name_option",
        value_name = "NAME",
        conflicts_with = "name"
    )]
    name_option: Option<Name>,
    /// The folder to write to; - for stdout
    #[arg(short, long, default_value = "k8s", value_name = "DIR")]
    output: PathBuf,
    /// Overwrites a file
    #[arg(short, long)]
    force: bool,
    /// Says what would be written
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    options: Options,
}

impl Generate {
    pub fn run(self) -> Result<(), Failure> {
        let Some(name) = self.name.or(self.name_option) else {
            return Err(Failure::new("no name given"));
        };
        let processor = Processor::new(name, self.options)?;
        let kind = match self.what {
            What::Rbac => Kind::Rbac,
            What::Deployment => Kind::Deployment,
            What::Pod => Kind::Pod,
            What::Service => Kind::Service,
            What::All => Kind::All,
        };
        let text = yaml::write(&manifests::documents(kind, &processor)?);
        if self.output == Path::new("-") {
            return files::print(&text);
        }
        let mode = Mode {
            force: self.force,
            dry_run: self.dry_run,
        };
        let file = File::new(kind.file_name(), text);
        files::write(&self.output, &[file], mode, "Generated")
    }
}
