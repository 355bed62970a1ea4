//! Work on the FaaS gateway.

use std::process::ExitCode;

use clap::Subcommand;

/// Work on the FaaS gateway.
#[derive(Subcommand)]
pub enum Command {
    /// Executes code.
    Execute,
}

impl Command {
    pub fn run(self) -> ExitCode {
        ExitCode::SUCCESS
    }
}
