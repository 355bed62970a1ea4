//! `satellite faas execute`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use satellite_sdk::Error;
use satellite_sdk::compute::faas::{
    ExecutionRequest, ExecutionResult, ExecutionStatus, FaasClient, Mode, Output,
};
use serde_json::{Value, json};

use super::Common;
use crate::interrupt::Interrupt;
use crate::output::{Problem, json, raw, raw_error};
use crate::remote::{Variables, duration};

/// The exit code if the code could not be run: that of `docker run`.
const NOT_RUN: u8 = 125;

/// The exit code at the time limit: that of `timeout`.
const TIMED_OUT: u8 = 124;

/// Runs code and prints its output while it runs
///
/// One word is a file if it names one and contains a dot or a slash: .py runs with python3,
/// .js with node, .rb with ruby, .pl with perl, any other file with a shell. Any other word
/// is a shell script. Several words are a program and its arguments.
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite faas execute \"echo 'Hello World'\" --env alpine-fast
  satellite faas execute script.py --env python-ai --timeout 60
  satellite faas execute --var EPOCHS=3 -- python3 -m train --verbose
  echo '{}' | satellite faas execute --stdin -- python3 -m json.tool
  satellite faas execute --json -- make | jq .request_id

Ctrl-C ends the wait: the code runs on until its time limit.
Exit codes: that of the code; 124 it exceeded --timeout; 125 it could not be run.")]
pub struct Execute {
    /// Shell script, file, or a program and its arguments after --
    #[arg(value_name = "CODE|FILE|PROGRAM", required = true)]
    words: Vec<String>,
    /// Environment to run in, or for some servers a container image
    #[arg(long, value_name = "NAME")]
    env: Option<String>,
    /// Time limit in seconds, or with a unit such as 10m
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30")]
    timeout: Duration,
    /// Sets an environment variable; without a value it is taken from this environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    var: Vec<String>,
    /// Reads environment variables from a file with lines NAME=VALUE
    #[arg(long, value_name = "FILE")]
    var_file: Vec<PathBuf>,
    /// Passes on standard input, at most 96 KiB
    #[arg(long)]
    stdin: bool,
    /// Working directory
    #[arg(short, long, value_name = "FOLDER")]
    workdir: Option<String>,
    /// Memory in MB
    #[arg(long, value_name = "MB")]
    memory: Option<u32>,
    /// CPU cores
    #[arg(long, value_name = "N")]
    cpus: Option<u8>,
    /// Isolation: docker, firecracker or auto
    #[arg(long, value_name = "RUNTIME")]
    runtime: Option<Runtime>,
    /// Uses the result of an earlier execution with this key, if there is one
    #[arg(long, value_name = "KEY", conflicts_with = "keep")]
    cache_key: Option<String>,
    /// Keeps the state, for `snapshot create`
    #[arg(long)]
    keep: bool,
    /// Starts from a copy of this snapshot
    #[arg(long, value_name = "ID", conflicts_with = "branch")]
    snapshot: Option<String>,
    /// Runs in this branch of a snapshot
    #[arg(long, value_name = "ID", conflicts_with_all = ["keep", "cache_key"])]
    branch: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum Runtime {
    Docker,
    Firecracker,
    Auto,
}

impl Execute {
    pub fn run(self) -> Result<ExitCode, Problem> {
        let run = || {
            let request = self.request()?;
            // The time limit of the code ends a stream, not its silence.
            let silence = self.timeout.saturating_mul(2);
            let (client, interrupt) = self.common.interruptible_after(silence)?;
            match self.common.format.json {
                true => self.print_result(&client, &interrupt, request),
                false => self.stream(&client, &interrupt, request),
            }
        };
        run().map_err(|problem| match problem.code() {
            // Everything else would look like an exit code of the code.
            code @ (2 | TIMED_OUT | 129..) => problem.with_code(code),
            _ => problem.with_code(NOT_RUN),
        })
    }

    fn request(&self) -> Result<ExecutionRequest, Problem> {
        let request = match &self.words[..] {
            [word] if is_file(word) => ExecutionRequest::file(word)?,
            [word] => ExecutionRequest::shell(word),
            words => ExecutionRequest::command(words),
        };
        // Some servers always return 0, so the shell itself reports its exit code.
        let mut request = request.timeout(self.timeout).checked(true);
        if let Some(name) = &self.env {
            request = request.environment(name);
        }
        let variables = Variables {
            env: self.var.clone(),
            env_file: self.var_file.clone(),
        };
        for (name, value) in variables.all()? {
            request = request.env(name, value);
        }
        if self.stdin {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes)?;
            request = request.stdin(bytes);
        }
        if let Some(folder) = &self.workdir {
            request = request.working_dir(folder);
        }
        if let Some(megabytes) = self.memory {
            request = request.memory_mb(megabytes);
        }
        if let Some(cores) = self.cpus {
            request = request.cpu_cores(cores);
        }
        if let Some(runtime) = self.runtime {
            use satellite_sdk::compute::faas::Runtime as Wire;
            request = request.runtime(match runtime {
                Runtime::Docker => Wire::Docker,
                Runtime::Firecracker => Wire::Firecracker,
                Runtime::Auto => Wire::Auto,
            });
        }
        if let Some(key) = &self.cache_key {
            request = request.mode(Mode::Cached).cache_key(key);
        }
        if self.keep {
            request = request.mode(Mode::Checkpointed);
        }
        if let Some(id) = &self.snapshot {
            request = request.snapshot(id);
        }
        if let Some(id) = &self.branch {
            request = request.branch_from(id);
        }
        Ok(request)
    }

    fn stream(
        &self,
        client: &FaasClient,
        interrupt: &Interrupt,
        request: ExecutionRequest,
    ) -> Result<ExitCode, Problem> {
        let explain = |error| self.explain(interrupt, error);
        let outputs = client.executions().stream(request).map_err(explain)?;
        let mut code = None;
        for output in outputs {
            match output.map_err(explain)? {
                Output::Stdout(text) => raw(&text)?,
                Output::Stderr(text) => raw_error(&text),
                Output::Exit(number) => code = Some(number),
                _ => {}
            }
        }
        let code = code
            .ok_or_else(|| Problem::new(format_args!("{} reported no exit code", client.url())))?;
        Ok(exit_code(code))
    }

    fn print_result(
        &self,
        client: &FaasClient,
        interrupt: &Interrupt,
        request: ExecutionRequest,
    ) -> Result<ExitCode, Problem> {
        let result = client
            .execute(request)
            .map_err(|error| self.explain(interrupt, error))?;
        json(&document(&result))?;
        Ok(match result.status {
            ExecutionStatus::Timeout => ExitCode::from(TIMED_OUT),
            ExecutionStatus::Success => ExitCode::SUCCESS,
            _ => exit_code(result.exit_code.max(1)),
        })
    }

    fn explain(&self, interrupt: &Interrupt, error: Error) -> Problem {
        let timed_out = error.is_timeout() && !error.is_connect();
        let limit = self.timeout;
        let problem = interrupt.explain(error, || {
            format!(
                "the server was not told: the code may run on until its time limit of {limit:?}"
            )
        });
        match timed_out {
            true => problem.with_code(TIMED_OUT),
            false => problem,
        }
    }
}

fn is_file(word: &str) -> bool {
    word.contains(['.', '/']) && Path::new(word).is_file()
}

/// An exit code as this process can return it.
fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn document(result: &ExecutionResult) -> Value {
    json!({
        "request_id": result.request_id,
        "status": result.status.to_string(),
        "exit_code": result.exit_code,
        "stdout": result.stdout,
        "stderr": result.stderr,
        "duration_ms": u64::try_from(result.duration.as_millis()).unwrap_or(u64::MAX),
        "cached": result.cached,
        "error": result.error,
    })
}
