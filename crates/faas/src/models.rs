//! What the server speaks of. Fields that this version does not know are kept
//! in `extra`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use satellite_core::lenient::or_default;
use satellite_core::open_words;
use satellite_core::{Error, Result};

open_words! {
    /// What became of an execution.
    ExecutionStatus {
        /// It is under way.
        Running = "running",
        /// It ended with exit code 0.
        Success = "success" | "completed",
        /// It ended with another.
        Error = "error" | "failed",
        /// It was ended at its time limit.
        Timeout = "timeout",
        /// It was cancelled.
        Cancelled = "cancelled",
    }
}

/// What came of an execution.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExecutionResult {
    /// The server's name for it.
    pub request_id: String,
    /// How it ended.
    pub status: ExecutionStatus,
    /// What it printed.
    pub stdout: String,
    /// What it printed as errors.
    pub stderr: String,
    /// What it exited with.
    pub exit_code: i32,
    /// How long it took.
    pub duration: Duration,
    /// Whether it was not run at all, but its result known.
    pub cached: bool,
    /// What the server says of a failure.
    pub error: Option<String>,
    /// All other fields of the response.
    pub extra: Map<String, Value>,
}

impl ExecutionResult {
    /// Whether it ended well.
    pub fn is_success(&self) -> bool {
        self.status == ExecutionStatus::Success
    }

    /// Whether the server cannot tell output and errors apart, and answers all of
    /// it as both.
    pub fn is_merged(&self) -> bool {
        !self.stdout.is_empty() && self.stdout == self.stderr
    }

    /// This result if it ended well, else an error that tells how it ended and
    /// what it printed last.
    ///
    /// # Errors
    /// Exit codes other than 0, and all other ends.
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
struct Told {
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
        let told = Told::deserialize(deserializer)?;
        let timed_out = |error: &str| error.contains("timed out") || error.contains("timeout");
        let status = told.status.unwrap_or(match &told.error {
            Some(error) if timed_out(error) => ExecutionStatus::Timeout,
            None if told.exit_code == 0 => ExecutionStatus::Success,
            _ => ExecutionStatus::Error,
        });
        Ok(ExecutionResult {
            request_id: told.request_id,
            status,
            stdout: told.stdout,
            stderr: told.stderr,
            exit_code: told.exit_code,
            duration: Duration::from_millis(told.duration_ms),
            cached: told.cached,
            error: told.error,
            extra: told.extra,
        })
    }
}

/// An execution that the server knows of.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Execution {
    /// The server's name for it.
    #[serde(alias = "request_id", alias = "execution_id")]
    pub id: String,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// What it runs, as it was told: a text, or words.
    #[serde(default)]
    pub command: Value,
    /// In what it runs.
    #[serde(default, alias = "environment")]
    pub image: Option<String>,
    /// When it began (RFC 3339).
    #[serde(default, alias = "created_at")]
    pub started_at: Option<String>,
    /// What it exited with, once it has.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// All other fields of the response.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What executions run in.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Environment {
    /// Its id.
    #[serde(default, deserialize_with = "or_default")]
    pub id: String,
    /// Its name, which all calls want.
    pub name: String,
    /// The image that it begins with.
    #[serde(default, deserialize_with = "or_default", alias = "baseImage")]
    pub base_image: String,
    /// What was put upon that, as the server has it.
    #[serde(default, deserialize_with = "or_default")]
    pub layers: Vec<Value>,
    /// What its executions may use.
    #[serde(default)]
    pub resources: Option<Resources>,
    /// How much of it is kept, as the server has it.
    #[serde(default, alias = "cacheStrategy")]
    pub cache_strategy: Option<Value>,
    /// What it can do.
    #[serde(default, deserialize_with = "or_default")]
    pub features: BTreeMap<String, bool>,
    /// All other fields of the response.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What executions may use.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// CPU cores.
    #[serde(skip_serializing_if = "Option::is_none", alias = "cpuCores")]
    pub cpu_cores: Option<f64>,
    /// Memory, in MB.
    #[serde(skip_serializing_if = "Option::is_none", alias = "memoryMb")]
    pub memory_mb: Option<u64>,
}

/// A state to go on from.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// Of which execution.
    #[serde(default, alias = "execution_id")]
    pub container_id: Option<String>,
    /// When it was made (RFC 3339).
    #[serde(default)]
    pub created_at: Option<String>,
    /// How large it is, in bytes.
    #[serde(default)]
    pub size_bytes: Option<u64>,
    /// All other fields of the response.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A container that stays, of the real gateway.
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
    /// Where it stands, in the gateway's words.
    #[serde(default, deserialize_with = "or_default")]
    pub status: String,
    /// All other fields of the response.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How the server is.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct HealthStatus {
    /// `healthy`, or a description of the problem.
    pub status: String,
    /// Whether it can run containers.
    #[serde(default, deserialize_with = "or_default")]
    pub docker: bool,
    /// Whether it can run small virtual machines.
    #[serde(default, deserialize_with = "or_default")]
    pub firecracker: bool,
    /// For how long it has been up, in milliseconds.
    #[serde(default, deserialize_with = "or_default")]
    pub uptime_ms: u64,
    /// All other fields of the response.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
