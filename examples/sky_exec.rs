//! Runs a command on a cluster, prints the job id, its stdout and its stderr, and
//! exits with its exit code.
//!
//!     cargo run --example sky_exec --features skypilot -- NAME nvidia-smi -L

use std::process::ExitCode;
use std::time::Duration;

use satellite_sdk::compute::skypilot::{Exec, SkyPilotClient};

fn main() -> satellite_sdk::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments
        .next()
        .ok_or("usage: sky_exec CLUSTER COMMAND...")?;
    let command = arguments.collect::<Vec<_>>().join(" ");

    let sky = SkyPilotClient::from_env()?;
    let running = sky.spawn(&Exec::new(name, command).timeout(Duration::from_secs(600)))?;
    eprintln!("job {}", running.job_id());
    let output = running.wait()?;
    print!("{}", output.stdout);
    eprint!("{}", output.stderr);
    Ok(ExitCode::from(output.exit_code as u8))
}
