//! Work on a SkyPilot API server.

mod clusters;
mod cost;
mod document;
mod exec;
mod jobs;
mod launch;
mod local_files;
mod names;
mod task;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use satellite_sdk::compute::skypilot::SkyPilotClient;

use crate::interrupt::Interrupt;
use crate::output::{Format, Problem, end};
use crate::remote::{Patience, Server};

/// Launches clusters and runs jobs on a SkyPilot API server
///
/// The server is SKYPILOT_API_SERVER_URL or SKYPILOT_API_SERVER_ENDPOINT (default
/// http://127.0.0.1:46580; it may contain user:password@), the token
/// SKYPILOT_SERVICE_ACCOUNT_TOKEN. Further variables: SKYPILOT_USER, SKYPILOT_USER_ID,
/// SKYPILOT_REQUEST_TIMEOUT, SKYPILOT_MAX_RETRIES, SKYPILOT_CA_FILE.
///
/// Exit codes: 0 success, 1 error, 2 wrong arguments, 77 token rejected, 78 wrong settings,
/// 130 interrupted: the work goes on. `launch` and `logs -f` pass on the exit code of the
/// job: 100 failed, 103 cancelled. `exec` passes on the exit code of the command; 125 if
/// the command could not be run.
#[derive(Subcommand)]
pub enum Command {
    Launch(launch::Launch),
    Exec(exec::Exec),
    Status(clusters::Status),
    Logs(jobs::Logs),
    Queue(jobs::Queue),
    Cancel(jobs::Cancel),
    Stop(clusters::Stop),
    Start(clusters::Start),
    Down(clusters::Down),
    Autostop(clusters::Autostop),
    Cost(cost::Cost),
    Check(cost::Check),
}

impl Command {
    /// Runs the command.
    pub fn run(self) -> ExitCode {
        end(match self {
            Command::Launch(launch) => launch.run(),
            Command::Exec(exec) => exec.run(),
            Command::Status(status) => status.run(),
            Command::Logs(logs) => logs.run(),
            Command::Queue(queue) => queue.run(),
            Command::Cancel(cancel) => cancel.run(),
            Command::Stop(stop) => stop.run(),
            Command::Start(start) => start.run(),
            Command::Down(down) => down.run(),
            Command::Autostop(autostop) => autostop.run(),
            Command::Cost(cost) => cost.run(),
            Command::Check(check) => check.run(),
        })
    }
}

/// Options of every command.
#[derive(Args, Debug, Clone, Default)]
pub struct Common {
    #[command(flatten)]
    pub server: Server,
    #[command(flatten)]
    pub format: Format,
}

impl Common {
    /// The client for the server.
    pub fn client(&self) -> Result<SkyPilotClient, Problem> {
        let patience = Patience::of("SKYPILOT_")?;
        let mut builder = SkyPilotClient::builder().limits(patience.limits);
        if let Some(retries) = patience.max_retries {
            builder = builder.max_retries(retries);
        }
        if let Some(url) = &self.server.url {
            builder = builder.url(url);
        }
        if let Some(token) = self.server.token()? {
            builder = builder.token(token);
        }
        Ok(builder.build()?)
    }

    /// The client for the server, which Ctrl-C cancels from now on.
    pub fn interruptible(&self) -> Result<(SkyPilotClient, Interrupt), Problem> {
        let client = self.client()?;
        let interrupt = Interrupt::watch()?;
        Ok((client.cancelled_by(interrupt.cancel())?, interrupt))
    }
}

/// Whether the server runs on this machine.
fn is_local(client: &SkyPilotClient) -> bool {
    let authority = client.url().split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| {
        authority == *host
            || authority
                .strip_prefix(host)
                .is_some_and(|rest| rest.starts_with(':'))
    })
}

#[cfg(test)]
mod tests {
    use satellite_sdk::Variables;

    use super::*;

    #[test]
    fn only_a_server_at_a_loopback_address_is_on_this_machine() {
        let at = |url: &str| {
            let builder = SkyPilotClient::builder().variables(Variables::from_lookup(|_| None));
            is_local(&builder.url(url).allow_plain_http(true).build().unwrap())
        };
        for url in [
            "http://127.0.0.1:46580",
            "http://localhost/api",
            "http://[::1]:1",
        ] {
            assert!(at(url), "{url}");
        }
        for url in [
            "https://sky.example.com",
            "http://localhost.example.com",
            "http://10.0.0.1:1",
        ] {
            assert!(!at(url), "{url}");
        }
    }
}
