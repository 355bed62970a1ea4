//! The state of processors.

use std::process::ExitCode;

use clap::Subcommand;

/// The state of processors.
#[derive(Subcommand)]
pub enum Command {
    /// Prints a state.
    Get,
}

impl Command {
    pub fn run(self) -> ExitCode {
        ExitCode::SUCCESS
    }
}
