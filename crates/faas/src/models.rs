//! The server's data types. Fields that this version does not know are kept in
//! `extra`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use satellite_core::lenient::or_default;
use satellite_core::open_words;
use satellite_core::{Error, Result};

open_words! {
    /// The status of an execution.
    ExecutionStatus {
        /// It is running.
        Running = "running",
        /// It ended with exit code 0.
        Success = "success" | "completed",
        /// It ended with another exit code.
        Error = "error" | "failed",
        /// It exceeded its time limit.
        Timeout = "timeout",
        /// It was cancelled.
        Cancelled = "cancelled",
    }
}

/// The result of an execution.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExecutionResult {
    /// The id that the server assigned.
    pub request_id: String,
    /// Its final status.
    pub status: ExecutionStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// Its exit code.
    pub exit_code: i32,
    /// How long it took.
    pub duration: Duration,
    /// Whether the result comes from the cache and the command did not run.
    pub cached: bool,
    /// The server's error message, if it failed.
    pub error: Option<String>,
    /// All other fields of the response.
    pub extra: Map<String, Value>,
}

impl ExecutionResult {
    /// Whether it succeeded.
    pub fn is_success(&self) -> bool {
        self.status == ExecutionStatus::Success
    }

    /// Whether the server merges standard output and standard error and returns the
    /// same text as both.
    pub fn is_merged(&self) -> bool {
        !self.stdout.is_empty() && self.stdout == self.stderr
    }

    /// This result if the execution succeeded, otherwise an error with its status and
    /// the last line of its output.
    ///
    /// # Errors
    /// For an exit code other than 0 and any other failure.
    pub fn ok(self) -> Result<Self> {
        if self.is_success() {
            return Ok(self);
        }
        let printed = match self.stderr.trim() {
            "" => self.stdout.trim(),
            printed => printed,
        };
        let last = printed.lines().last().unwrap_or_default();
        let last: String = last.chars().take(200).filter(|c| !c.is_control()).collect();
        Err(Error::new(format_args!(
            "the execution {} ended with {} (exit code {}): {last}",
            self.request_id, self.status, self.exit_code
        )))
    }
}

#[derive(Deserialize)]
struct WireResult {
    #[serde(default, deserialize_with = "or_default", alias = "id")]
    request_id: String,
    #[serde(default)]
    status: Option<ExecutionStatus>,
    #[serde(default, deserialize_with = "or_default")]
    exit_code: i32,
    #[serde(default, deserialize_with = "or_default")]
    stdout: String,
    #[serde(default, deserialize_with = "or_default")]
    stderr: String,
    #[serde(default, deserialize_with = "or_default")]
    duration_ms: u64,
    #[serde(default, deserialize_with = "or_default")]
    cached: bool,
    #[serde(default)]
    error: Option<String>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl<'de> Deserialize<'de> for ExecutionResult {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let result = WireResult::deserialize(deserializer)?;
        let timed_out = |error: &str| error.contains("timed out") || error.contains("timeout");
        let status = result.status.unwrap_or(match &result.error {
            Some(error) if timed_out(error) => ExecutionStatus::Timeout,
            None if result.exit_code == 0 => ExecutionStatus::Success,
            _ => ExecutionStatus::Error,
        });
        Ok(ExecutionResult {
            request_id: result.request_id,
            status,
            stdout: result.stdout,
            stderr: result.stderr,
            exit_code: result.exit_code,
            duration: Duration::from_millis(result.duration_ms),
            cached: result.cached,
            error: result.error,
            extra: result.extra,
        })
    }
}

/// One item of an execution's output. `Display` prints only the text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Text from its standard output.
    Stdout(String),
    /// Text from its standard error.
    Stderr(String),
    /// Its exit code: the last item.
    Exit(i32),
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::Stdout(text) | Output::Stderr(text) => f.pad(text),
            Output::Exit(_) => Ok(()),
        }
    }
}

/// An execution on record at the server.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Execution {
    /// The id that the server assigned.
    #[serde(alias = "request_id", alias = "execution_id")]
    pub id: String,
    /// Its status.
    pub status: ExecutionStatus,
    /// Its command, as the server received it: a string or a list.
    #[serde(default)]
    pub command: Value,
    /// The image or environment that it runs in.
    #[serde(default, alias = "environment")]
    pub image: Option<String>,
    /// When it started (RFC 3339).
    #[serde(default, alias = "created_at")]
    pub started_at: Option<String>,
    /// Its exit code, once it has ended.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// All other fields of the response.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// An environment that executions run in.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Environment {
    /// Its id.
    #[serde(default, deserialize_with = "or_default")]
    pub id: String,
    /// Its name, which all calls take.
    pub name: String,
    /// The base image.
    #[serde(default, deserialize_with = "or_default", alias = "baseImage")]
    pub base_image: String,
    /// Its layers on top of the base image, in the server's own format.
    #[serde(default, deserialize_with = "or_default")]
    pub layers: Vec<Value>,
    /// The resources of its executions.
    #[serde(default)]
    pub resources: Option<Resources>,
    /// The cache strategy, in the server's own format.
    #[serde(default, alias = "cacheStrategy")]
    pub cache_strategy: Option<Value>,
    /// Its features.
    #[serde(default, deserialize_with = "or_default")]
    pub features: BTreeMap<String, bool>,
    /// All other fields of the response.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The resources of executions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// CPU cores.
    #[serde(skip_serializing_if = "Option::is_none", alias = "cpuCores")]
    pub cpu_cores: Option<f64>,
    /// Memory, in MB.
    #[serde(skip_serializing_if = "Option::is_none", alias = "memoryMb")]
    pub memory_mb: Option<u64>,
}

/// A saved state.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// The execution that it was taken from.
    #[serde(default, alias = "execution_id")]
    pub container_id: Option<String>,
    /// When it was created (RFC 3339).
    #[serde(default)]
    pub created_at: Option<String>,
    /// Its size in bytes.
    #[serde(default)]
    pub size_bytes: Option<u64>,
    /// All other fields of the response.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A persistent container of the real gateway.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// Its image.
    #[serde(default, deserialize_with = "or_default")]
    pub image: String,
    /// Its status, as the gateway names it.
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    /// All other fields of the response.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The health of the server.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct HealthStatus {
    /// `healthy`, or a description of the problem.
    pub status: String,
    /// Whether it can run containers.
    #[serde(default, deserialize_with = "or_default")]
    pub docker: bool,
    /// Whether it can run microVMs.
    #[serde(default, deserialize_with = "or_default")]
    pub firecracker: bool,
    /// Its uptime in milliseconds.
    #[serde(default, deserialize_with = "or_default")]
    pub uptime_ms: u64,
    /// All other fields of the response.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
