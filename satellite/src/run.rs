//! `luml-satellite run`: the satellite at work.

use std::process::{ExitCode, Termination};
use std::thread;

use satellite_sdk::serve::Server;
use satellite_sdk::{Builder, Error, Exit, OnOrphan, Result, Satellite, Variables};

use crate::fleet::Fleet;
use crate::gateway::{self, Routes};
use crate::reconcile::Reconciler;
use crate::settings::Settings;
use crate::{deploy, owner, registration, undeploy};

pub fn run() -> ExitCode {
    satellite_sdk::log_to_stderr();
    let mut variables = Variables::from_env();
    let settings = Settings::read(&mut variables);
    let end = build(Builder::new().variables(variables), settings)
        .and_then(|(mut satellite, _gateway)| satellite.run());
    Exit::from(end).report()
}

/// The satellite, ready to run, and its gateway, which answers already.
pub fn build(builder: Builder, settings: Settings) -> Result<(Satellite, Server)> {
    let mut builder = registration::registering(builder, &settings);
    let kits = builder.settings()?;
    let owner = owner::mark(kits.token.expose(), kits.state_dir.as_deref());
    let (address, memory) = (settings.gateway, settings.gateway_memory);
    let routes = Routes::default();
    let fleet = Fleet::new(settings, owner, routes.clone());
    let reconciler = Reconciler::new(fleet.clone());
    let satellite = builder
        .handler("deploy", deploy::handler(fleet.clone()))
        .handler("undeploy", undeploy::handler(fleet))
        // Deploying and undeploying do no harm twice.
        .on_orphan(OnOrphan::Rerun)
        .build()?;
    let gateway =
        gateway::start(address, memory, routes, satellite.platform()).map_err(|error| {
            let hint = "LUML_GATEWAY_HOST and LUML_GATEWAY_PORT say where it listens";
            Error::new(format_args!("no gateway at {address}: {error}; {hint}"))
        })?;
    let cx = satellite.context();
    thread::Builder::new()
        .name("reconcile".into())
        .spawn(move || reconciler.run(&cx))?;
    log::info!("gateway: http://{}/deployments/ID/compute", gateway.addr());
    Ok((satellite, gateway))
}
