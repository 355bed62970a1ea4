//! FaaS: runs commands on a remote server, each in its own environment.
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
//! The client implements the contract of `/api/v1`. If a server lacks a route, the call
//! returns an error that [`is_unsupported`](satellite_core::Error::is_unsupported)
//! and names the route. [`FaasDialect`] selects the wire format of the server.
//!
//! | the spec | this crate | route | the real gateway |
//! |---|---|---|---|
//! | `execute` | the same, with a string or an [`ExecutionRequest`] | `POST /api/v1/execute` | works; see below |
//! | `execute_file` | the same | the same | works |
//! | `executions.run` | the same | the same | works |
//! | `executions.run_batch` | the same | the same, with limited concurrency | works |
//! | `executions.stream` | the same | `POST /api/v1/execute?stream=true`, resumed from the log | returns all output at the end |
//! | list executions | `executions().list` | `GET /api/v1/executions` | unsupported |
//! | get execution details | `executions().get` | `GET /api/v1/executions/{id}` | unsupported |
//! | cancel execution | `executions().cancel` | `DELETE /api/v1/executions/{id}` | unsupported |
//! | stream logs | `executions().logs` | `GET /api/v1/executions/{id}/logs` | unsupported |
//! | `environments.list` | the same | `GET /api/v1/environments` | unsupported |
//! | `environments.create` | the same | `POST /api/v1/environments` | unsupported |
//! | `environments.get` | the same | `GET /api/v1/environments/{name}` | unsupported |
//! | `environments.update` | the same | `PUT /api/v1/environments/{name}` | unsupported |
//! | `environments.delete` | the same | `DELETE /api/v1/environments/{name}` | unsupported |
//! | `snapshots.create` | the same | `POST /api/v1/snapshots`, equivalent to `/executions/{id}/snapshot` | responds, but does nothing |
//! | `snapshots.create_from_script` | the same | a checked execution, then a snapshot | unsupported: it does not run the script |
//! | `snapshots.restore` | the same | `POST /api/v1/snapshots/{id}/restore` | responds, but does nothing |
//! | `restore` with a `branch_count` | `snapshots().branch` | `POST /api/v1/snapshots/{id}/branch` | unsupported |
//! | `branch.execute` | [`Branch::execute`] | `POST /api/v1/execute`, `branch_from` | works |
//! | `snapshots.list` | the same | `GET /api/v1/snapshots` | works |
//! | get snapshot | `snapshots().get` | `GET /api/v1/snapshots/{id}` | unsupported |
//! | `snapshots.delete` | the same | `DELETE /api/v1/snapshots/{id}` | unsupported |
//! | | `gateway().fork` | `POST /api/v1/fork` | unsupported: it returns an empty list |
//! | | `gateway().fork_execution` | `POST /api/v1/executions/{id}/fork` | works |
//! | | `gateway().create_instance`, `instances`, `stop_instance` | `/api/v1/instances…` | responds, but does nothing |
//! | | `gateway().instance`, `exec` | `/api/v1/instances/{id}…` | unsupported |
//! | | `gateway().prewarm`, `pools`, `metrics` | `/api/v1/prewarm`, `pools`, `metrics` | mostly stubs |
//! | | `health` | `GET /health` | works |
//! | | not implemented | WebSocket `/api/v1/containers/{id}/stream` | works; it belongs to a container, not to an execution, and is not HTTP |
//!
//! | in an [`ExecutionRequest`] | on the wire | the real gateway |
//! |---|---|---|
//! | the command | a shell script or a list of arguments, depending on the dialect | works |
//! | `environment` | `image` | a container image; an unknown one is a 500 without a reason, like any other failure |
//! | `timeout` | `timeout_ms` | ignored: the client enforces it too, a tenth later |
//! | `env` | `env_vars`, pairs or `K=V` | accepted |
//! | `working_dir` | `working_dir` | ignored: see [`checked`](ExecutionRequest::checked) |
//! | `stdin` | a part of the command: the API has no field for it | works |
//! | `memory_mb`, `cpu_cores`, `runtime`, `mode`, `cache_key`, `snapshot`, `branch_from` | the same names, `snapshot_id` | accepts mode, runtime and the last two |
//! | the exit code | `exit_code` | always 0: see [`checked`](ExecutionRequest::checked) |
//! | `stdout`, `stderr` | the same names | identical, with both streams merged: [`is_merged`](ExecutionResult::is_merged) |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod batch;
mod checked;
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
    Environment, Execution, ExecutionResult, ExecutionStatus, HealthStatus, Instance, Output,
    Resources, Snapshot,
};
pub use request::{ExecutionRequest, Mode, Runtime};
pub use satellite_core::client::{Cancel, Ended, Stream, TimeLimits};
pub use satellite_core::{Error, Result, Secret, Variables};
pub use snapshots::{Branch, SnapshotManager};

/// Runs the README's examples as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
