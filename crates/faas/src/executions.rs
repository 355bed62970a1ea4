//! Executions: run commands and inspect them.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::batch;
use super::checked::Check;
use super::connection::{Connection, execution_path};
use super::models::{Execution, ExecutionResult, Output};
use super::output;
use super::request::ExecutionRequest;
use satellite_core::client::Stream;
use satellite_core::http::{Call, Fault, Method};
use satellite_core::{Error, Result};

/// How long the client waits for an execution with this time limit: a little
/// longer than the server, whose own response at the limit has more detail.
fn client_timeout(limit: Duration) -> Duration {
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
    /// Runs a command and waits for its result. The request is sent once.
    ///
    /// # Errors
    /// `is_timeout()` at the request's time limit, and `is_outcome_unknown()`
    /// if the response was lost: the work may then still run, and
    /// [`list`](Self::list) shows it if the server supports that. Neither is
    /// `is_retryable()` at the time limit. A command that fails is not an error, unless
    /// [`ExecutionResult::ok`] makes it one. `is_unsupported()` if a server responds to
    /// [`Mode::Checkpointed`](super::Mode::Checkpointed) without running the
    /// command.
    pub fn run(&self, request: impl Into<ExecutionRequest>) -> Result<ExecutionResult> {
        self.run_at("/api/v1/execute", &request.into())
    }

    /// Runs many commands with limited concurrency and waits for all of them. Returns
    /// the results in the order of the requests; a failure does not affect the other
    /// commands.
    pub fn run_batch(&self, requests: &[ExecutionRequest]) -> Vec<Result<ExecutionResult>> {
        batch::run(requests, self.connection.max_parallel, |request| {
            self.run(request)
        })
    }

    /// Runs a command and streams its output; the last item is its exit code, with
    /// [`checked`](ExecutionRequest::checked) that of the shell. A stream that breaks is
    /// resumed from the execution's log. If the server does not support streaming, the
    /// call waits for the result.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn stream(&self, request: impl Into<ExecutionRequest>) -> Result<Stream<Output>> {
        let request = request.into();
        let (body, marker) = request.body(self.connection.dialect)?;
        let path = "/api/v1/execute?stream=true";
        let check = marker.map(|marker| self.check(marker, path, &request));
        let call = Call::new(Method::POST, path).json(&body)?;
        let call = call.within(client_timeout(request.limit()));
        let response = self
            .connection
            .transport
            .send(&call.streamed(self.connection.limits.idle));
        let response = response.map_err(|error| self.may_still_run(error, path, &request))?;
        output::of_started(self.connection, response, check)
    }

    /// What an execution has printed, and with `follow` all that it prints until it
    /// ends.
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

    /// Cancels an execution.
    ///
    /// # Errors
    /// `is_not_found()`, `is_unsupported()`.
    pub fn cancel(&self, id: &str) -> Result<()> {
        self.connection.delete(&execution_path(id))
    }

    /// Runs the request at `path`, a route with the same request and response format.
    pub(super) fn run_at(&self, path: &str, request: &ExecutionRequest) -> Result<ExecutionResult> {
        let (body, marker) = request.body(self.connection.dialect)?;
        let mut result: ExecutionResult = self.wait(path, request, &body)?;
        if let Some(marker) = marker {
            self.check(marker, path, request).apply(&mut result)?;
        }
        Ok(result)
    }

    /// Sends a request that runs something and waits for the response.
    pub(super) fn wait<T: DeserializeOwned>(
        &self,
        path: &str,
        request: &ExecutionRequest,
        body: &Value,
    ) -> Result<T> {
        let call = Call::new(Method::POST, path).json(body)?;
        let call = call.within(client_timeout(request.limit())).patient();
        let response = self.connection.transport.send(&call);
        response
            .map_err(|error| self.may_still_run(error, path, request))?
            .json()
    }

    fn check(&self, marker: String, path: &str, request: &ExecutionRequest) -> Check {
        Check {
            marker,
            request: self.described(path),
            is_checkpointed: request.is_checkpointed(),
        }
    }

    fn may_still_run(&self, error: Error, path: &str, request: &ExecutionRequest) -> Error {
        match error.is_timeout() && !error.is_connect() {
            true => {
                let text = format!(
                    "no result within {:?}: the work may still run",
                    request.limit()
                );
                Error::from_fault(self.described(path), Fault::WorkTimedOut, text)
            }
            false => error,
        }
    }

    fn described(&self, path: &str) -> String {
        format!("POST {path} at {}", self.connection.url())
    }
}
