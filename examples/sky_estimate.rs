//! Estimates the cost of a task without launching anything.
//!
//!     cargo run --example sky_estimate --features skypilot -- task.yaml 24

use satellite_sdk::compute::skypilot::{SkyPilotClient, Task};

fn main() -> satellite_sdk::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments
        .next()
        .ok_or("usage: sky_estimate TASK_FILE [HOURS]")?;
    let hours = arguments
        .next()
        .and_then(|hours| hours.parse().ok())
        .unwrap_or(1.0);

    let task = Task::yaml(std::fs::read_to_string(file)?);
    let estimate = SkyPilotClient::from_env()?.estimate_cost(task, hours)?;
    println!(
        "{} × {} on {} {}, {}",
        estimate.nodes,
        estimate.instance_type,
        estimate.provider,
        estimate.region.as_deref().unwrap_or("anywhere"),
        estimate
            .accelerators
            .as_deref()
            .unwrap_or("no accelerators"),
    );
    let precision = if estimate.is_exact {
        "exact"
    } else {
        "rounded to cents"
    };
    println!(
        "{} {currency} an hour ({precision}), {:.2} {currency} for {hours} h",
        estimate.cost_per_hour,
        estimate.total,
        currency = estimate.currency,
    );
    Ok(())
}
