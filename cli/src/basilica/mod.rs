//! Work on Basilica.

mod deploy;
mod deployments;
mod logs;
mod nodes;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use satellite_sdk::compute::basilica::{ApiVersion, BasilicaClient};

use crate::interrupt::Interrupt;
use crate::output::{Format, Problem, end};
use crate::remote::{Patience, Server};

/// Deploys containers on rented GPUs with Basilica
///
/// The service is BASILICA_API_URL (default https://api.basilica.ai), its API
/// BASILICA_API_VERSION (rentals, the default, or deployments), the token or API key
/// BASILICA_API_TOKEN. With BASILICA_REFRESH_TOKEN or BASILICA_TOKEN_FILE, and
/// BASILICA_AUTH0_DOMAIN and BASILICA_AUTH0_CLIENT_ID, a token is renewed when it expires.
///
/// Exit codes: 0 success, 1 error, 2 wrong arguments, 77 token rejected, 78 wrong settings,
/// 130 interrupted: the deployment goes on.
#[derive(Subcommand)]
pub enum Command {
    Deploy(Box<deploy::Deploy>),
    List(deployments::List),
    Status(deployments::Status),
    Logs(logs::Logs),
    Stop(deployments::Stop),
    Nodes(nodes::Nodes),
}

impl Command {
    /// Runs the command.
    pub fn run(self) -> ExitCode {
        end(match self {
            Command::Deploy(deploy) => deploy.run(),
            Command::List(list) => list.run(),
            Command::Status(status) => status.run(),
            Command::Logs(logs) => logs.run(),
            Command::Stop(stop) => stop.run(),
            Command::Nodes(nodes) => nodes.run(),
        })
    }
}

/// Options of every command.
#[derive(Args, Debug, Clone, Default)]
pub struct Common {
    #[command(flatten)]
    server: Server,
    /// JSON file with an access token and a refresh token, which is renewed in place,
    /// instead of BASILICA_TOKEN_FILE
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Server",
        conflicts_with = "token_file"
    )]
    session_file: Option<PathBuf>,
    /// API of the service, instead of BASILICA_API_VERSION
    #[arg(long, value_name = "API", help_heading = "Server")]
    api: Option<Api>,
    #[command(flatten)]
    pub format: Format,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum Api {
    /// That of September 2025: rentals of executors
    Rentals,
    /// The newer one: deployments by name
    Deployments,
}

impl Common {
    /// The client for the service.
    pub fn client(&self) -> Result<BasilicaClient, Problem> {
        let patience = Patience::of("BASILICA_")?;
        let mut builder = BasilicaClient::builder().limits(patience.limits);
        if let Some(retries) = patience.max_retries {
            builder = builder.max_retries(retries);
        }
        if let Some(url) = &self.server.url {
            builder = builder.url(url);
        }
        if let Some(token) = self.server.token()? {
            builder = builder.token(token);
        }
        if let Some(path) = &self.session_file {
            builder = builder.token_file(path);
        }
        if let Some(api) = self.api {
            builder = builder.api_version(match api {
                Api::Rentals => ApiVersion::Rentals,
                Api::Deployments => ApiVersion::Deployments,
            });
        }
        Ok(builder.build()?)
    }

    /// The client for the service, which Ctrl-C cancels from now on.
    pub fn interruptible(&self) -> Result<(BasilicaClient, Interrupt), Problem> {
        let client = self.client()?;
        let interrupt = Interrupt::watch()?;
        Ok((client.cancelled_by(interrupt.cancel())?, interrupt))
    }
}
