//! Executions: run, and looked at.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::batch;
use super::command;
use super::connection::{Connection, execution_path};
use super::models::{Execution, ExecutionResult, ExecutionStatus};
use super::output::{self, Output};
use super::request::ExecutionRequest;
use satellite_core::client::Stream;
use satellite_core::http::{Call, Fault, Method};
use satellite_core::{Error, Result};

/// How long the client waits for an execution with this time limit: a little
/// longer than the server, whose own answer at the limit tells more.
fn patience(limit: Duration) -> Duration {
    let grace = (limit / 10).clamp(Duration::from_millis(100), Duration::from_secs(2));
    limit.saturating_add(grace)
}

/// Executions of a [`FaasClient`](crate::FaasClient).
///
/// ```no_run
/// use satellite_faas::{ExecutionRequest, FaasClient};
///
/// let faas = FaasClient::from_env()?;
/// let suites = ["unit", "api", "ui"].map(|suite| ExecutionRequest::command(["pytest", suite]));
/// for result in faas.executions().run_batch(&suites) {
///     println!("{:?}", result.map(|result| result.status));
/// }
/// for output in faas.executions().stream("ping -c 3 localhost")? {
///     print!("{}", output?);
/// }
/// # Ok::<(), satellite_faas::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ExecutionManager<'a> {
    pub(super) connection: &'a Connection,
}

impl ExecutionManager<'_> {
    /// Runs a command and waits for its end. It is sent once.
    ///
    /// # Errors
    /// `is_timeout()` at the request's time limit, and `is_outcome_unknown()`
    /// where the answer was lost: the work may still run then, and
    /// [`list`](Self::list) shows it where the server has that. Neither is
    /// `is_retryable()` at the time limit. That a command fails is no error, unless
    /// [`ExecutionResult::ok`] makes it one. `is_unsupported()` where a server
    /// answers [`Mode::Checkpointed`](super::Mode::Checkpointed) without running
    /// the command.
    pub fn run(&self, request: impl Into<ExecutionRequest>) -> Result<ExecutionResult> {
        self.run_at("/api/v1/execute", &request.into())
    }

    /// Runs many commands, a few at a time, and waits for all of them: results in
    /// the order of the requests, and one that fails takes none of the others
    /// with it.
    pub fn run_batch(&self, requests: &[ExecutionRequest]) -> Vec<Result<ExecutionResult>> {
        batch::run(requests, self.connection.max_parallel, |request| {
            self.run(request)
        })
    }

    /// Runs a command and hands out what it prints, as it comes; the last item is
    /// its exit code. A stream that breaks goes on by the execution's log. A
    /// server that knows no streams is waited for to the end.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn stream(&self, request: impl Into<ExecutionRequest>) -> Result<Stream<Output>> {
        let request = request.into();
        let (body, mark) = request.body(self.connection.dialect)?;
        if mark.is_some() {
            let problem = "checked, mode: a stream cannot be checked for its exit code, as \
                           `checked(true)` and checkpointed executions are"
                .to_owned();
            return Err(Error::settings(vec![problem]));
        }
        let path = "/api/v1/execute?stream=true";
        let call = Call::new(Method::POST, path).json(&body)?;
        let call = call.within(patience(request.limit()));
        let answer = self
            .connection
            .transport
            .send(&call.streamed(self.connection.limits.idle));
        let answer = answer.map_err(|error| self.may_still_run(error, path, &request))?;
        output::begun(self.connection, answer)
    }

    /// What an execution has printed, and with `follow` all that it prints to its
    /// end.
    ///
    /// # Errors
    /// `is_not_found()`, `is_unsupported()`.
    pub fn logs(&self, id: &str, follow: bool) -> Result<Stream<Output>> {
        output::log(self.connection, id, follow)
    }

    /// The executions that the server knows of.
    ///
    /// # Errors
    /// `is_unsupported()`.
    pub fn list(&self) -> Result<Vec<Execution>> {
        self.connection.get("/api/v1/executions")
    }

    /// An execution.
    ///
    /// # Errors
    /// `is_not_found()`, `is_unsupported()`.
    pub fn get(&self, id: &str) -> Result<Execution> {
        self.connection.get(&execution_path(id))
    }

    /// Ends an execution.
    ///
    /// # Errors
    /// `is_not_found()`, `is_unsupported()`.
    pub fn cancel(&self, id: &str) -> Result<()> {
        self.connection.delete(&execution_path(id))
    }

    /// Runs it at a route of the same form.
    pub(super) fn run_at(&self, path: &str, request: &ExecutionRequest) -> Result<ExecutionResult> {
        let (body, mark) = request.body(self.connection.dialect)?;
        let mut result: ExecutionResult = self.wait(path, request, &body)?;
        if let Some(mark) = mark {
            self.unmark(&mut result, &mark, path, request)?;
        }
        Ok(result)
    }

    /// The answer to a request that runs something.
    pub(super) fn wait<T: DeserializeOwned>(
        &self,
        path: &str,
        request: &ExecutionRequest,
        body: &Value,
    ) -> Result<T> {
        let call = Call::new(Method::POST, path).json(body)?;
        let call = call.within(patience(request.limit())).patient();
        let answer = self.connection.transport.send(&call);
        answer
            .map_err(|error| self.may_still_run(error, path, request))?
            .json()
    }

    /// Takes the shell's own exit code out of the output, and the line that told it
    /// out of all that the server answered.
    fn unmark(
        &self,
        result: &mut ExecutionResult,
        mark: &str,
        path: &str,
        request: &ExecutionRequest,
    ) -> Result<()> {
        let unmark = |text: &mut String| {
            if let Some((unmarked, _)) = command::unmarked(text, mark) {
                *text = unmarked;
            }
        };
        unmark(&mut result.stderr);
        for value in result.extra.values_mut() {
            if let Value::String(text) = value {
                unmark(text);
            }
        }
        match command::unmarked(&result.stdout, mark) {
            Some((stdout, code)) => {
                result.stdout = stdout;
                result.exit_code = code;
                result.status = match code {
                    0 => ExecutionStatus::Success,
                    _ => ExecutionStatus::Error,
                };
            }
            None if result.is_success() && request.is_checkpointed() => {
                return Err(Error::unsupported(format_args!(
                    "{}: the server answered a checkpointed execution without running the command",
                    self.asked(path)
                )));
            }
            None if result.is_success() => {
                let text = "the shell did not tell its exit code";
                return Err(Error::answer(self.asked(path), text));
            }
            None => {}
        }
        Ok(())
    }

    fn may_still_run(&self, error: Error, path: &str, request: &ExecutionRequest) -> Error {
        match error.is_timeout() && !error.is_connect() {
            true => {
                let text = format!(
                    "no result within {:?}: the work may still run",
                    request.limit()
                );
                Error::from_fault(self.asked(path), Fault::WorkTimedOut, text)
            }
            false => error,
        }
    }

    fn asked(&self, path: &str) -> String {
        format!("POST {path} at {}", self.connection.url())
    }
}
