//! A small synchronous kit for **satellites**: always-on workers that live on
//! an edge host and do what a platform hands out.
//!
//! A satellite polls the platform, claims a task, runs the handler for its
//! type, and reports what came of it. It is one static binary without an async
//! runtime; it starts in milliseconds, waits out outages, and runs under
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
//! The settings come from the environment (`LUML_SATELLITE_TOKEN` is the only
//! one required, see [`Settings`]) or from the [`Builder`].
//!
//! # What becomes of a task
//!
//! | the handler | the platform reads |
//! |---|---|
//! | returns `Ok(result)` | `done` with the result |
//! | returns `Err(error)` | `failed` with `{"reason", "error"}`, both the error's text, or those of a [`Failure`] |
//! | panics | `failed`, the panic's text as the error |
//! | takes [`Context::later`] and returns `Ok` | `running`, until [`Later::done`] or [`Later::fail`] |
//! | reports by itself | what it reported |
//! | never runs, since the payload does not fit | `failed`, with the path inside the payload |
//! | does not exist | `failed`, or nothing where `LUML_SUPPORTED_TASK_TYPES` says that the type is another's |
//!
//! # Testing a handler
//!
//! With the feature `testing`, `testing::MockPlatform` is the whole platform
//! over real HTTP in the process of the test, with faults to switch on.
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
//! | feature | default | what it brings |
//! |---|---|---|
//! | `tls` | yes | https through rustls and ring, with the public roots |
//! | `health` | yes | `/healthz` and `/readyz` on a thread of their own |
//! | `extras` | | `download_file`, `temp_directory`, `retry` for handlers |
//! | `skypilot` | | `compute::skypilot`: clusters on any cloud |
//! | `basilica` | | `compute::basilica`: containers on rented GPUs |
//! | `faas` | | `compute::faas`: commands run elsewhere |
//! | `serve` | | a strict, bounded HTTP/1.1 server for satellites that answer requests |
//! | `state` | | `state`: processors, whose state outlives their process and moves with it |
//! | `s3` | | their states in a bucket |
//! | `metrics` | | `/metrics` on the health thread |
//! | `stderr-log` | | [`log_to_stderr`]: a logger for programs that bring none |
//! | `testing` | | the mock platform and a clock that tests drive |

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

/// Clients for work elsewhere, each a crate of its own.
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

/// The examples of the README are tests as well.
#[cfg(all(doctest, feature = "testing"))]
#[doc = include_str!("../README.md")]
struct Readme;
