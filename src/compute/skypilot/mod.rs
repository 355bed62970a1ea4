//! SkyPilot: clusters on any cloud, through its API server.
mod client;
mod clusters;
mod dialect;
mod exec;
mod jobs;
mod logs;
mod models;
mod prices;
mod request;
mod task;

pub use client::SkyPilotClient;
pub use clusters::{CloudCredentials, Launch, Refresh};
pub use exec::{Exec, Output};
pub use jobs::Logs;
pub use models::{
    Cluster, ClusterCost, ClusterStatus, EnabledClouds, Health, Job, JobStatus, Launched, Offer,
    Offers, RequestRecord, RequestStatus,
};
pub use prices::{Accelerators, Estimate};
pub use request::Request;
pub use task::{Resources, Task};
