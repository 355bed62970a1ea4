//! The commands of the program.

mod bench;
mod check;
mod elf;
mod image;
mod serve;

use std::net::IpAddr;
use std::process::ExitCode;

use crate::failure::{Failure, Kind, Result};
use crate::settings::Settings;

const HELP: &str = "\
Serves FNNX models of the variant pipeline over HTTP, without Python.

usage: luml-model-server [COMMAND]

  serve [--host IP] [--port N]      serves the artifact at MODEL_ARTIFACT_URL (the default)
  run MODEL [--host IP] [--port N]  serves a file or a folder, on 127.0.0.1:8080
  check MODEL                       lists what a model needs, and whether this server has it
  bench MODEL [--seconds N] [--threads N] [--batch N]
                                    prints latency and throughput without HTTP
  image [--tag NAME] [--binary FILE] [--output FILE | --load]
                                    writes a container image of this program, for docker load
  --help, --version

MODEL is a file, a folder or an http(s) address. The settings come from the environment; the
README lists them.

Exit codes: 0 stopped on request; 64 wrong arguments; 65 invalid artifact; 66 the artifact cannot
be opened; 69 this server cannot run the model (it needs Python, or an operator that is missing);
70 internal error; 71 error of the system; 73 the output cannot be written; 75 the download
failed, try again; 78 invalid settings.
";

pub fn run(arguments: &[String]) -> ExitCode {
    satellite_sdk::log_to_stderr();
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.kind() == Kind::Usage => {
            eprintln!("luml-model-server: {failure}; --help lists the commands");
            ExitCode::from(failure.code())
        }
        Err(failure) => failure.report(),
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let (command, rest) = match arguments.split_first() {
        Some((first, _)) if first.starts_with("--") && !is_info(first) => ("serve", arguments),
        Some((first, rest)) => (first.as_str(), rest),
        None => ("serve", arguments),
    };
    match command {
        "serve" => {
            let options = Options::parse(rest, &["--host", "--port"], false)?;
            let mut settings = Settings::from_env()?;
            options.listen(&mut settings)?;
            let place = settings.artifact.clone().ok_or_else(|| {
                let text = "MODEL_ARTIFACT_URL: is required: the address of an FNNX artifact";
                Failure::new(Kind::Settings, text)
            })?;
            serve::serve(&place, &settings)
        }
        "run" => {
            let options = Options::parse(rest, &["--host", "--port"], true)?;
            let mut settings = Settings::from_env()?;
            if std::env::var_os("LUML_MODEL_HOST").is_none() {
                settings.listen.set_ip(IpAddr::from([127, 0, 0, 1]));
            }
            options.listen(&mut settings)?;
            serve::serve(options.model, &settings)
        }
        "check" => {
            let options = Options::parse(rest, &[], true)?;
            check::check(options.model, &Settings::from_env()?)
        }
        "bench" => {
            let options = Options::parse(rest, &["--seconds", "--threads", "--batch"], true)?;
            let load = bench::Load {
                seconds: options.number("--seconds", 5)?,
                threads: options.number("--threads", 1)?,
                batch: options.number("--batch", 1)?,
            };
            bench::bench(options.model, &Settings::from_env()?, &load)
        }
        "image" => {
            let known = ["--tag", "--binary", "--output", "--load"];
            let options = Options::parse(rest, &known, false)?;
            image::image(&image::Request {
                tag: options.get("--tag"),
                binary: options.get("--binary"),
                output: options.get("--output"),
                load: options.get("--load").is_some(),
            })
        }
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        "--version" | "-V" => {
            println!("luml-model-server {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        other => Err(usage(format_args!("{other:?} is not a command"))),
    }
}

fn is_info(argument: &str) -> bool {
    matches!(argument, "--help" | "--version")
}

fn usage(text: impl std::fmt::Display) -> Failure {
    Failure::new(Kind::Usage, text)
}

/// The options of a command and its model.
struct Options<'a> {
    model: &'a str,
    values: Vec<(&'a str, &'a str)>,
}

impl<'a> Options<'a> {
    /// `--name value` or `--name=value`; `--load` alone has no value.
    fn parse(arguments: &'a [String], known: &[&'a str], needs_model: bool) -> Result<Self> {
        let mut values = Vec::new();
        let mut models = Vec::new();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if !argument.starts_with("--") {
                models.push(argument.as_str());
                continue;
            }
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (argument.as_str(), None),
            };
            let found = known.iter().find(|own| **own == name);
            let name = found.ok_or_else(|| usage(format_args!("there is no option {name}")))?;
            let value = match (value, *name) {
                (None, "--load") => "",
                (Some(value), _) => value,
                (None, name) => rest
                    .next()
                    .ok_or_else(|| usage(format_args!("{name} needs a value")))?,
            };
            values.push((*name, value));
        }
        let model = match (models.as_slice(), needs_model) {
            ([model], true) => model,
            ([], true) => return Err(usage("the model is missing")),
            ([], false) => "",
            ([.., last], _) => return Err(usage(format_args!("{last:?} is not expected"))),
        };
        Ok(Options { model, values })
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        let mut values = self.values.iter().rev();
        values
            .find(|(own, _)| *own == name)
            .map(|(_, value)| *value)
    }

    fn number(&self, name: &str, default: usize) -> Result<usize> {
        let Some(text) = self.get(name) else {
            return Ok(default);
        };
        let number = text.parse::<u16>().ok().filter(|number| *number > 0);
        let expected = || usage(format_args!("{name}: expected a number from 1 to 65535"));
        number.map(usize::from).ok_or_else(expected)
    }

    fn listen(&self, settings: &mut Settings) -> Result<()> {
        if let Some(text) = self.get("--host") {
            let text = if text == "localhost" {
                "127.0.0.1"
            } else {
                text
            };
            let ip = text.trim_matches(['[', ']']).parse();
            let ip = ip.map_err(|_| usage("--host: expected an IP address"))?;
            settings.listen.set_ip(ip);
        }
        if let Some(text) = self.get("--port") {
            let port = text.parse();
            let port = port.map_err(|_| usage("--port: expected a port, 0 to 65535"))?;
            settings.listen.set_port(port);
        }
        Ok(())
    }
}
