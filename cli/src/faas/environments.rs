//! `satellite faas env`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use satellite_sdk::compute::faas::{Environment, EnvironmentSpec};
use serde_json::{Value, json};

use super::Common;
use crate::output::{Problem, Table, confirm};

/// Manages the environments that code runs in
#[derive(Subcommand)]
pub enum Command {
    List(List),
    Create(Create),
    Get(Get),
    Delete(Delete),
}

impl Command {
    pub fn run(self) -> Result<ExitCode, Problem> {
        match self {
            Command::List(list) => list.run(),
            Command::Create(create) => create.run(),
            Command::Get(get) => get.run(),
            Command::Delete(delete) => delete.run(),
        }
    }
}

/// Lists environments
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite faas env list
  satellite faas env list --json | jq -r '.[].name'")]
pub struct List {
    #[command(flatten)]
    common: Common,
}

impl List {
    fn run(self) -> Result<ExitCode, Problem> {
        let (client, _) = self.common.interruptible()?;
        let environments = client.environments().list()?;
        let documents: Vec<_> = environments.iter().map(document).collect();
        self.common
            .format
            .print(&documents, || table(&environments))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Creates an environment
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite faas env create my-env --base rust:latest --cache aggressive
  satellite faas env create train --base python:3.12 --memory 4096 --feature gpu
  satellite faas env create tools --base debian --layer '{\"run\": \"apt-get install -y jq\"}'")]
pub struct Create {
    /// Name of the environment
    name: String,
    /// Base image
    #[arg(long, value_name = "IMAGE")]
    base: String,
    /// Cache strategy, as the server names it
    #[arg(long, value_name = "STRATEGY")]
    cache: Option<String>,
    /// Layer, as JSON in the server's own format; may be repeated
    #[arg(long, value_name = "JSON", value_parser = layer)]
    layer: Vec<Value>,
    /// CPU cores of its executions
    #[arg(long, value_name = "N")]
    cpus: Option<f64>,
    /// Memory of its executions in MB
    #[arg(long, value_name = "MB")]
    memory: Option<u64>,
    /// Enables a feature, or disables it with =false
    #[arg(long, value_name = "NAME[=BOOL]", value_parser = feature)]
    feature: Vec<(String, bool)>,
    #[command(flatten)]
    common: Common,
}

fn layer(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("expected JSON: {error}"))
}

fn feature(text: &str) -> Result<(String, bool), String> {
    match text.split_once('=') {
        None => Ok((text.to_owned(), true)),
        Some((name, "true")) => Ok((name.to_owned(), true)),
        Some((name, "false")) => Ok((name.to_owned(), false)),
        Some(_) => Err("expected true or false after =".to_owned()),
    }
}

impl Create {
    fn run(self) -> Result<ExitCode, Problem> {
        let mut spec = EnvironmentSpec::new(&self.base);
        if let Some(strategy) = &self.cache {
            spec = spec.cache_strategy(strategy);
        }
        if let Some(cores) = self.cpus {
            spec = spec.cpu_cores(cores);
        }
        if let Some(megabytes) = self.memory {
            spec = spec.memory_mb(megabytes);
        }
        for layer in self.layer {
            spec = spec.layer(layer);
        }
        for (name, enabled) in self.feature {
            spec = spec.feature(name, enabled);
        }
        let (client, interrupt) = self.common.interruptible()?;
        let name = &self.name;
        let created = client.environments().create(name, &spec).map_err(|error| {
            interrupt.explain(error, || {
                format!("the server may create it: `satellite faas env get {name}` shows it")
            })
        })?;
        let text = || format!("environment {} created", created.name);
        self.common.format.print(&document(&created), text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Shows an environment
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite faas env get my-env
  satellite faas env get my-env --json")]
pub struct Get {
    /// Name of the environment
    name: String,
    #[command(flatten)]
    common: Common,
}

impl Get {
    fn run(self) -> Result<ExitCode, Problem> {
        let (client, _) = self.common.interruptible()?;
        let environment = client.environments().get(&self.name)?;
        let text = || table(std::slice::from_ref(&environment));
        self.common.format.print(&document(&environment), text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Deletes environments
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite faas env delete my-env
  satellite faas env delete my-env other-env --yes")]
pub struct Delete {
    /// Names of the environments
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Does not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

impl Delete {
    fn run(self) -> Result<ExitCode, Problem> {
        let list = self.names.join(", ");
        confirm(format_args!("Delete environment {list}?"), self.yes)?;
        let (client, _) = self.common.interruptible()?;
        for name in &self.names {
            client.environments().delete(name)?;
        }
        let document = json!({ "deleted": self.names });
        self.common
            .format
            .print(&document, || format!("environment {list} deleted"))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn table(environments: &[Environment]) -> String {
    let titles = [
        "NAME",
        "BASE IMAGE",
        "CPUS",
        "MEMORY",
        "CACHE",
        "LAYERS",
        "FEATURES",
    ];
    let mut table = Table::new(titles);
    for environment in environments {
        let resources = environment.resources.clone().unwrap_or_default();
        let features = environment.features.iter().filter(|(_, is_on)| **is_on);
        let features: Vec<_> = features.map(|(name, _)| name.as_str()).collect();
        let cache = match &environment.cache_strategy {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        table.row([
            environment.name.clone(),
            environment.base_image.clone(),
            resources
                .cpu_cores
                .map_or(String::new(), |cores| cores.to_string()),
            resources
                .memory_mb
                .map_or(String::new(), |mb| format!("{mb} MB")),
            cache,
            environment.layers.len().to_string(),
            features.join(","),
        ]);
    }
    table.text_or("no environments")
}

fn document(environment: &Environment) -> Value {
    json!({
        "id": environment.id,
        "name": environment.name,
        "base_image": environment.base_image,
        "layers": environment.layers,
        "resources": environment.resources,
        "cache_strategy": environment.cache_strategy,
        "features": environment.features,
    })
}
