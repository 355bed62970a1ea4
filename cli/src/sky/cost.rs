//! What work costs, and where it can run.

use std::process::ExitCode;

use clap::Args;
use satellite_sdk::compute::skypilot::{ClusterCost, Estimate, Health};
use serde_json::{Value, json};

use super::task::{Entry, TaskOptions};
use super::{Common, is_local};
use crate::output::{Problem, Progress, Table, visible};
use crate::time::{ago, short};

/// Lists what clusters have cost, or estimates what a task would cost
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite sky cost                       # of the last 30 days
  satellite sky cost --days 7 --json
  satellite sky cost task.yaml --hours 24  # an estimate; launches nothing
  satellite sky cost --gpus H100:8 --infra aws")]
pub struct Cost {
    /// Task file, or a shell command after --, for an estimate
    #[arg(value_name = "TASK|COMMAND")]
    entry: Vec<String>,
    /// Number of hours of the estimate
    #[arg(long, value_name = "HOURS", default_value_t = 1.0, value_parser = hours)]
    hours: f64,
    /// Number of days of the report
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    days: u32,
    #[command(flatten)]
    options: TaskOptions,
    #[command(flatten)]
    common: Common,
}

fn hours(text: &str) -> Result<f64, String> {
    let hours = text
        .parse()
        .ok()
        .filter(|hours: &f64| hours.is_finite() && *hours > 0.0);
    hours.ok_or_else(|| "expected more than 0 hours".to_owned())
}

impl Cost {
    pub fn run(self) -> Result<ExitCode, Problem> {
        let (client, _) = self.common.interruptible()?;
        let entry = Entry::of(&self.entry);
        match entry == Entry::Empty && !self.options.sets_resources() {
            true => {
                let costs = client.cost_report(self.days)?;
                let documents: Vec<_> = costs.iter().map(document).collect();
                self.common.format.print(&documents, || table(&costs))?;
            }
            false => {
                let task = self.options.task(&entry, is_local(&client))?;
                let estimate = client.estimate_cost(task, self.hours)?;
                self.common
                    .format
                    .print(&described(&estimate), || sentence(&estimate))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(costs: &[ClusterCost]) -> String {
    let mut table = Table::new(["NAME", "LAUNCHED", "DURATION", "COST", "COST/HOUR"]);
    for cost in costs {
        let per_hour = cost.cost_per_hour();
        table.row([
            cost.name.clone(),
            ago(cost.launched_at),
            short(cost.duration),
            format!("${:.2}", cost.total_cost),
            per_hour.map_or(String::new(), |cost| format!("${cost:.2}")),
        ]);
    }
    table.text_or("no clusters")
}

fn document(cost: &ClusterCost) -> Value {
    json!({
        "name": cost.name,
        "launched_at": cost.launched_at,
        "duration_seconds": cost.duration,
        "total_cost": cost.total_cost,
        "cost_per_hour": cost.cost_per_hour(),
        "currency": cost.currency,
    })
}

fn sentence(estimate: &Estimate) -> String {
    let about = if estimate.is_exact { "" } else { "about " };
    let place = match &estimate.region {
        Some(region) => format!("{} ({region})", estimate.provider),
        None => estimate.provider.clone(),
    };
    let machine = match &estimate.accelerators {
        Some(accelerators) => format!("{} with {accelerators}", estimate.instance_type),
        None => estimate.instance_type.clone(),
    };
    visible(&format!(
        "{about}${:.2} for {} h: {} x {machine} on {place}, {about}${:.2} an hour",
        estimate.total, estimate.hours, estimate.nodes, estimate.cost_per_hour
    ))
}

fn described(estimate: &Estimate) -> Value {
    json!({
        "provider": estimate.provider,
        "region": estimate.region,
        "instance_type": estimate.instance_type,
        "accelerators": estimate.accelerators,
        "nodes": estimate.nodes,
        "hours": estimate.hours,
        "total_cost": estimate.total,
        "cost_per_hour": estimate.cost_per_hour,
        "currency": estimate.currency,
        "is_exact": estimate.is_exact,
    })
}

/// Checks the server and the clouds that it can use
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite sky check
  satellite sky check aws gcp --json

Exits with 1 if the server is not healthy or can use none of the clouds.")]
pub struct Check {
    /// Clouds to check; without any, all of them
    #[arg(value_name = "CLOUD")]
    clouds: Vec<String>,
    #[command(flatten)]
    common: Common,
}

impl Check {
    pub fn run(self) -> Result<ExitCode, Problem> {
        let (client, interrupt) = self.common.interruptible()?;
        let health: Health = client.health()?;
        let clouds: Vec<_> = self.clouds.iter().map(String::as_str).collect();
        let mut progress = Progress::new();
        progress.show("the server is checking the clouds");
        let enabled = client.check(&clouds);
        progress.clear();
        let enabled = enabled.map_err(|error| {
            interrupt.explain(error, || "the server goes on checking".to_owned())
        })?;
        let document = json!({
            "url": client.url(),
            "status": health.status,
            "version": health.version,
            "api_version": health.api_version,
            "clouds": enabled,
        });
        self.common.format.print(&document, || {
            let mut table = Table::new(["WORKSPACE", "CLOUD", "CAPABILITIES"]);
            for (workspace, clouds) in &enabled {
                for (cloud, capabilities) in clouds {
                    table.row([workspace.clone(), cloud.clone(), capabilities.join(", ")]);
                }
            }
            let server = format!(
                "{} is {}, version {}, API version {}",
                client.url(),
                health.status,
                health.version,
                health.api_version
            );
            format!(
                "{}\n{}",
                visible(&server),
                table.text_or("no cloud is usable")
            )
        })?;
        let is_usable = enabled.values().any(|clouds| !clouds.is_empty());
        Ok(match health.is_healthy() && is_usable {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}
