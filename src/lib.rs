//! A small synchronous kit for **satellites**: always-on workers that run on an
//! edge host and process the tasks of a platform.
//!
//! A satellite polls the platform, claims a task, runs the handler for its
//! type, and reports the result. It is one static binary without an async
//! runtime. It starts in milliseconds, retries during outages, and runs under
//! systemd.
//!
//! ```no_run
//! use satellite_sdk::{Builder, Context, Exit, Task};
//!
//! #[derive(serde::Deserialize)]
//! struct Deploy { deployment_id: String }
//!
//! fn main() -> Exit {
//!     Builder::new()
//!         .handler("deploy", |task: Task<Deploy>, cx: &Context| {
//!             let deployment = cx.platform().get_deployment(&task.payload.deployment_id)?;
//!             satellite_sdk::done(serde_json::json!({ "name": deployment.name }))
//!         })
//!         .run()
//! }
//! ```
//!
//! The settings come from the environment (only `LUML_SATELLITE_TOKEN` is required,
//! see [`Settings`]) or from the [`Builder`].
//!
//! # How results are reported
//!
//! | the handler | the task's status on the platform |
//! |---|---|
//! | returns `Ok(result)` | `done` with the result |
//! | returns `Err(error)` | `failed` with `{"reason", "error"}`: both are the error's text, or those of a [`Failure`] |
//! | panics | `failed`, with the panic message as the error |
//! | calls [`Context::later`] and returns `Ok` | `running`, until [`Later::done`] or [`Later::fail`] |
//! | reports to the platform itself | as reported |
//! | does not run, because the payload does not match its type | `failed`, with the path inside the payload |
//! | does not exist | `failed`; or unchanged, if `LUML_SUPPORTED_TASK_TYPES` does not list the type |
//!
//! # Testing a handler
//!
//! With the feature `testing`, `testing::MockPlatform` runs a complete mock platform
//! over real HTTP in the test process, with fault injection.
//!
//! ```
//! # #[cfg(feature = "testing")] {
//! use satellite_sdk::testing::{MockPlatform, mock_task};
//! # use satellite_sdk::{Context, Task, done};
//! # fn greet(task: Task, _: &Context) -> satellite_sdk::Result<String> { done(format!("Hello, {}", task.payload["name"])) }
//!
//! let platform = MockPlatform::start();
//! platform.add_task(mock_task("t-1", "greet", serde_json::json!({ "name": "Ada" })));
//! platform.worker().handler("greet", greet).build()?.run_until_idle()?;
//! assert_eq!(platform.status("t-1"), "done");
//! # }
//! # Ok::<(), satellite_sdk::Error>(())
//! ```
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `tls` | yes | https through rustls and ring, with the public roots |
//! | `health` | yes | `/healthz` and `/readyz` on a separate thread |
//! | `extras` | | `download_file`, `temp_directory`, `retry` for handlers |
//! | `skypilot` | | `compute::skypilot`: clusters on any cloud |
//! | `basilica` | | `compute::basilica`: containers on rented GPUs |
//! | `faas` | | `compute::faas`: commands on a function service |
//! | `serve` | | a strict, bounded HTTP/1.1 server for satellites that answer requests |
//! | `state` | | `state`: processors with persistent state that survives restarts and moves between hosts |
//! | `s3` | | stores the state of processors in an S3 bucket |
//! | `metrics` | | `/metrics` on the health thread |
//! | `page` | | the operator's page at `/` on the health thread, and `/status.json` |
//! | `stderr-log` | | [`log_to_stderr`]: a logger for programs without their own |
//! | `testing` | | the mock platform and a simulated clock |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "extras")]
pub mod extras;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod luml;
mod settings;
#[cfg(feature = "stderr-log")]
mod stderr_log;
#[cfg(feature = "testing")]
pub mod testing;
mod worker;

/// Clients for remote compute services, each in its own crate.
pub mod compute {
    #[cfg(feature = "basilica")]
    #[doc(inline)]
    pub use satellite_basilica as basilica;
    #[doc(inline)]
    pub use satellite_core::client::{Cancel, Ended, Stream, TimeLimits};
    #[cfg(feature = "faas")]
    #[doc(inline)]
    pub use satellite_faas as faas;
    #[cfg(feature = "skypilot")]
    #[doc(inline)]
    pub use satellite_skypilot as skypilot;
}

pub use luml::{
    Artifact, DeployCapability, Deployment, DeploymentStatus, DeploymentUpdate, FormField,
    OrbitSecret, PlatformClient, Registration, SatelliteInfo, SatelliteStatus, Task, TaskStatus,
    pair,
};
pub use satellite_core::{
    Clock, Error, Exit, Failure, Response, Result, Secret, SystemClock, TaskLog, Variables, Wait,
    current_task_id,
};
#[cfg(feature = "metrics")]
pub use satellite_health::metrics;
#[cfg(feature = "page")]
pub use satellite_health::page;
pub use satellite_health::{Health, Probe};
#[cfg(feature = "serve")]
pub use satellite_serve as serve;
#[cfg(feature = "state")]
pub use satellite_state as state;
pub use settings::Settings;
#[cfg(feature = "stderr-log")]
pub use stderr_log::log_to_stderr;
pub use worker::{
    Builder, Context, Handler, Later, OnOrphan, OnStop, Report, Satellite, StopHandle, Stopped,
    done,
};

/// Runs the examples of the README as doctests.
#[cfg(all(doctest, feature = "testing"))]
#[doc = include_str!("../README.md")]
struct Readme;
