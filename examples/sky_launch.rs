//! Launches a cluster and waits for it, printing each status change.
//!
//!     cargo run --example sky_launch --features skypilot -- NAME task.yaml [--dry-run]
//!
//! `SKYPILOT_API_SERVER_URL` and `SKYPILOT_SERVICE_ACCOUNT_TOKEN` configure the server.

use satellite_sdk::compute::skypilot::{Launch, SkyPilotClient, Task};

fn main() -> satellite_sdk::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, file, options @ ..] = &arguments[..] else {
        return Err("usage: sky_launch CLUSTER TASK_FILE [--dry-run]".into());
    };
    let task = Task::yaml(std::fs::read_to_string(file)?);
    let is_dry = options.iter().any(|option| option == "--dry-run");
    let sky = SkyPilotClient::from_env()?;
    sky.validate(task.clone())?;

    let launch = Launch::new(name, task)
        .idle_minutes_to_stop(30)
        .dry_run(is_dry);
    let started = std::time::Instant::now();
    let request = sky.launch(&launch)?;
    let launched = request.wait_with(|record| {
        let message = record.status_msg.as_deref().unwrap_or_default();
        let seconds = started.elapsed().as_secs();
        eprintln!("{name}: {} after {seconds} s {message}", record.status);
    });
    match launched?.job_id {
        Some(job) => println!("{name} is up and runs job {job}"),
        None => println!("dry run: {name} can be launched"),
    }
    Ok(())
}
