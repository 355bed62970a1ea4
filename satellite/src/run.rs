//! `luml-satellite run`: runs the satellite.

use std::process::{ExitCode, Termination};
use std::thread;

use satellite_sdk::serve::Server;
use satellite_sdk::{Builder, Error, Exit, OnOrphan, Result, Satellite, Variables};

use crate::gateway::{self, Routes};
use crate::reconcile::Reconciler;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::{deploy, instance_id, registration, undeploy};

pub fn run() -> ExitCode {
    satellite_sdk::log_to_stderr();
    let mut variables = Variables::from_env();
    let settings = Settings::read(&mut variables);
    let end = build(Builder::new().variables(variables), settings).and_then(|mut built| {
        let end = built.satellite.run();
        drop(built.gateway);
        built.shared.monitoring().stop();
        built.shared.engine().end();
        end
    });
    Exit::from(end).report()
}

/// A satellite that is ready to run.
pub struct Built {
    pub satellite: Satellite,
    pub shared: Shared,
    /// Serves until it is dropped.
    pub gateway: Server,
}

/// Builds the satellite and starts its gateway.
pub fn build(builder: Builder, settings: Settings) -> Result<Built> {
    let mut builder = registration::with_registration(builder, &settings);
    let sdk = builder.settings()?;
    let instance_id = instance_id::load(sdk.token.expose(), sdk.state_dir.as_deref());
    let (address, memory) = (settings.gateway, settings.gateway_memory);
    let routes = Routes::default();
    let shared = Shared::new(settings, instance_id, routes.clone());
    let reconciler = Reconciler::new(shared.clone());
    let monitoring = shared.monitoring().clone();
    let satellite = builder
        .handler("deploy", deploy::handler(shared.clone()))
        .handler("undeploy", undeploy::handler(shared.clone()))
        // Deploy and undeploy are idempotent.
        .on_orphan(OnOrphan::Rerun)
        .build()?;
    let gateway = gateway::start(address, memory, routes, satellite.platform(), monitoring)
        .map_err(|error| {
            let hint = "set its address with LUML_GATEWAY_HOST and LUML_GATEWAY_PORT";
            Error::new(format_args!(
                "the gateway cannot listen on {address}: {error}; {hint}"
            ))
        })?;
    let gateway_address = gateway.addr().to_string();
    shared
        .monitoring()
        .start(&satellite, &shared, &gateway_address)?;
    // The state folder is locked: no other process changes the containers.
    shared.engine().begin();
    let cx = satellite.context();
    thread::Builder::new()
        .name("reconcile".into())
        .spawn(move || reconciler.run(&cx))?;
    log::info!("gateway: http://{}/deployments/ID/compute", gateway.addr());
    Ok(Built {
        satellite,
        shared,
        gateway,
    })
}
