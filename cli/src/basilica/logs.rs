//! `satellite basilica logs`.

use std::process::ExitCode;

use clap::Args;
use satellite_sdk::compute::basilica::LogLine;
use serde_json::json;

use super::Common;
use crate::output::{Problem, note};

/// Prints what a deployment has printed
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite basilica logs rental-7f31
  satellite basilica logs rental-7f31 -f --tail 100
  satellite basilica logs rental-7f31 --timestamps

Standard error of the container goes to standard error. Ctrl-C ends the log: the deployment
goes on.")]
pub struct Logs {
    /// Id of the deployment
    id: String,
    /// Follows the log until the deployment ends
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "LINES")]
    tail: Option<u64>,
    /// Begins each line with its time
    #[arg(short, long, conflicts_with = "json")]
    timestamps: bool,
    #[command(flatten)]
    common: Common,
}

impl Logs {
    pub fn run(self) -> Result<ExitCode, Problem> {
        let (client, interrupt) = self.common.interruptible()?;
        let id = &self.id;
        let explain = |error| {
            interrupt.explain(error, || {
                format!("{id} goes on; `satellite basilica logs {id} -f` follows it again")
            })
        };
        let deployments = client.deployments();
        let lines = match self.tail {
            Some(tail) => deployments.logs_tail(id, tail, self.follow),
            None => deployments.logs(id, self.follow),
        };
        for line in lines.map_err(explain)? {
            self.print(&line.map_err(explain)?)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn print(&self, line: &LogLine) -> Result<(), Problem> {
        let text = || match self.timestamps && !line.timestamp.is_empty() {
            true => format!("{} {}", line.timestamp, line.message),
            false => line.message.clone(),
        };
        if line.stream == "stderr" && !self.common.format.json {
            note(text());
            return Ok(());
        }
        let document = json!({
            "timestamp": line.timestamp,
            "stream": line.stream,
            "message": line.message,
        });
        self.common.format.item(&document, text)
    }
}
