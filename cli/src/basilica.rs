//! Work on Basilica.

use std::process::ExitCode;

use clap::Subcommand;

/// Work on Basilica.
#[derive(Subcommand)]
pub enum Command {
    /// Lists deployments.
    List,
}

impl Command {
    pub fn run(self) -> ExitCode {
        ExitCode::SUCCESS
    }
}
