//! Rents a GPU, deploys a container on it, follows its log to the end, and releases
//! the GPU. Runs against a mock server:
//!
//!     cargo run --example basilica_deploy
//!
//! For the real service, use `BasilicaClient::from_env()` instead of the mock's
//! client, and set `BASILICA_API_TOKEN`.

use std::time::Duration;

use satellite_sdk::compute::basilica::{
    DeploymentConfig, ExecutorFilters, PortMapping, ResourceRequirements,
};
use satellite_sdk::testing::MockBasilica;

fn main() -> satellite_sdk::Result<()> {
    let mock = MockBasilica::start();
    let lines = [
        "loading weights",
        "epoch 1: loss 0.71",
        "epoch 2: loss 0.38",
        "saved",
    ];
    mock.script(&lines, Duration::from_millis(150));
    mock.give_up_log(200); // like the real gateway; the client hides it by reconnecting
    let basilica = mock.client();

    let filters = ExecutorFilters::default()
        .gpu_type("H100")
        .min_gpu_memory_gb(80);
    let executors = basilica.executors().find(&filters)?;
    println!("{} machines with an H100", executors.len());
    let executor = executors.first().ok_or("no machine is available")?;

    let resources = ResourceRequirements::builder()
        .cpu_cores(4.0)
        .memory_mb(32 * 1024);
    let config = DeploymentConfig::builder()
        .executor_id(&executor.id)
        .image("ghcr.io/example/train:latest")
        .ssh_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKl me@edge")
        .resources(resources.gpu_count(1).build())
        .ports([PortMapping::tcp(80, 8080)])
        .env("EPOCHS", "2")
        .build()?;
    let deployments = basilica.deployments();
    let deployment = deployments.deploy(&config)?;
    println!("deployed {} on {}", deployment.id, executor.id);
    if let Some(ssh) = &deployment.ssh_access {
        println!("connect with: {ssh}");
    }

    let mut log = deployments.logs(&deployment.id, true)?;
    for line in &mut log {
        println!("  {}", line?);
    }
    println!("the log has ended: {:?}", log.ended());
    deployments.stop(&deployment.id)
}
