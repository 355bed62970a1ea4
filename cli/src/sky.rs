//! Work on a SkyPilot API server.

use std::process::ExitCode;

use clap::Subcommand;

/// Work on a SkyPilot API server.
#[derive(Subcommand)]
pub enum Command {
    /// Lists clusters.
    Status,
}

impl Command {
    pub fn run(self) -> ExitCode {
        ExitCode::SUCCESS
    }
}
