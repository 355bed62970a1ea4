//! `satellite new`: a crate, from the templates in `examples/` of this project's sources.

use std::path::{Path, PathBuf};

use clap::Args;

use super::fields::Name;
use super::files::{self, File, Mode};
use super::manifests::{self, Kind};
use super::options::{Options, Processor};
use super::{Failure, yaml};

/// What the templates call themselves.
const TEMPLATE_NAME: &str = "my-satellite";

/// A file of a template: its path and its text.
macro_rules! template {
    ($folder:literal: $($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../../examples/", $folder, "/", $path)))),+]
    };
}

/// The same in every crate.
const COMMON: &[(&str, &str)] =
    template!("template": ".cargo/config.toml", ".dockerignore", ".gitignore", "build-static");

const WORKER: &[(&str, &str)] = template!(
    "template":
    "Cargo.toml", "src/main.rs", "README.md", "my-satellite.service", "Dockerfile",
    "k8s/deployment.yaml",
);

const DOCKER: &[(&str, &str)] = template!(
    "template-docker":
    "Cargo.toml", "src/main.rs", "src/docker.rs", "README.md", "my-satellite.service",
    "Dockerfile", "k8s/deployment.yaml",
);

/// Its manifests are generated.
const PROCESSOR: &[(&str, &str)] = template!(
    "template-processor":
    "Cargo.toml", "src/main.rs", "README.md", "my-satellite.service", "Dockerfile",
);

/// Creates a Rust crate for a satellite or a processor
///
/// A crate that builds as it is, with a test, a Dockerfile (FROM scratch, not root), a systemd
/// unit, Kubernetes manifests, and a script that builds it as a static binary.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  satellite new my-worker
  satellite new my-counter --processor
  satellite new my-docker --docker --output ~/src/my-docker
  satellite new my-worker --sdk-path ~/src/satellite-sdk   # before satellite-sdk is published

Exit codes: 0 created, 1 not created (a file is in the way), 2 wrong usage.")]
pub struct New {
    /// The name of the crate, of its folder, and of its objects in a cluster
    #[arg(value_parser = crate_name)]
    name: Name,
    /// A processor: a program whose state outlives its process
    #[arg(long, conflicts_with = "docker")]
    processor: bool,
    /// A satellite that runs containers with the host's Docker engine
    #[arg(long)]
    docker: bool,
    /// The folder [default: NAME]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Uses satellite-sdk from this checkout
    #[arg(long, value_name = "DIR")]
    sdk_path: Option<PathBuf>,
    /// Overwrites files
    #[arg(short, long)]
    force: bool,
    /// Says what would be written
    #[arg(long)]
    dry_run: bool,
}

impl New {
    pub fn run(self) -> Result<(), Failure> {
        let (own, kind) = match (self.processor, self.docker) {
            (true, _) => (PROCESSOR, "processor"),
            (_, true) => (DOCKER, "Docker satellite"),
            _ => (WORKER, "satellite"),
        };
        let mut files: Vec<File> = (COMMON.iter().chain(own))
            .map(|(path, text)| self.file(path, text))
            .collect();
        if self.processor {
            files.extend(self.manifests()?);
        }
        if let Some(sdk) = &self.sdk_path {
            let manifest = files
                .iter_mut()
                .find(|file| file.path == Path::new("Cargo.toml"));
            if let Some(manifest) = manifest {
                manifest.text = with_sdk(&manifest.text, sdk)?;
            }
        }
        let folder = self
            .output
            .clone()
            .unwrap_or_else(|| self.name.as_str().into());
        let mode = Mode {
            force: self.force,
            dry_run: self.dry_run,
        };
        files::write(&folder, &files, mode, "Created")?;
        if !mode.dry_run {
            files::say("");
            files::say(&format!("A {kind}. Next:"));
            files::say(&format!("  cd {}", folder.display()));
            files::say("  cargo test");
            files::say(
                "README.md says how to build the static binary and the image, and how to deploy.",
            );
        }
        Ok(())
    }

    fn file(&self, path: &str, text: &str) -> File {
        let name = self.name.as_str();
        let file = File::new(
            path.replace(TEMPLATE_NAME, name),
            text.replace(TEMPLATE_NAME, name),
        );
        match text.starts_with("#!") {
            true => file.executable(),
            false => file,
        }
    }

    /// The manifests of `satellite generate`, with its defaults.
    fn manifests(&self) -> Result<Vec<File>, Failure> {
        let options = Options {
            image: Some(format!("{}:0.1.0", self.name).parse()?),
            ..Options::default()
        };
        let processor = Processor::new(self.name.clone(), options)?;
        let kinds = [Kind::Rbac, Kind::Deployment].into_iter();
        kinds
            .map(|kind| {
                let text = yaml::write(&manifests::documents(kind, &processor)?);
                Ok(File::new(format!("k8s/{}", kind.file_name()), text))
            })
            .collect()
    }
}

/// Cargo's rules on top of those of Kubernetes.
fn crate_name(text: &str) -> Result<Name, String> {
    // Keywords that are names, crates of the template, and names that Cargo or Rust reserve.
    const RESERVED: [&str; 46] = [
        "abstract",
        "alloc",
        "as",
        "async",
        "await",
        "become",
        "box",
        "break",
        "const",
        "continue",
        "core",
        "crate",
        "do",
        "dyn",
        "else",
        "enum",
        "extern",
        "false",
        "final",
        "fn",
        "for",
        "gen",
        "if",
        "impl",
        "in",
        "let",
        "log",
        "loop",
        "match",
        "mod",
        "move",
        "mut",
        "proc-macro",
        "pub",
        "ref",
        "return",
        "satellite-sdk",
        "self",
        "serde",
        "static",
        "std",
        "struct",
        "super",
        "test",
        "trait",
        "true",
    ];
    const MORE: [&str; 11] = [
        "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield", "try",
        "priv",
    ];
    let name: Name = text.parse()?;
    if !name.is_for_service() {
        return Err("the name of a crate begins with a letter".to_owned());
    }
    match RESERVED.contains(&text) || MORE.contains(&text) {
        true => Err("no crate can have this name: it is reserved".to_owned()),
        false => Ok(name),
    }
}

/// The manifest with the checkout in place of the published crate.
fn with_sdk(manifest: &str, sdk: &Path) -> Result<String, Failure> {
    let shown = sdk.display();
    let found = sdk.canonicalize();
    let sdk = found.map_err(|e| Failure::new(format!("cannot read {shown}: {e}")))?;
    if !sdk.join("Cargo.toml").is_file() {
        return Err(Failure::new(format!("{shown}: no Cargo.toml there")));
    }
    let path = sdk
        .to_str()
        .ok_or_else(|| Failure::new(format!("{shown}: no UTF-8")))?;
    let lines = manifest
        .lines()
        .filter(|line| !line.starts_with("# Until satellite-sdk"));
    let lines = lines.map(|line| match line {
        "# [patch.crates-io]" => "[patch.crates-io]".to_owned(),
        _ if line.starts_with("# satellite-sdk = ") => {
            format!("satellite-sdk = {{ path = {} }}", yaml::json(path))
        }
        _ => line.to_owned(),
    });
    Ok(lines.map(|line| line + "\n").collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cargo_rejects_are_rejected() {
        for wrong in [
            "1st",
            "test",
            "match",
            "serde",
            "satellite-sdk",
            "My_App",
            "use",
        ] {
            assert!(crate_name(wrong).is_err(), "{wrong}");
        }
        assert!(crate_name("my-app").is_ok());
    }

    #[test]
    fn every_template_has_the_lines_that_are_replaced() {
        for template in [WORKER, DOCKER, PROCESSOR] {
            let (_, manifest) = template[0];
            assert!(manifest.contains("name = \"my-satellite\""));
            let changed = with_sdk(manifest, Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
            assert!(
                changed.contains("\n[patch.crates-io]\nsatellite-sdk = { path = \"/"),
                "{changed}"
            );
            assert!(!changed.contains("# [patch"), "{changed}");
        }
    }
}
