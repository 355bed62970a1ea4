//! A satellite that trains on a local GPU, or rents one if there is none. The platform
//! sees no difference. Runs against a mock platform and a mock Basilica:
//!
//!     cargo run --example burst

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use satellite_sdk::compute::basilica::{
    BasilicaClient, Deployment, DeploymentConfig, GpuRequirements,
};
use satellite_sdk::compute::{Cancel, Ended};
use satellite_sdk::testing::{MockBasilica, MockPlatform, mock_task};
use satellite_sdk::{Context, Error, Result, Task, done};
use serde_json::{Value, json};

#[derive(serde::Deserialize)]
struct Training {
    image: String,
    command: Vec<String>,
    gpu_memory_gb: u32,
}

fn train(task: Training, basilica: &BasilicaClient, cx: &Context) -> Result<Value> {
    match Path::new("/dev/nvidia0").exists() {
        true => train_locally(&task),
        false => train_remotely(&task, basilica, cx),
    }
}

fn train_locally(task: &Training) -> Result<Value> {
    let mut docker = Command::new("docker");
    docker.args(["run", "--rm", "--gpus", "all", &task.image]);
    let output = docker.args(&task.command).output()?;
    match output.status.success() {
        true => done(json!({ "where": "local" })),
        false => Err(Error::new(String::from_utf8_lossy(&output.stderr))),
    }
}

fn train_remotely(task: &Training, basilica: &BasilicaClient, cx: &Context) -> Result<Value> {
    let config = DeploymentConfig::builder()
        .gpu(GpuRequirements::new(1, task.gpu_memory_gb))
        .image(&task.image)
        .command(task.command.clone())
        .no_ssh(true)
        .build()?;
    let deployment = deploy(basilica, &config)?;
    log::info!("no local GPU: training on deployment {}", deployment.id);
    let trained = follow(&deployment, basilica, cx);
    // Stop the rental even if the training failed: it costs until it is stopped.
    match basilica.deployments().stop(&deployment.id) {
        Err(error) if !error.is_not_found() => {
            log::error!("{} may still cost money: {error}", deployment.id)
        }
        _ => {}
    }
    done(json!({ "where": deployment.id, "last_line": trained? }))
}

/// If the response was lost, looks for the deployment instead of creating a second one.
fn deploy(basilica: &BasilicaClient, config: &DeploymentConfig) -> Result<Deployment> {
    basilica.deployments().deploy(config).or_else(|error| {
        if !error.is_outcome_unknown() {
            return Err(error);
        }
        let found = basilica.deployments().matching(config)?;
        found.into_iter().next().ok_or(error)
    })
}

/// Returns the last line of the log when it ends. A stop of the satellite cancels the wait.
fn follow(deployment: &Deployment, basilica: &BasilicaClient, cx: &Context) -> Result<String> {
    let cancel = Cancel::new();
    let basilica = basilica.cancelled_by(&cancel)?;
    let mut log = basilica.deployments().logs(&deployment.id, true)?;
    let mut last = String::new();
    for line in &mut log {
        last = line?.message;
        println!("  {}: {last}", deployment.id);
        if cx.is_stopping() {
            cancel.cancel();
        }
    }
    match log.ended() {
        Some(Ended::Complete) => Ok(last),
        ended => Err(Error::new(format_args!("the log ended early: {ended:?}"))),
    }
}

fn main() -> Result<()> {
    let mock = MockBasilica::start();
    mock.script(
        &["loading", "epoch 1", "loss 0.38"],
        Duration::from_millis(100),
    );
    let basilica = mock.client();

    let platform = MockPlatform::start();
    let payload = json!({ "image": "train:1", "command": ["train"], "gpu_memory_gb": 40 });
    platform.add_task(mock_task("task-1", "train", payload));
    platform
        .worker()
        .handler("train", move |task: Task<Training>, cx: &Context| {
            train(task.payload, &basilica, cx)
        })
        .build()?
        .run_until_idle()?;
    println!(
        "task-1 is {}: {}",
        platform.status("task-1"),
        platform.result("task-1")
    );
    println!("{} rentals are left", mock.deployed().len());
    Ok(())
}
