//! The Docker satellite: deploys models as containers on the host it lives on.
//!
//! One binary, written against the public face of `satellite-sdk` alone.

mod check;
#[cfg(feature = "demo")]
mod demo;
mod deploy;
mod engine;
mod fleet;
mod gateway;
mod image;
mod job;
mod ls;
mod masker;
mod model;
#[cfg(feature = "demo")]
mod model_server;
mod owner;
mod parameters;
mod queue;
mod reconcile;
mod registration;
mod run;
mod secrets;
mod settings;
mod undeploy;

use std::process::ExitCode;

const HELP: &str = "\
The Docker satellite: deploys models as containers on this host.

usage: luml-satellite [COMMAND]

  run      polls the platform and does what it hands out (the default)
  check    settings, engine, network, image, token, registration, a line each
  ls       this satellite's deployments, as a table
  demo     the whole path with a platform of its own; needs an engine, nothing else
  --help, --version

The settings come from the environment; LUML_SATELLITE_TOKEN is required.
Exit codes: 0 fine, 64 unknown command, 69 no engine (demo), 77 token refused
(run, ls), 78 wrong settings, 1 anything else.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = arguments.first().map_or("run", String::as_str);
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
