//! The LUML platform: its client, its models, and sanitized results.

mod capability;
mod client;
mod deployments;
mod dialect;
mod fields;
mod models;
mod pairing;
mod safe;
mod status;
mod tasks;

pub use capability::{DeployCapability, FormField};
pub use client::PlatformClient;
pub use models::{Artifact, Deployment, DeploymentUpdate, OrbitSecret, SatelliteInfo, Task};
pub use pairing::{Registration, pair};
pub use status::{DeploymentStatus, SatelliteStatus, TaskStatus};

pub(crate) use capability::is_choosable;
pub(crate) use pairing::capabilities_of;
pub(crate) use safe::{as_result, failure_result};
#[cfg(fuzzing)]
pub(crate) use {dialect::LUML, tasks::tasks_in};
