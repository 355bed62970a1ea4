//! New projects and manifests.

use std::process::ExitCode;

use clap::Subcommand;

/// New projects and manifests.
#[derive(Subcommand)]
pub enum Command {
    /// Creates a project.
    New,
}

impl Command {
    pub fn run(self) -> ExitCode {
        ExitCode::SUCCESS
    }
}
