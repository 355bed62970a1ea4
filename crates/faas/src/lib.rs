//! FaaS: commands run elsewhere, each in an environment of its own.
//!
//! ```no_run
//! use std::time::Duration;
//! use satellite_faas::{ExecutionRequest, FaasClient};
//!
//! let faas = FaasClient::from_env()?;
//! println!("{}", faas.execute("uname -a")?.stdout);
//!
//! let training = ExecutionRequest::command(["python3", "train.py"])
//!     .environment("python-ai")
//!     .timeout(Duration::from_secs(600))
//!     .env("EPOCHS", "3");
//! let result = faas.executions().run(training)?.ok()?;
//! # let _ = result;
//! # Ok::<(), satellite_faas::Error>(())
//! ```
//!
//! # What servers offer
//!
//! The client is written for the contract of `/api/v1`. A server that has not got
//! a route answers an error that [`is_unsupported`](satellite_core::Error::is_unsupported)
//! and names it. [`FaasDialect`] tells which of two ways of saying the same a
//! server wants.
//!
//! | the spec's | here | route | the real gateway |
//! |---|---|---|---|
//! | `execute` | the same, of a text or an [`ExecutionRequest`] | `POST /api/v1/execute` | works; see below |
//! | `execute_file` | the same | the same | works |
//! | `executions.run` | the same | the same | works |
//! | `executions.run_batch` | the same | the same, a few at a time | works |
//! | `executions.stream` | the same | `POST /api/v1/execute?stream=true`, resumed by the log | answers in one piece, at the end |
//! | list executions | `executions().list` | `GET /api/v1/executions` | unsupported |
//! | get execution details | `executions().get` | `GET /api/v1/executions/{id}` | unsupported |
//! | cancel execution | `executions().cancel` | `DELETE /api/v1/executions/{id}` | unsupported |
//! | stream logs | `executions().logs` | `GET /api/v1/executions/{id}/logs` | unsupported |
//! | `environments.list` | the same | `GET /api/v1/environments` | unsupported |
//! | `environments.create` | the same | `POST /api/v1/environments` | unsupported |
//! | `environments.get` | the same | `GET /api/v1/environments/{name}` | unsupported |
//! | `environments.update` | the same | `PUT /api/v1/environments/{name}` | unsupported |
//! | `environments.delete` | the same | `DELETE /api/v1/environments/{name}` | unsupported |
//! | `snapshots.create` | the same | `POST /api/v1/snapshots`, which says the same as `/executions/{id}/snapshot` | answers, and does nothing |
//! | `snapshots.create_from_script` | the same | execute, checked, then snapshot | unsupported: it does not run the script |
//! | `snapshots.restore` | the same | `POST /api/v1/snapshots/{id}/restore` | answers, and does nothing |
//! | `restore` with a `branch_count` | `snapshots().branch` | `POST /api/v1/snapshots/{id}/branch` | unsupported |
//! | `branch.execute` | [`Branch::execute`] | `POST /api/v1/execute`, `branch_from` | works |
//! | `snapshots.list` | the same | `GET /api/v1/snapshots` | works |
//! | get snapshot | `snapshots().get` | `GET /api/v1/snapshots/{id}` | unsupported |
//! | `snapshots.delete` | the same | `DELETE /api/v1/snapshots/{id}` | unsupported |
//! | | `gateway().fork` | `POST /api/v1/fork` | unsupported: it answers an empty list |
//! | | `gateway().fork_execution` | `POST /api/v1/executions/{id}/fork` | works |
//! | | `gateway().create_instance`, `instances`, `stop_instance` | `/api/v1/instances…` | answers, and does nothing |
//! | | `gateway().instance`, `exec` | `/api/v1/instances/{id}…` | unsupported |
//! | | `gateway().prewarm`, `pools`, `metrics` | `/api/v1/prewarm`, `pools`, `metrics` | mostly stubs |
//! | | `health` | `GET /health` | works |
//! | | left out | WebSocket `/api/v1/containers/{id}/stream` | works; it is of a container, not of an execution, and no HTTP |
//!
//! | told by an [`ExecutionRequest`] | over the wire | the real gateway |
//! |---|---|---|
//! | the command | one text for a shell, or words, as the dialect has it | works |
//! | `environment` | `image` | a container image; an unknown one is a 500 without a reason, as any other failure |
//! | `timeout` | `timeout_ms` | ignored: the client keeps it too, a tenth later |
//! | `env` | `env_vars`, pairs or `K=V` | taken |
//! | `working_dir` | `working_dir` | ignored: see [`checked`](ExecutionRequest::checked) |
//! | `stdin` | a part of the command: the wire has no place for it | works |
//! | `memory_mb`, `cpu_cores`, `runtime`, `mode`, `cache_key`, `snapshot`, `branch_from` | of the same name, `snapshot_id` | mode, runtime, the last two taken |
//! | the exit code | `exit_code` | always 0: see [`checked`](ExecutionRequest::checked) |
//! | `stdout`, `stderr` | of the same name | both the same, merged: [`is_merged`](ExecutionResult::is_merged) |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod batch;
mod client;
mod command;
mod connection;
mod dialect;
mod environments;
mod executions;
mod gateway;
#[cfg(feature = "testing")]
mod mock;
mod models;
mod output;
mod request;
mod snapshots;

pub use client::{FaasBuilder, FaasClient, Options};
pub use dialect::FaasDialect;
pub use environments::{EnvironmentManager, EnvironmentSpec};
pub use executions::ExecutionManager;
pub use gateway::GatewayExtras;
#[cfg(feature = "testing")]
pub use mock::{FaasKind, MockFaas};
pub use models::{
    Environment, Execution, ExecutionResult, ExecutionStatus, HealthStatus, Instance, Resources,
    Snapshot,
};
pub use output::Output;
pub use request::{ExecutionRequest, Mode, Runtime};
pub use satellite_core::client::{Cancel, Ended, Stream, TimeLimits};
pub use satellite_core::{Error, Result, Secret, Variables};
pub use snapshots::{Branch, SnapshotManager};

/// Runs the README's examples as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
