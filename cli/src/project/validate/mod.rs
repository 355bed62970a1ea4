//! `satellite validate`: the configuration, the manifests against it, and the cluster.

mod cluster;
mod fields;
mod rbac;
mod read;
mod security;
mod settings;
mod workload;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use satellite_sdk::state::Configuration;
use serde_json::json;

use super::files;

/// Checks a processor's settings, its manifests and its rights in the cluster
///
/// The settings are DORY_* variables and dory.yaml, read as a processor reads them. For each
/// container with DORY_* variables in the manifests, ports, probes, hook, grace period, update
/// strategy, volumes and RBAC are compared with the settings that this container would have.
/// Secrets are never printed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  satellite validate
  satellite validate -c dory.yaml k8s/
  helm template my-app charts/processor | satellite validate -
  kubectl proxy & satellite validate --cluster --api http://127.0.0.1:8001 \\
      --as system:serviceaccount:shop:my-app

Exit codes: 0 valid, 1 problems (with --strict also warnings), 2 wrong usage.")]
pub struct Validate {
    /// A file, a folder, or - for stdin [default: k8s, if it exists]
    #[arg(value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
    /// The file of settings [default: as a processor looks for it]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Warnings are problems
    #[arg(long)]
    strict: bool,
    /// Prints one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: cluster::Options,
}

/// What was found.
#[derive(Debug, Default)]
struct Report {
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl Report {
    fn problem(&mut self, place: &str, what: impl std::fmt::Display) {
        self.problems.push(format!("{place}: {what}"));
    }

    fn warning(&mut self, place: &str, what: impl std::fmt::Display) {
        self.warnings.push(format!("{place}: {what}"));
    }
}

impl Validate {
    pub fn run(self) -> ExitCode {
        let mut report = Report::default();
        let mut configuration = self.configuration(&mut report);
        let (manifests, processors): (_, Option<_>) = self.check_manifests(&mut report).unzip();
        let processors: Vec<Configuration> = processors.unwrap_or_default();
        let mut rights = Vec::new();
        if self.cluster.cluster {
            match &mut configuration {
                Some(configuration) => {
                    warn_of_others(configuration, &processors, &mut report);
                    rights = cluster::check(&self.cluster, configuration, &mut report);
                }
                None => report.problem("cluster", "not checked: the configuration is not valid"),
            }
        }
        if self.strict {
            report.problems.append(&mut report.warnings);
        }
        match self.json {
            true => print_json(&report, configuration.as_ref(), &rights),
            false => print(&report, configuration.as_ref(), &manifests, &rights),
        }
        match report.problems.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }

    fn configuration(&self, report: &mut Report) -> Option<Configuration> {
        let read = match &self.config {
            None => Configuration::from_env(),
            Some(path) => {
                let variables = std::env::vars_os().filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                });
                let file = path.to_string_lossy().into_owned();
                let file = ("DORY_CONFIG_FILE".to_owned(), file);
                Configuration::from_variables(variables.chain([file]))
            }
        };
        match read {
            Ok(configuration) => {
                settings::report_names(&configuration, "configuration", report);
                Some(configuration)
            }
            Err(e) => {
                settings::report_error(&e, "configuration", report);
                None
            }
        }
    }

    /// Returns a line about what was checked, and the valid settings of the processors.
    fn check_manifests(&self, report: &mut Report) -> Option<(String, Vec<Configuration>)> {
        let default = || {
            Path::new("k8s")
                .is_dir()
                .then(|| vec![PathBuf::from("k8s")])
        };
        let paths = match self.manifests.is_empty() {
            true => default()?,
            false => self.manifests.clone(),
        };
        let (objects, problems) = read::objects(&paths);
        let is_read = problems.is_empty();
        report.problems.extend(problems);
        let mut processors = Vec::new();
        for object in &objects {
            fields::check(object, report);
            processors.extend(workload::check(object, &objects, report));
        }
        if processors.is_empty() && is_read {
            report.warning("manifests", "no container has DORY_* variables");
        }
        let (count, s) = (objects.len(), if objects.len() == 1 { "" } else { "s" });
        let number = processors.len();
        let plural = if number == 1 { "" } else { "s" };
        let line = format!("{count} object{s}, {number} processor{plural}");
        Some((line, processors.into_iter().flatten().collect()))
    }
}

/// `--cluster` checks what this process would be, which may be none of the manifests' processors.
fn warn_of_others(own: &Configuration, manifests: &[Configuration], report: &mut Report) {
    let known = |it: &Configuration| (it.processor_id().to_owned(), it.backend());
    let (id, backend) = known(own);
    let others: Vec<_> = manifests.iter().map(known).collect();
    if others.contains(&(id.clone(), backend)) {
        return;
    }
    if let Some((other, store)) = others.first() {
        report.warning(
            "cluster",
            format_args!(
                "the processor checked is {id} with the store {backend}, which is not in the \
                 manifests: set DORY_PROCESSOR_ID={other} and DORY_STATE_BACKEND={store} to check \
                 what is in them"
            ),
        );
    }
}

fn print(
    report: &Report,
    configuration: Option<&Configuration>,
    manifests: &Option<String>,
    rights: &[cluster::Line],
) {
    if let Some(configuration) = configuration {
        let has_problem = report
            .problems
            .iter()
            .any(|text| text.starts_with("configuration:"));
        files::say(match has_problem {
            true => "Configuration has problems:",
            false => "Configuration is valid!",
        });
        for (key, value) in configuration.entries() {
            files::say(&format!("  {key}: {}", shown(&value)));
        }
    }
    if let Some(manifests) = manifests {
        files::say(&format!("Manifests: {manifests}"));
    }
    if !rights.is_empty() {
        files::say("Cluster:");
        for line in rights {
            files::say(&format!("  {}: {}", line.what, shown(&line.found)));
        }
    }
    for warning in &report.warnings {
        eprintln!("warning: {}", shown(warning));
    }
    for problem in &report.problems {
        eprintln!("error: {}", shown(problem));
    }
}

/// Without characters that a terminal interprets.
fn shown(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c.is_control() {
            true => c.escape_default().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

fn print_json(report: &Report, configuration: Option<&Configuration>, rights: &[cluster::Line]) {
    let entries = configuration
        .map(Configuration::entries)
        .unwrap_or_default();
    let entries: serde_json::Map<_, _> = entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    let rights: Vec<_> = rights
        .iter()
        .map(|line| json!({ "what": line.what, "found": line.found }))
        .collect();
    let document = json!({
        "valid": report.problems.is_empty(),
        "problems": report.problems,
        "warnings": report.warnings,
        "configuration": entries,
        "cluster": rights,
    });
    files::say(&document.to_string());
}
