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
//! deployments by name and places them itself. [`ApiVersion`] selects the API; it is
//! never detected. A feature that the selected API lacks is rejected before
//! anything is sent.
//!
//! | the spec | this crate | [`ApiVersion::Rentals`] | [`ApiVersion::Deployments`] |
//! |---|---|---|---|
//! | `executors().list_available` | the same, and `find` with filters | `GET /executors` | `GET /nodes` |
//! | `deployments().deploy` | the same | `POST /rentals` | `POST /deployments` |
//! | `deployments().get` | the same | `GET /rentals/{id}`, joined with `GET /rentals` | `GET /deployments/{name}` |
//! | `deployments().status` | the same | `GET /rentals/{id}` | `GET /deployments/{name}` |
//! | `deployments().list` | the same, with [`ListFilters`] | `GET /rentals`, `?status=Active` for running ones; other filters run in the client | `GET /deployments`, filtered in the client |
//! | | `deployments().matching`: finds the deployment after a lost response | the list, by executor and image | the list, by name |
//! | `deployments().stop` | the same | `DELETE /rentals/{id}` | `DELETE /deployments/{name}` |
//! | `deployments().logs` | the same, and `logs_tail` | `GET /rentals/{id}/logs?follow` | `GET /deployments/{name}/logs?follow` |
//! | | `deployments().restart` | unsupported | `POST /deployments/{name}/restart` |
//! | | `deployments().events` | unsupported | `GET /deployments/{name}/events` |
//! | | `executors().cpu_offerings` | unsupported | `GET /v2/secure-cloud/cpu-prices` |
//! | | `account().api_keys`, `create_api_key`, `delete_api_key` | `/api-keys`, with the JWT of a login | the same |
//! | | `account().ssh_key`, `register_ssh_key`, `delete_ssh_key` | unsupported | `/ssh-keys` |
//! | | `account().balance`, `usage` | unsupported | `GET /billing/balance`, `/billing/usage` |
//! | `health` | the same | `GET /health` | `GET /health` |
//! | token refresh on 401 | the same, and before a token expires | `POST {auth0}/oauth/token` | the same |
//!
//! | in a [`DeploymentConfig`] | `Rentals` | `Deployments` |
//! |---|---|---|
//! | `executor_id`, or `gpu` in its place | one of them | rejected: the service places it by its resources |
//! | `image`, `environment`, `command` | sent | sent |
//! | `resources` | all four numbers and `gpu_types`, always | cores, memory and GPUs; `storage_mb` is not sent, as the service has no such limit |
//! | `ssh_key` | required unless `no_ssh`; must begin with `ssh-` | not sent: there is no SSH |
//! | `no_ssh` | sent, with a generated key if `ssh_key` is not set: the gateway always validates a key | not sent |
//! | `ports` | any | exactly one, TCP; the service chooses the host port |
//! | `volumes` | any | rejected |
//! | `name` | not sent | requested; the server may assign another one |
//! | `replicas`, `ttl`, `public` | rejected unless they have their default | sent |
//!
//! Other differences from the spec: all calls block, so [`Stream`] replaces
//! `LogStream`; `BasilicaSdk` and `SdkConfig` are [`BasilicaClient`] and its builder;
//! the retry policy is `max_retries`, `retry_delay` and `max_retry_delay`; the variants of
//! `SdkError` are `is_...()` methods of the one [`Error`]. The service deletes a
//! rental as soon as it is stopped: `is_not_found()`, never
//! [`Stopped`](DeploymentStatus::Stopped). Times are strings (RFC 3339), as received.
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

/// Runs the README's examples as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
