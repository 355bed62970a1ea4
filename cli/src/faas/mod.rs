//! Work on a FaaS server.

mod environments;
mod execute;
mod snapshots;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use satellite_sdk::compute::faas::{FaasClient, FaasDialect};

use crate::interrupt::Interrupt;
use crate::output::{Format, Problem, end};
use crate::remote::{Patience, Server};

/// Runs code on a FaaS server, and manages its environments and snapshots
///
/// The server is FAAS_ENDPOINT (default http://localhost:8080), the key FAAS_API_KEY, its
/// wire format FAAS_DIALECT. Further variables: FAAS_REQUEST_TIMEOUT, FAAS_MAX_RETRIES,
/// FAAS_CA_FILE.
///
/// Exit codes: 0 success, 1 error, 2 wrong arguments, 77 key rejected, 78 wrong settings,
/// 130 interrupted: the work goes on. `execute` passes on the exit code of the code; 125 if
/// it could not be run.
#[derive(Subcommand)]
pub enum Command {
    Execute(execute::Execute),
    /// Manages the environments that code runs in
    #[command(subcommand)]
    Env(environments::Command),
    /// Manages saved states that code can start from
    #[command(subcommand)]
    Snapshot(snapshots::Command),
}

impl Command {
    /// Runs the command.
    pub fn run(self) -> ExitCode {
        end(match self {
            Command::Execute(execute) => execute.run(),
            Command::Env(command) => command.run(),
            Command::Snapshot(command) => command.run(),
        })
    }
}

/// Options of every command.
#[derive(Args, Debug, Clone, Default)]
pub struct Common {
    #[command(flatten)]
    server: Server,
    /// Wire format of the server, instead of FAAS_DIALECT
    #[arg(long, value_name = "DIALECT", help_heading = "Server")]
    dialect: Option<Dialect>,
    #[command(flatten)]
    pub format: Format,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum Dialect {
    /// That of the contract
    Gateway,
    /// That of the second server: lists of arguments, x-api-key
    Server,
}

impl Common {
    /// The client for the server, which may send nothing for as long as `silence`.
    fn client(&self, silence: Duration) -> Result<FaasClient, Problem> {
        let mut patience = Patience::of("FAAS_")?;
        patience.limits.idle = patience.limits.idle.max(silence);
        let mut builder = FaasClient::builder().limits(patience.limits);
        if let Some(retries) = patience.max_retries {
            builder = builder.max_retries(retries);
        }
        if let Some(url) = &self.server.url {
            builder = builder.url(url);
        }
        if let Some(token) = self.server.token()? {
            builder = builder.token(token);
        }
        if let Some(dialect) = self.dialect {
            builder = builder.dialect(match dialect {
                Dialect::Gateway => FaasDialect::Gateway,
                Dialect::Server => FaasDialect::Server,
            });
        }
        Ok(builder.build()?)
    }

    /// The client for the server, which Ctrl-C cancels from now on.
    pub fn interruptible(&self) -> Result<(FaasClient, Interrupt), Problem> {
        self.interruptible_after(Duration::ZERO)
    }

    /// The same for code that may print nothing for this time.
    pub fn interruptible_after(
        &self,
        silence: Duration,
    ) -> Result<(FaasClient, Interrupt), Problem> {
        let client = self.client(silence)?;
        let interrupt = Interrupt::watch()?;
        Ok((client.cancelled_by(interrupt.cancel())?, interrupt))
    }
}
