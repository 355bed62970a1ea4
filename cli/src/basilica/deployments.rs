//! `satellite basilica list`, `status` and `stop`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use satellite_sdk::compute::basilica::{Deployment, DeploymentStatus, ListFilters};
use serde_json::{Value, json};

use super::Common;
use crate::output::{Problem, Table, confirm, note, visible};

/// Lists deployments
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite basilica list
  satellite basilica list --status running --gpu-type H100
  satellite basilica list --json | jq -r '.[].id'")]
pub struct List {
    /// Only those with this status
    #[arg(long, value_name = "STATUS")]
    status: Option<State>,
    /// Only those with a GPU of this type
    #[arg(long, value_name = "TYPE")]
    gpu_type: Option<String>,
    /// Only those with at least this many GPUs
    #[arg(long, value_name = "N")]
    min_gpu_count: Option<u32>,
    #[command(flatten)]
    common: Common,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum State {
    Pending,
    Running,
    Stopped,
    Failed,
}

impl List {
    pub fn run(self) -> Result<ExitCode, Problem> {
        let (client, _) = self.common.interruptible()?;
        let mut filters = ListFilters::default();
        if let Some(status) = self.status {
            filters = filters.status(match status {
                State::Pending => DeploymentStatus::Pending,
                State::Running => DeploymentStatus::Running,
                State::Stopped => DeploymentStatus::Stopped,
                State::Failed => DeploymentStatus::Failed(String::new()),
            });
        }
        if let Some(name) = self.gpu_type {
            filters = filters.gpu_type(name);
        }
        if let Some(count) = self.min_gpu_count {
            filters = filters.min_gpu_count(count);
        }
        let found = client.deployments().list(&filters)?;
        let documents: Vec<_> = found.iter().map(document).collect();
        self.common.format.print(&documents, || table(&found))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Shows a deployment
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite basilica status rental-7f31
  satellite basilica status rental-7f31 --json | jq -r .status

Exits with 1 if it does not exist; the rentals API forgets a deployment that was stopped.")]
pub struct Status {
    /// Id of the deployment
    id: String,
    #[command(flatten)]
    common: Common,
}

impl Status {
    pub fn run(self) -> Result<ExitCode, Problem> {
        let (client, _) = self.common.interruptible()?;
        let deployment = client.deployments().get(&self.id)?;
        self.common
            .format
            .print(&document(&deployment), || details(&deployment))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Stops deployments for ever
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite basilica stop rental-7f31
  satellite basilica stop rental-7f31 rental-7f32 --yes

If one of several fails, the others are still stopped, and the exit code is 1.")]
pub struct Stop {
    /// Ids of the deployments
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Does not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

impl Stop {
    pub fn run(self) -> Result<ExitCode, Problem> {
        let list = self.ids.join(", ");
        confirm(
            format_args!("Stop {list} and delete all data in it?"),
            self.yes,
        )?;
        let (client, interrupt) = self.common.interruptible()?;
        let (mut stopped, mut failures) = (Vec::new(), Vec::new());
        for id in &self.ids {
            match client.deployments().stop(id) {
                Ok(()) => stopped.push(id),
                Err(error) if interrupt.is_raised() => {
                    return Err(interrupt.explain(error, || {
                        "the service may stop it: `satellite basilica list` shows it".to_owned()
                    }));
                }
                Err(error) => failures.push(error),
            }
        }
        self.common
            .format
            .print(&json!({ "stopped": stopped }), || {
                let lines: Vec<_> = stopped.iter().map(|id| format!("{id} stopped")).collect();
                lines.join("\n")
            })?;
        let Some(last) = failures.pop() else {
            return Ok(ExitCode::SUCCESS);
        };
        for failure in failures {
            note(format_args!("error: {}", visible(&failure.to_string())));
        }
        Err(last.into())
    }
}

fn table(deployments: &[Deployment]) -> String {
    let mut table = Table::new(["ID", "STATUS", "IMAGE", "MACHINE", "GPUS", "CREATED", "URL"]);
    for deployment in deployments {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        table.row([
            deployment.id.clone(),
            deployment.status.to_string(),
            text(&deployment.image),
            text(&deployment.executor_id),
            gpus(deployment),
            text(&deployment.created_at),
            text(&deployment.url),
        ]);
    }
    table.text_or("no deployments")
}

fn gpus(deployment: &Deployment) -> String {
    let resources = deployment
        .machine_resources
        .as_ref()
        .or(deployment.resources.as_ref());
    match resources {
        Some(resources) if resources.gpu_count > 0 => {
            let types = resources.gpu_types.join(", ");
            format!("{}x {types}", resources.gpu_count)
                .trim_end_matches(['x', ' '])
                .to_owned()
        }
        _ => String::new(),
    }
}

/// A deployment as lines for people.
pub fn details(deployment: &Deployment) -> String {
    let ports = deployment.ports.iter().map(|port| {
        format!(
            "{} -> {}/{}",
            port.host_port,
            port.container_port,
            protocol(port)
        )
    });
    let ports = ports.collect::<Vec<_>>().join(", ");
    let ssh = deployment.ssh_access.as_ref().map(ToString::to_string);
    let rows = [
        ("id", Some(deployment.id.clone())),
        ("status", Some(deployment.status.to_string())),
        ("image", deployment.image.clone()),
        ("machine", deployment.executor_id.clone()),
        ("gpus", Some(gpus(deployment))),
        ("created", deployment.created_at.clone()),
        ("ports", Some(ports)),
        ("url", deployment.url.clone()),
        ("ssh", ssh),
    ];
    let rows = rows.into_iter().filter_map(|(name, text)| {
        let text = text.filter(|text| !text.is_empty())?;
        Some(format!("{name:<8} {}", visible(&text)))
    });
    rows.collect::<Vec<_>>().join("\n")
}

fn protocol(port: &satellite_sdk::compute::basilica::PortMapping) -> String {
    format!("{:?}", port.protocol).to_lowercase()
}

/// A deployment for programs. The SSH credentials as the service writes them are left out:
/// they may contain more than the command.
pub fn document(deployment: &Deployment) -> Value {
    let (status, reason) = match &deployment.status {
        DeploymentStatus::Failed(reason) if !reason.is_empty() => ("failed".into(), Some(reason)),
        status => (status.to_string(), None),
    };
    json!({
        "id": deployment.id,
        "status": status,
        "reason": reason,
        "image": deployment.image,
        "executor_id": deployment.executor_id,
        "created_at": deployment.created_at,
        "url": deployment.url,
        "ports": deployment.ports,
        "resources": deployment.resources,
        "machine_resources": deployment.machine_resources,
        "ssh": deployment.ssh_access.as_ref().map(|access| json!({
            "user": access.user,
            "host": access.host,
            "port": access.port,
            "command": access.to_string(),
        })),
    })
}
