//! A client for the SkyPilot API server: clusters on any cloud.
//!
//! Tested against version 0.14.1 (API version 62). The client never reads pickled data
//! and never requests private keys.
//!
//! # 1. Launch a cluster
//!
//! ```no_run
//! use satellite_skypilot::{Launch, Resources, SkyPilotClient, Task};
//!
//! let sky = SkyPilotClient::from_env()?;
//! let task = Task::new()
//!     .resources(Resources::new().infra("aws/us-east-1").accelerators("A10G:1"))
//!     .setup("pip install vllm==0.6.2")
//!     .run("python -m vllm.entrypoints.openai.api_server --port $VLLM_PORT");
//! let launch = Launch::new("llama3-8b-prod", task).idle_minutes_to_stop(30).env("VLLM_PORT", "8000");
//! println!("launch {}", sky.launch(&launch)?.id());
//! # Ok::<(), satellite_skypilot::Error>(())
//! ```
//!
//! # 2. Launch it on another cloud account
//!
//! ```no_run
//! # use satellite_skypilot::{CloudCredentials, Launch, SkyPilotClient};
//! # let sky = SkyPilotClient::from_env()?;
//! # let (key, secret) = ("AKIA…", "…");
//! let tenant = CloudCredentials::aws(key, secret).region("us-west-2");
//! let yaml = std::fs::read_to_string("task.yaml")?;
//! let launch = Launch::new("tenant-abc", yaml.as_str()).credentials(tenant);
//! let request = sky.launch(&launch)?;
//! # let _ = request;
//! # Ok::<(), satellite_skypilot::Error>(())
//! ```
//!
//! A cluster that was launched with credentials must be used and terminated with the
//! same ones. A client for the tenant shares the connection and sends them with every
//! operation:
//! `sky.with_credentials(tenant).terminate("tenant-abc")`.
//!
//! # 3. Wait for it
//!
//! ```no_run
//! # use satellite_skypilot::{Launch, SkyPilotClient};
//! # let sky = SkyPilotClient::from_env()?;
//! # let request = sky.launch(&Launch::new("c", "run: x"))?;
//! match request.wait_with(|r| eprintln!("{} {}", r.status, r.status_msg.as_deref().unwrap_or(""))) {
//!     Ok(launched) => println!("up, job {:?}", launched.job_id),
//!     Err(e) if e.is_timeout() => println!("still running; poll again with {}", request.id()),
//!     Err(e) => println!("{:?}: {e}", e.server_type()),
//! }
//! # Ok::<(), satellite_skypilot::Error>(())
//! ```
//!
//! # 4. Get its status
//!
//! ```no_run
//! # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
//! match sky.status("llama3-8b-prod") {
//!     Ok(c) => println!("{} {:?} {:?} {:?}", c.status, c.cloud, c.region, c.accelerators),
//!     Err(e) if e.is_not_found() => println!("no such cluster"),
//!     Err(e) => return Err(e),
//! }
//! # Ok::<(), satellite_skypilot::Error>(())
//! ```
//!
//! # 5. List clusters
//!
//! ```no_run
//! # use satellite_skypilot::{Clusters, SkyPilotClient};
//! # let sky = SkyPilotClient::from_env()?;
//! for mine in sky.list_clusters()? {
//!     println!("{:30} {}", mine.name, mine.status);
//! }
//! for any in sky.clusters(&Clusters::new().all_users(true))? {
//!     println!("{:30} {} of {}", any.name, any.status, any.user_name);
//! }
//! # Ok::<(), satellite_skypilot::Error>(())
//! ```
//!
//! # 6. Run a command on it
//!
//! ```no_run
//! # use satellite_skypilot::{Exec, SkyPilotClient};
//! # use std::time::Duration;
//! # let sky = SkyPilotClient::from_env()?;
//! let exec = Exec::new("llama3-8b-prod", "nvidia-smi").timeout(Duration::from_secs(30));
//! let output = sky.exec(&exec)?;
//! println!("{}\n{}{}", output.exit_code, output.stdout, output.stderr);
//! # Ok::<(), satellite_skypilot::Error>(())
//! ```
//!
//! # 7. Read its logs
//!
//! ```no_run
//! # use satellite_skypilot::{Logs, SkyPilotClient};
//! # let sky = SkyPilotClient::from_env()?;
//! for line in sky.logs(&Logs::new("llama3-8b-prod").tail(100).follow(true))? {
//!     println!("{}", line?);
//! }
//! # Ok::<(), satellite_skypilot::Error>(())
//! ```
//!
//! # 8. Estimate its cost
//!
//! ```no_run
//! # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
//! # let yaml = "run: x";
//! let estimate = sky.estimate_cost(yaml, 24.0)?;
//! let about = if estimate.is_exact { "" } else { "about " };
//! println!("{} on {}: {about}${:.2}", estimate.instance_type, estimate.provider, estimate.total);
//! # Ok::<(), satellite_skypilot::Error>(())
//! ```
//!
//! # 9. Terminate it
//!
//! ```no_run
//! # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
//! sky.terminate("llama3-8b-prod")?.wait()?;
//! # Ok::<(), satellite_skypilot::Error>(())
//! ```
//!
//! # Errors
//!
//! An error has the server's own name for it ([`Error::server_type`]) and
//! the methods `is_not_found()`, `is_unauthorized()`, `is_forbidden()`,
//! `is_rate_limited()`, `is_out_of_capacity()`, `is_unsupported()`,
//! `is_version_mismatch()` and `is_retryable()`. A request that changes
//! something is sent once, unless the server said that it did nothing. If the response
//! is lost, or a gateway responds instead of the server, the client asks the server
//! whether it has the request. Only if that fails too is the error
//! `is_outcome_unknown()`, and then it is not `is_retryable()`.
//!
//! [`Error::server_type`]: satellite_core::Error::server_type

#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod clusters;
mod credentials;
mod dialect;
mod estimate;
mod exec;
mod exec_output;
mod job_log;
mod jobs;
mod launch;
mod logs;
mod models;
mod options;
mod prices;
mod request;
mod task;
mod user;

pub use client::{SkyPilotBuilder, SkyPilotClient};
pub use credentials::CloudCredentials;
pub use estimate::Estimate;
pub use exec::{Exec, Output, RunningExec};
pub use exec_output::OutputLine;
pub use job_log::{JobLog, Logs};
pub use launch::Launch;
pub use models::{
    Cluster, ClusterCost, ClusterStatus, EnabledClouds, Health, Job, JobStatus, Launched, Offer,
    Offers, RequestRecord, RequestStatus,
};
pub use options::{Clusters, Refresh, Start, Stop, Terminate};
pub use prices::Accelerators;
pub use request::{Request, RequestResult};
pub use satellite_core::client::{Cancel, Ended, Stream, TimeLimits};
pub use satellite_core::{Error, Result, Secret, Variables};
pub use task::{Resources, Task};

/// A response of an API server, for fuzzing.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn answer(status: u16, body: &[u8]) -> satellite_core::http::Response {
    satellite_core::http::Response::made(&dialect::BEARER, status, &[], body)
}

/// The lines of a log, and the estimate that it contains, for fuzzing.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn read_log(body: &[u8]) -> satellite_core::Result<(Vec<String>, Option<Estimate>)> {
    let lines = logs::readable(answer(200, body).into_lines()?, false);
    let lines = lines.map(|line| line.map(|line| exec_output::unmarked(&line)));
    let lines: Vec<String> = lines.collect::<satellite_core::Result<_>>()?;
    let chosen = estimate::chosen(&lines);
    Ok((lines, chosen))
}

/// Runs the README's examples as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
