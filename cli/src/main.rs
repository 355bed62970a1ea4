//! The command `satellite`: projects and manifests, a sidecar, the state of processors, and
//! work on other machines.

// The comments of arguments are the text of `--help`.
#![allow(
    rustdoc::bare_urls,
    rustdoc::invalid_html_tags,
    rustdoc::broken_intra_doc_links
)]

mod basilica;
mod faas;
mod help;
mod interrupt;
mod output;
mod project;
mod remote;
mod sidecar;
mod sky;
mod state;
mod time;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Runs satellites and processors, and starts work on other machines.
#[derive(Parser)]
#[command(
    name = "satellite",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage; a command that has others lists them in its \
                  help.\n\n`satellite COMMAND --help` has examples."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Project(project::Command),
    Sidecar(sidecar::Sidecar),
    #[command(subcommand)]
    State(state::Command),
    #[command(subcommand)]
    Sky(sky::Command),
    #[command(subcommand)]
    Basilica(basilica::Command),
    #[command(subcommand)]
    Faas(faas::Command),
    Completions(help::Completions),
    Man(help::Man),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Project(command) => command.run(),
        Command::Sidecar(sidecar) => sidecar.run(),
        Command::State(command) => command.run(),
        Command::Sky(command) => command.run(),
        Command::Basilica(command) => command.run(),
        Command::Faas(command) => command.run(),
        Command::Completions(completions) => completions.run(Arguments::command()),
        Command::Man(man) => man.run(Arguments::command()),
    }
}
