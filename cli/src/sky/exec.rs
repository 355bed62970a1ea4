//! `satellite sky exec`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use satellite_sdk::compute::skypilot::{self, Launched, OutputLine, Request};
use serde_json::json;

use super::jobs::{follow, goes_on};
use super::launch::wait;
use super::task::{Entry, TaskOptions};
use super::{Common, is_local};
use crate::output::{Problem, json, line, note};
use crate::remote::duration;

/// The exit code if the command could not be run: that of `docker run`.
const NOT_RUN: u8 = 125;

/// Runs a command or a task on a cluster that is up
///
/// The words of a shell command are joined by spaces, as ssh does. Its output is printed
/// while it runs, and its exit code is passed on. A task file, or a command with options
/// that override resources, runs as a job: its log is followed, and the exit code is 100 if
/// it fails.
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite sky exec mine -- nvidia-smi -L
  satellite sky exec mine 'cd /data && ls | wc -l'
  satellite sky exec mine --timeout 10m --env EPOCHS=3 python train.py
  satellite sky exec mine -d train.yaml
  satellite sky exec mine --json -- hostname | jq -r .stdout

Ctrl-C ends the wait: the job goes on.
Exit codes: that of the command; 124 it exceeded --timeout; 125 it could not be run.")]
pub struct Exec {
    /// Name of the cluster
    cluster: String,
    /// Task file, or a shell command after --
    #[arg(value_name = "TASK|COMMAND", required = true)]
    entry: Vec<String>,
    /// Kills the command after this time, such as 90s or 10m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// Does not wait for the job
    #[arg(short, long)]
    detach_run: bool,
    #[command(flatten)]
    options: TaskOptions,
    #[command(flatten)]
    common: Common,
}

impl Exec {
    pub fn run(self) -> Result<ExitCode, Problem> {
        let entry = Entry::of(&self.entry);
        match &entry {
            Entry::Command(command) if !self.detach_run && !self.options.sets_resources() => {
                self.command(command)
                    .map_err(|problem| match problem.code() {
                        // Everything else would look like an exit code of the command.
                        code @ (2 | 129..) => problem.with_code(code),
                        _ => problem.with_code(NOT_RUN),
                    })
            }
            _ if self.timeout.is_some() => Err(Problem::usage(
                "--timeout works only for a shell command that is waited for, without options \
                 that override resources",
            )),
            entry => self.job(entry),
        }
    }

    fn command(&self, command: &str) -> Result<ExitCode, Problem> {
        let (client, interrupt) = self.common.interruptible()?;
        let is_json = self.common.format.json;
        let mut exec = skypilot::Exec::new(&self.cluster, command).live(!is_json);
        for (name, value) in self.options.variables().all()? {
            exec = exec.env(name, value);
        }
        if let Some(limit) = self.timeout {
            exec = exec.timeout(limit);
        }
        let running = client
            .spawn(&exec)
            .map_err(|error| interrupt.explain(error, || may_have_begun(&self.cluster)))?;
        let job = running.job_id();
        let stopped = |error| interrupt.explain(error, || goes_on(&self.cluster, job));
        if is_json {
            let output = running.wait().map_err(stopped)?;
            json(&json!({
                "cluster": self.cluster,
                "job_id": job,
                "exit_code": output.exit_code,
                "stdout": output.stdout,
                "stderr": output.stderr,
            }))?;
            return Ok(ExitCode::from(exit_code(output.exit_code)));
        }
        let mut printed = Ok(());
        let code = running.wait_with(|output| match output {
            OutputLine::Stdout(text) if printed.is_ok() => printed = line(text),
            OutputLine::Stderr(text) => note(text),
            _ => {}
        });
        let code = code.map_err(stopped)?;
        printed?;
        Ok(ExitCode::from(exit_code(code)))
    }

    fn job(&self, entry: &Entry<'_>) -> Result<ExitCode, Problem> {
        let client = self.common.client()?;
        let task = self.options.task(entry, is_local(&client))?;
        let (client, interrupt) = self.common.interruptible()?;
        let request: Request<Launched> = client
            .submit_job(&self.cluster, task)
            .map_err(|error| interrupt.explain(error, || may_have_begun(&self.cluster)))?;
        let launched = wait(&request, &interrupt, || may_have_begun(&self.cluster))?;
        let job = launched.job_id.ok_or_else(|| {
            Problem::new(format_args!(
                "{} created no job on {}",
                client.url(),
                self.cluster
            ))
        })?;
        let (code, format) = match self.detach_run {
            true => (None, self.common.format),
            false => {
                let running = || goes_on(&self.cluster, job);
                let format = self.common.format;
                let code = follow(&client, &interrupt, &self.cluster, job, format, running)?;
                (Some(code), format)
            }
        };
        if format.json {
            let document = json!({
                "cluster": self.cluster,
                "request_id": request.id(),
                "job_id": job,
                "exit_code": code,
            });
            json(&document)?;
        } else if code.is_none() {
            line(format_args!("job {job} runs on {}", self.cluster))?;
        }
        Ok(ExitCode::from(code.unwrap_or(0)))
    }
}

/// An exit code as this process can return it.
fn exit_code(code: i32) -> u8 {
    u8::try_from(code).unwrap_or(1)
}

fn may_have_begun(cluster: &str) -> String {
    format!("the job may have begun: `satellite sky queue {cluster}` shows it")
}
