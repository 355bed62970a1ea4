//! A small synchronous kit for **satellites**: always-on workers that live on
//! an edge host and do what a platform hands out.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
#[cfg(feature = "extras")]
pub mod extras;
mod health;
mod http;
mod luml;
#[cfg(feature = "serve")]
pub mod serve;
mod settings;
#[cfg(feature = "testing")]
pub mod testing;
mod wake;
mod worker;

pub use error::{Error, Result};
pub use health::Health;
pub use http::{Response, Secret};
pub use luml::{
    Artifact, Deployment, DeploymentStatus, DeploymentUpdate, OrbitSecret, PlatformClient,
    Registration, SatelliteInfo, SatelliteStatus, Task, TaskStatus, pair,
};
pub use settings::Settings;
pub use wake::{Clock, SystemClock, Wake};
pub use worker::{
    Builder, Context, Exit, Failure, Handler, Later, OnStop, Report, Satellite, StopHandle,
    Stopped, TaskLog, current_task_id, done,
};
