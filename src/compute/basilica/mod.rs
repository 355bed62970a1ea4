//! Basilica: containers on rented GPUs.
//!
//! ```no_run
//! use satellite_sdk::compute::basilica::{BasilicaClient, DeploymentConfig, PortMapping};
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
//! # Ok::<(), satellite_sdk::Error>(())
//! ```
//!
//! # Two APIs
//!
//! The gateway of September 2025 rents out executors; the newer service runs
//! deployments by name and places them itself. Which of them is spoken is told by
//! [`ApiVersion`] and never guessed. What one of them cannot do is refused before
//! anything is sent.
//!
//! | operation | [`ApiVersion::Rentals`] | [`ApiVersion::Deployments`] |
//! |---|---|---|
//! | `executors().list_available`, `find` | `GET /executors` | `GET /nodes` |
//! | `deployments().deploy` | `POST /rentals` | `POST /deployments` |
//! | `deployments().get` | `GET /rentals/{id}`, joined with the list | `GET /deployments/{name}` |
//! | `deployments().status` | `GET /rentals/{id}` | `GET /deployments/{name}` |
//! | `deployments().list` | `GET /rentals` | `GET /deployments` |
//! | `deployments().matching` | the list, for executor and image | the list, for the name |
//! | `deployments().stop` | `DELETE /rentals/{id}` | `DELETE /deployments/{name}` |
//! | `deployments().logs`, `logs_tail` | `GET /rentals/{id}/logs` | `GET /deployments/{name}/logs` |
//! | `health` | `GET /health` | `GET /health` |
//!
//! | in a [`DeploymentConfig`] | `Rentals` | `Deployments` |
//! |---|---|---|
//! | `executor_id`, `gpu` | one of them | refused: it is placed by its resources |
//! | `name` | is not sent | asked for; the server may give another one |
//! | `ssh_key`, unless `no_ssh` | required | is not sent: there is no SSH |
//! | `ports` | any | exactly one, by TCP; the host's port is the service's own |
//! | `volumes` | any | refused |
//! | `storage_mb` | sent | is not sent: the service has no such limit |
//! | `replicas`, `ttl`, `public` | refused, unless left as they are | sent |

mod auth;
mod client;
mod config;
mod deployments;
mod dialect;
mod executors;
mod logs;
mod models;
mod resources;
mod ssh;
mod token_file;
mod wire;

pub use client::{ApiVersion, BasilicaClient, Options};
pub use config::{DeploymentConfig, DeploymentConfigBuilder};
pub use deployments::DeploymentManager;
pub use executors::{ExecutorFilters, ExecutorManager};
pub use logs::LogLine;
pub use models::{
    CpuSpec, Deployment, DeploymentStatus, Executor, GpuSpec, HealthStatus, ListFilters,
};
pub use resources::{
    GpuRequirements, PortMapping, Protocol, ResourceRequirements, ResourceRequirementsBuilder,
    VolumeMount,
};
pub use ssh::SshAccess;
