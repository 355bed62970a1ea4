//! `satellite basilica nodes`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use satellite_sdk::compute::basilica::{CpuOffering, Executor, ExecutorFilters};
use serde_json::{Value, json};

use super::Common;
use crate::output::{Problem, Table};

/// Lists available machines
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite basilica nodes
  satellite basilica nodes --gpu-type H100 --min-gpu-count 8
  satellite basilica nodes --country FI --json | jq -r '.[0].id'
  satellite basilica nodes --cpu --api deployments")]
pub struct Nodes {
    /// Type of GPU, such as H100
    #[arg(long, value_name = "TYPE")]
    gpu_type: Option<String>,
    /// Number of GPUs, at least
    #[arg(long, value_name = "N")]
    min_gpu_count: Option<u32>,
    /// Memory of each GPU in GB, at least
    #[arg(long, value_name = "GB")]
    min_gpu_memory: Option<u32>,
    /// City
    #[arg(long, value_name = "NAME")]
    city: Option<String>,
    /// Region
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Country
    #[arg(long, value_name = "NAME")]
    country: Option<String>,
    /// Machines without GPUs, with the deployments API
    #[arg(long, conflicts_with_all = [
        "gpu_type", "min_gpu_count", "min_gpu_memory", "city", "region", "country",
    ])]
    cpu: bool,
    #[command(flatten)]
    common: Common,
}

impl Nodes {
    pub fn run(self) -> Result<ExitCode, Problem> {
        let (client, _) = self.common.interruptible()?;
        if self.cpu {
            let offerings = client.executors().cpu_offerings()?;
            let documents: Vec<_> = offerings.iter().map(offering_document).collect();
            self.common
                .format
                .print(&documents, || offering_table(&offerings))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut filters = ExecutorFilters::default();
        if let Some(name) = self.gpu_type {
            filters = filters.gpu_type(name);
        }
        if let Some(count) = self.min_gpu_count {
            filters = filters.min_gpu_count(count);
        }
        if let Some(gigabytes) = self.min_gpu_memory {
            filters = filters.min_gpu_memory_gb(gigabytes);
        }
        if let Some(name) = self.city {
            filters = filters.city(name);
        }
        if let Some(name) = self.region {
            filters = filters.region(name);
        }
        if let Some(name) = self.country {
            filters = filters.country(name);
        }
        let nodes = client.executors().find(&filters)?;
        let documents: Vec<_> = nodes.iter().map(document).collect();
        self.common.format.print(&documents, || table(&nodes))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn table(nodes: &[Executor]) -> String {
    let titles = [
        "ID",
        "GPUS",
        "CPUS",
        "MEMORY",
        "LOCATION",
        "PRICE/HOUR",
        "UPTIME",
    ];
    let mut table = Table::new(titles);
    for node in nodes {
        let price = node
            .hourly_rate_cents
            .map(|cents| format!("${:.2}", cents / 100.0));
        table.row([
            node.id.clone(),
            gpus(node),
            node.cpu_specs.cores.to_string(),
            format!("{} GB", node.cpu_specs.memory_gb),
            node.location.clone().unwrap_or_default(),
            price.unwrap_or_default(),
            format!("{:.1}%", node.uptime_percentage),
        ]);
    }
    table.text_or("no machine is available")
}

/// `8x NVIDIA H100 80 GB`.
fn gpus(node: &Executor) -> String {
    let mut counts = BTreeMap::new();
    for gpu in &node.gpu_specs {
        *counts.entry((&gpu.name, gpu.memory_gb)).or_insert(0) += 1;
    }
    let counts = counts.iter();
    let texts = counts.map(|((name, memory), count)| format!("{count}x {name} {memory} GB"));
    texts.collect::<Vec<_>>().join(", ")
}

fn document(node: &Executor) -> Value {
    let gpus = node.gpu_specs.iter().map(|gpu| {
        json!({
            "name": gpu.name,
            "memory_gb": gpu.memory_gb,
            "compute_capability": gpu.compute_capability,
        })
    });
    json!({
        "id": node.id,
        "gpus": gpus.collect::<Vec<_>>(),
        "cpu": {
            "cores": node.cpu_specs.cores,
            "model": node.cpu_specs.model,
            "memory_gb": node.cpu_specs.memory_gb,
        },
        "location": node.location,
        "hourly_rate_cents": node.hourly_rate_cents,
        "available_until": node.available_until,
        "verification_score": node.verification_score,
        "uptime_percentage": node.uptime_percentage,
    })
}

fn offering_table(offerings: &[CpuOffering]) -> String {
    let titles = [
        "ID",
        "PROVIDER",
        "CPUS",
        "MEMORY",
        "DISK",
        "REGION",
        "PRICE/HOUR",
    ];
    let mut table = Table::new(titles);
    for offering in offerings {
        table.row([
            offering.id.clone(),
            offering.provider.clone(),
            offering.vcpu_count.to_string(),
            format!("{} GB", offering.system_memory_gb),
            format!("{} GB", offering.storage_gb),
            offering.region.clone(),
            format!("${}", offering.hourly_rate),
        ]);
    }
    table.text_or("no machine is available")
}

fn offering_document(offering: &CpuOffering) -> Value {
    json!({
        "id": offering.id,
        "provider": offering.provider,
        "vcpu_count": offering.vcpu_count,
        "memory_gb": offering.system_memory_gb,
        "storage_gb": offering.storage_gb,
        "region": offering.region,
        "hourly_rate": offering.hourly_rate,
        "availability": offering.availability,
    })
}
