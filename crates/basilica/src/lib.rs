//! Basilica: containers on rented GPUs.
//!
//! ```no_run
//! use satellite_basilica::{BasilicaClient, DeploymentConfig, PortMapping};
//!
//! let basilica = BasilicaClient::from_env()?;
//! let executors = basilica.executors().list_available()?;
//! let config = DeploymentConfig::builder()
//!     .executor_id(&executors[0].id)
//!     .image("nginx:latest")
//!     .ssh_key("ssh-ed25519 AAAAC3Nz me@edge")
//!     .ports([PortMapping::tcp(80, 8080)])
//!     .build()?;
//! let deployment = basilica.deployments().deploy(&config)?;
//! for line in basilica.deployments().logs(&deployment.id, true)? {
//!     println!("{}", line?);
//! }
//! basilica.deployments().stop(&deployment.id)?;
//! # Ok::<(), satellite_basilica::Error>(())
//! ```
//!
//! # Two APIs
//!
//! The gateway of September 2025 rents out executors; the newer service runs
//! deployments by name and places them itself. Which of them is spoken is told by
//! [`ApiVersion`] and never guessed. What one of them cannot do is refused before
//! anything is sent.
//!
//! | the spec's | here | [`ApiVersion::Rentals`] | [`ApiVersion::Deployments`] |
//! |---|---|---|---|
//! | `executors().list_available` | the same, and `find` with filters | `GET /executors` | `GET /nodes` |
//! | `deployments().deploy` | the same | `POST /rentals` | `POST /deployments` |
//! | `deployments().get` | the same | `GET /rentals/{id}`, joined with `GET /rentals` | `GET /deployments/{name}` |
//! | `deployments().status` | the same | `GET /rentals/{id}` | `GET /deployments/{name}` |
//! | `deployments().list` | the same, with [`ListFilters`] | `GET /rentals`, `?status=Active` for those that run; all else is filtered here | `GET /deployments`, filtered here |
//! | | `deployments().matching`: what came of a lost answer | the list, by executor and image | the list, by name |
//! | `deployments().stop` | the same | `DELETE /rentals/{id}` | `DELETE /deployments/{name}` |
//! | `deployments().logs` | the same, and `logs_tail` | `GET /rentals/{id}/logs?follow` | `GET /deployments/{name}/logs?follow` |
//! | | `deployments().restart` | unsupported | `POST /deployments/{name}/restart` |
//! | | `deployments().events` | unsupported | `GET /deployments/{name}/events` |
//! | | `executors().cpu_offerings` | unsupported | `GET /v2/secure-cloud/cpu-prices` |
//! | | `account().api_keys`, `create_api_key`, `delete_api_key` | `/api-keys`, with the JWT of a login | the same |
//! | | `account().ssh_key`, `register_ssh_key`, `delete_ssh_key` | unsupported | `/ssh-keys` |
//! | | `account().balance`, `usage` | unsupported | `GET /billing/balance`, `/billing/usage` |
//! | `health` | the same | `GET /health` | `GET /health` |
//! | token refresh on 401 | the same, and before a token ends | `POST {auth0}/oauth/token` | the same |
//!
//! | in a [`DeploymentConfig`] | `Rentals` | `Deployments` |
//! |---|---|---|
//! | `executor_id`, or `gpu` in its place | one of them | refused: it is placed by its resources |
//! | `image`, `environment`, `command` | sent | sent |
//! | `resources` | all four numbers and `gpu_types`, always | cores, memory and GPUs; `storage_mb` is not sent, as the service has no such limit |
//! | `ssh_key` | required unless `no_ssh`, and begins with `ssh-` | is not sent: there is no SSH |
//! | `no_ssh` | sent, with a made-up key where there is no `ssh_key`: the gateway validates one always | is not sent |
//! | `ports` | any | exactly one, by TCP; the host's port is the service's own |
//! | `volumes` | any | refused |
//! | `name` | is not sent | asked for; the server may give another one |
//! | `replicas`, `ttl`, `public` | refused, unless left as they are | sent |
//!
//! What else differs from the spec: everything blocks, so that [`Stream`] stands for
//! `LogStream`; `BasilicaSdk` and `SdkConfig` are [`BasilicaClient`] and its builder,
//! the retry policy `max_retries`, `retry_delay` and `max_retry_delay`; the variants of
//! `SdkError` are questions to the one [`Error`]. A rental that was
//! stopped is forgotten at once: `is_not_found()`, never
//! [`Stopped`](DeploymentStatus::Stopped). Times are texts (RFC 3339), as they come.
//!
//! [`Stream`]: crate::Stream

#![cfg_attr(docsrs, feature(doc_cfg))]

mod account;
mod api_version;
mod auth;
mod client;
mod config;
mod connection;
mod deployments;
mod dialect;
mod executors;
mod logs;
#[cfg(feature = "testing")]
mod mock;
mod models;
mod resources;
mod ssh;
mod token_file;
mod wire;

pub use account::{AccountManager, ApiKey, Balance, NewApiKey, RentalUsage, SshKey, Usage};
pub use api_version::ApiVersion;
pub use client::{BasilicaBuilder, BasilicaClient, Options};
pub use config::{DeploymentConfig, DeploymentConfigBuilder};
pub use deployments::DeploymentManager;
pub use executors::{ExecutorFilters, ExecutorManager};
pub use logs::LogLine;
#[cfg(feature = "testing")]
pub use mock::MockBasilica;
pub use models::{
    CpuOffering, CpuSpec, Deployment, DeploymentEvent, DeploymentStatus, Executor, GpuSpec,
    HealthStatus, ListFilters,
};
pub use resources::{
    GpuRequirements, PortMapping, Protocol, ResourceRequirements, ResourceRequirementsBuilder,
    VolumeMount,
};
pub use satellite_core::client::{Cancel, Ended, Stream, TimeLimits};
pub use satellite_core::{Error, Result, Secret, Variables};
pub use ssh::SshAccess;

/// The README's examples are tests as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
