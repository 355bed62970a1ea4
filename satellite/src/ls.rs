//! `luml-satellite ls`: the deployments, with their state on the platform and on this host.

use std::io::IsTerminal;
use std::process::{ExitCode, Termination};
use std::time::Duration;

use satellite_sdk::{Builder, Deployment, DeploymentStatus, Error, Exit, Result, Variables};

use crate::engine::{self, Container, State};
use crate::model::Models;
use crate::settings::Settings;

pub fn ls() -> ExitCode {
    let mut variables = Variables::from_env();
    let settings = Settings::read(&mut variables);
    let listed = Builder::new()
        .variables(variables)
        .platform()
        .and_then(|platform| platform.within(Duration::from_secs(10)).list_deployments())
        .and_then(|deployments| print(&deployments, &settings));
    match listed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Exit::from(error).report(),
    }
}

fn print(deployments: &[Deployment], settings: &Settings) -> Result<()> {
    let containers = engine::open(settings).containers().map_err(Error::new)?;
    let models = Models::new();
    let mut rows = vec![
        [
            "DEPLOYMENT",
            "NAME",
            "STATUS",
            "CONTAINER",
            "HEALTH",
            "SINCE",
        ]
        .map(str::to_owned),
    ];
    for deployment in deployments {
        let container = containers.iter().find(|c| c.deployment_id == deployment.id);
        rows.push(row(deployment, container, &models, settings.model_port));
    }
    let unknown = containers
        .iter()
        .filter(|c| !deployments.iter().any(|d| d.id == c.deployment_id));
    for container in unknown {
        let [name, since] = [container.name.clone(), since(container)];
        let id = container.deployment_id.clone();
        rows.push([
            id,
            String::new(),
            "unknown".into(),
            name,
            state(container).into(),
            since,
        ]);
    }
    print_table(&rows);
    Ok(())
}

fn row(
    deployment: &Deployment,
    container: Option<&Container>,
    models: &Models,
    container_port: u16,
) -> [String; 6] {
    let health = match container {
        None => "-",
        Some(container) if !container.is_running() => state(container),
        Some(container) => match container.port(container_port) {
            Some(port) if models.is_healthy(port) => "healthy",
            _ => "unhealthy",
        },
    };
    [
        deployment.id.clone(),
        deployment.name.clone(),
        deployment.status.to_string(),
        container.map_or("-".into(), |c| c.name.clone()),
        health.into(),
        container.map_or("-".into(), since),
    ]
}

fn state(container: &Container) -> &'static str {
    match container.state {
        State::Running => "running",
        State::Restarting => "restarting",
        State::Created => "created",
        State::Paused => "paused",
        State::Exited => "ended",
    }
}

/// The engine's timestamp, to the second.
fn since(container: &Container) -> String {
    let at = match container.started.starts_with("0001-") {
        true => &container.created,
        false => &container.started,
    };
    at.chars().take(19).collect::<String>().replace('T', " ")
}

fn print_table(rows: &[[String; 6]]) {
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let width = |column: usize| {
        rows.iter()
            .map(|r| r[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    for (n, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padded = format!("{cell:<width$}  ", width = widths[column]);
            match colour(cell).filter(|_| colours && n > 0) {
                Some(code) => line += &format!("\x1b[{code}m{padded}\x1b[0m"),
                None => line += &padded,
            }
        }
        println!("{}", line.trim_end());
    }
}

fn colour(cell: &str) -> Option<u8> {
    match cell {
        "healthy" => Some(32),
        "unhealthy" | "ended" | "restarting" => Some(31),
        status => match DeploymentStatus::from(status) {
            DeploymentStatus::Active => Some(32),
            DeploymentStatus::Failed | DeploymentStatus::DeletionFailed => Some(31),
            DeploymentStatus::NotResponding => Some(33),
            _ => None,
        },
    }
}
