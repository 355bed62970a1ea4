//! Health endpoints and state for an unmodified application.

use std::process::ExitCode;

use clap::Args;

/// Runs beside an unmodified application, or as its parent.
#[derive(Args)]
pub struct Sidecar {}

impl Sidecar {
    pub fn run(self) -> ExitCode {
        ExitCode::SUCCESS
    }
}
