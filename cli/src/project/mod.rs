//! New projects, and manifests for processors in any language.

mod fields;
mod files;
mod generate;
mod image;
mod init;
mod manifests;
mod new;
mod options;
mod validate;
mod yaml;

use std::process::ExitCode;

use clap::Subcommand;

/// New projects and manifests.
#[derive(Subcommand)]
pub enum Command {
    New(new::New),
    Init(Box<init::Init>),
    Generate(Box<generate::Generate>),
    Validate(validate::Validate),
}

impl Command {
    pub fn run(self) -> ExitCode {
        let end = match self {
            Command::New(new) => new.run(),
            Command::Init(init) => init.run(),
            Command::Generate(generate) => generate.run(),
            Command::Validate(validate) => return validate.run(),
        };
        match end {
            Ok(()) => ExitCode::SUCCESS,
            Err(Failure(why)) => {
                eprintln!("error: {why}");
                ExitCode::FAILURE
            }
        }
    }
}

/// Why a command failed, for a person.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    fn new(why: impl Into<String>) -> Self {
        Failure(why.into())
    }
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Failure(why)
    }
}
