//! `satellite new`: a crate.
use clap::Args;

use super::Failure;

/// Creates a crate
#[derive(Debug, Args)]
pub struct New {}

impl New {
    pub fn run(self) -> Result<(), Failure> {
        Ok(())
    }
}
