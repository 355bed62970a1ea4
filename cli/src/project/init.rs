//! `satellite init`: a project for a processor in any language.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Failure;
use super::fields::Name;
use super::files::{self, File, Mode};
use super::manifests::{self, Kind};
use super::options::{Options, Processor};
use super::yaml;

/// Where the images of the examples keep the application's state.
const STATE_DIR: &str = "/state";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Python,
    Go,
    Shell,
    /// Only the settings and the manifests
    None,
}

impl Language {
    /// The program, and the Dockerfile that starts it under the sidecar.
    fn files(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Language::Python => vec![
                ("main.py", include_str!("../../templates/python/main.py")),
                (
                    "Dockerfile",
                    include_str!("../../templates/python/Dockerfile"),
                ),
            ],
            Language::Go => vec![
                ("main.go", include_str!("../../templates/go/main.go")),
                ("go.mod", include_str!("../../templates/go/go.mod.txt")),
                ("Dockerfile", include_str!("../../templates/go/Dockerfile")),
            ],
            Language::Shell => vec![
                ("main.sh", include_str!("../../templates/shell/main.sh")),
                (
                    "Dockerfile",
                    include_str!("../../templates/shell/Dockerfile"),
                ),
            ],
            Language::None => vec![],
        }
    }
}

/// Starts a processor in any language: program, Dockerfile, settings and manifests
///
/// Writes an example program, a Dockerfile that runs it under `satellite sidecar`, dory.yaml,
/// and k8s/rbac.yaml, k8s/deployment.yaml and, with --app-port, k8s/service.yaml. For a
/// processor in Rust, see `satellite new --processor`.
///
/// Writes nothing if a file with another content is in the way.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  satellite init my-app --image registry.example/my-app:1.2
  satellite init my-app --language go --output my-app -n shop
  satellite init my-app --language none --store pvc --dry-run

Exit codes: 0 written, 1 not written (a file is in the way, options that do not fit),
2 wrong usage.")]
pub struct Init {
    /// The processor: its id, and the name of its objects
    name: Name,
    /// The language of the example
    #[arg(short, long, value_enum, default_value = "python")]
    language: Language,
    /// The folder to write to
    #[arg(short, long, default_value = ".", value_name = "DIR")]
    output: PathBuf,
    /// Overwrites files
    #[arg(short, long)]
    force: bool,
    /// Says what would be written
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    options: Options,
}

impl Init {
    pub fn run(mut self) -> Result<(), Failure> {
        let has_example = self.language != Language::None;
        let is_beside = self.options.sidecar.sidecar_image.is_some();
        if has_example && is_beside {
            return Err(Failure::new(
                "--sidecar-image is for an application with an image of its own: use \
                 --language none",
            ));
        }
        if has_example && self.options.sidecar.state_dir.is_none() {
            self.options.sidecar.state_dir = Some(STATE_DIR.parse()?);
        }
        let has_settings = self.options.config.is_some();
        let mut processor = Processor::new(self.name, self.options)?;
        let mut files = Vec::new();
        if !has_settings {
            let settings = settings(&processor);
            processor.config = Some(settings.clone());
            files.push(File::new("dory.yaml", settings));
        }
        for (path, text) in self.language.files() {
            files.push(File::new(path, adapted(text, &processor)));
        }
        let mut kinds = vec![Kind::Rbac, Kind::Deployment];
        if processor.options.app_port.is_some() {
            kinds.push(Kind::Service);
        }
        for kind in kinds {
            let text = yaml::write(&manifests::documents(kind, &processor)?);
            files.push(File::new(format!("k8s/{}", kind.file_name()), text));
        }
        let mode = Mode {
            force: self.force,
            dry_run: self.dry_run,
        };
        files::write(&self.output, &files, mode, "Created")?;
        if !mode.dry_run {
            next_steps(&processor, has_example);
        }
        Ok(())
    }
}

/// The settings, for local runs and for the pod.
fn settings(processor: &Processor) -> String {
    format!(
        "# Settings of {name}: read from this folder, and in the pod from /etc/dory/config.yaml,\n\
         # which k8s/deployment.yaml holds a copy of. DORY_* variables take precedence.\n\
         processor_id: {id}\n\
         health_port: {port}\n\
         shutdown_timeout_sec: {seconds}\n\
         log_level: INFO\n",
        name = processor.name,
        id = yaml::scalar(processor.name.as_str()),
        port = processor.health_port,
        seconds = processor.shutdown_timeout,
    )
}

fn adapted(text: &str, processor: &Processor) -> String {
    let state_dir = processor.options.sidecar.state_dir.as_ref();
    let state_dir = state_dir.map_or(STATE_DIR, |folder| folder.as_str());
    text.replace("my-app", processor.name.as_str())
        .replace("MY-IMAGE", processor.image.as_str())
        .replace("EXPOSE 8080", &format!("EXPOSE {}", processor.health_port))
        .replace("STATE_DIR=/state", &format!("STATE_DIR={state_dir}"))
        .replace("\"/state\"", &yaml::json(state_dir))
        .replace("keeps /state.", &format!("keeps {state_dir}."))
}

fn next_steps(processor: &Processor, has_example: bool) {
    files::say("");
    files::say("Next:");
    if has_example {
        files::say("  cp \"$(command -v satellite)\" .   # the static binary, into the image");
        let image = processor.image.as_str();
        files::say(&format!("  docker build --tag {image} ."));
        files::say(&format!(
            "  docker push {image}   # a registry that the cluster pulls from"
        ));
    }
    files::say("  satellite validate k8s");
    files::say("  kubectl apply -f k8s/");
}
