//! The Docker satellite: deploys models as containers on its host.
//!
//! One binary that uses only the public API of `satellite-sdk`.

mod check;
#[cfg(feature = "demo")]
mod demo;
mod deploy;
mod engine;
mod engine_kind;
mod environment;
mod gateway;
mod image;
#[cfg(target_os = "linux")]
mod install;
mod instance_id;
mod job;
mod ls;
mod masker;
mod model;
#[cfg(feature = "monitoring")]
mod monitoring;
#[cfg(not(feature = "monitoring"))]
#[path = "no_monitoring.rs"]
mod monitoring;
mod parameters;
mod queue;
mod reconcile;
mod registration;
mod run;
mod secrets;
mod settings;
mod shared;
#[cfg(feature = "monitoring")]
mod stats;
#[cfg(feature = "monitoring")]
mod status;
#[cfg(feature = "monitoring")]
mod top;
mod undeploy;
mod variants;

use std::process::ExitCode;

const COMMANDS: &str = "\
The Docker satellite: deploys models as containers on this host.

usage: luml-satellite [COMMAND]

  run      polls the platform for tasks and runs them (the default)
  check    checks settings, engine, network, image, token and registration
  ls       lists this satellite's deployments as a table
";

#[cfg(feature = "monitoring")]
const MONITORING_COMMANDS: &str = "  \
  top      shows the running satellite: alerts, deployments, tasks
  stats [--hours N] [--json | --samples]
           prints what monitoring has stored in LUML_STATE_DIR
  stats --acknowledge 'DEPLOYMENT METRIC'
           marks an open alert as known
";
#[cfg(not(feature = "monitoring"))]
const MONITORING_COMMANDS: &str = "";

#[cfg(feature = "demo")]
const DEMO_COMMANDS: &str = "  \
  demo [--engine docker|process] [--stay]
           deploys and queries a model with a built-in mock platform; without an engine as
           a process; --stay keeps it running, with the operator's page
";
#[cfg(not(feature = "demo"))]
const DEMO_COMMANDS: &str = "";

const OTHER_COMMANDS: &str = "  \
  install, uninstall, status, upgrade FILE
           this binary as a systemd service; install --help lists their options
  --help, --version

The settings come from the environment; LUML_SATELLITE_TOKEN is required.
Exit codes: 0 success, 64 unknown command, 69 no engine (demo --engine docker), 77 token rejected
(run, ls), 78 invalid settings, 1 any other error.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = arguments.first().map_or("run", String::as_str);
    match command {
        #[cfg(target_os = "linux")]
        engine::LAUNCH => return engine::launch(&arguments[1..]),
        #[cfg(feature = "demo")]
        "demo" => return demo::demo(&arguments[1..]),
        #[cfg(feature = "monitoring")]
        "stats" => return stats::stats(&arguments[1..]),
        // The model server of the demo, in a container or as a process.
        #[cfg(feature = "demo")]
        demo::MODEL_SERVER => return luml_model_server::run(arguments[1..].to_vec()),
        #[cfg(target_os = "linux")]
        word if install::is_command(word) => {
            if arguments[1..].iter().any(|a| a == "--help" || a == "-h") {
                print!("{}", install::USAGE);
                return ExitCode::SUCCESS;
            }
            return install::run(word, &arguments[1..]);
        }
        _ => {}
    }
    if arguments.len() > 1 {
        return unknown(&arguments[1]);
    }
    match command {
        "run" => run::run(),
        "check" => check::check(),
        "ls" => ls::ls(),
        #[cfg(feature = "monitoring")]
        "top" => top::top(),
        "help" | "--help" | "-h" => {
            print!("{COMMANDS}{MONITORING_COMMANDS}{DEMO_COMMANDS}{OTHER_COMMANDS}");
            ExitCode::SUCCESS
        }
        "--version" | "-V" => {
            println!("luml-satellite {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        other => unknown(other),
    }
}

fn unknown(argument: &str) -> ExitCode {
    eprintln!("luml-satellite: {argument:?} is not a command; --help lists them");
    ExitCode::from(64)
}
