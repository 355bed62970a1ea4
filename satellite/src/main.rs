//! The Docker satellite: deploys models as containers on its host.
//!
//! One binary that uses only the public API of `satellite-sdk`.

mod check;
#[cfg(feature = "demo")]
mod demo;
mod deploy;
mod engine;
mod environment;
mod gateway;
mod image;
mod instance_id;
mod job;
mod ls;
mod masker;
mod model;
#[cfg(feature = "demo")]
#[path = "../tests/model/server.rs"]
mod model_server;
mod parameters;
mod queue;
mod reconcile;
mod registration;
mod run;
mod secrets;
mod settings;
mod shared;
mod undeploy;
mod variants;

use std::process::ExitCode;

const HELP: &str = "\
The Docker satellite: deploys models as containers on this host.

usage: luml-satellite [COMMAND]

  run      polls the platform for tasks and runs them (the default)
  check    checks settings, engine, network, image, token and registration
  ls       lists this satellite's deployments as a table
  demo     deploys and queries a model with a built-in mock platform; needs only an engine
  --help, --version

The settings come from the environment; LUML_SATELLITE_TOKEN is required.
Exit codes: 0 success, 64 unknown command, 69 no engine (demo), 77 token rejected
(run, ls), 78 invalid settings, 1 any other error.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = arguments.first().map_or("run", String::as_str);
    #[cfg(target_os = "linux")]
    if command == engine::LAUNCH {
        return engine::launch(&arguments[1..]);
    }
    if arguments.len() > 1 {
        return unknown(&arguments[1]);
    }
    match command {
        "run" => run::run(),
        "check" => check::check(),
        "ls" => ls::ls(),
        #[cfg(feature = "demo")]
        "demo" => demo::demo(),
        #[cfg(feature = "demo")]
        "model-server" => model_server::serve(),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
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
