//! Deployments: deploy, inspect, stop.

use serde_json::json;

use super::api_version::ApiVersion;
use super::config::{DeploymentConfig, Placement};
use super::connection::Connection;
use super::models::{Deployment, DeploymentEvent, DeploymentStatus, ListFilters};
use super::wire::{self, CreatedRental, Events, ListedRental, Rental, Rentals, Service, Services};
use satellite_core::Result;
use satellite_core::client::delete;
use satellite_core::http::escaped;

/// Containers of a [`BasilicaClient`](crate::BasilicaClient).
///
/// ```no_run
/// use satellite_basilica::{BasilicaClient, ListFilters};
///
/// let basilica = BasilicaClient::from_env()?;
/// for deployment in basilica.deployments().list(&ListFilters::default())? {
///     println!("{} {}", deployment.id, deployment.status);
/// }
/// # Ok::<(), satellite_basilica::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct DeploymentManager<'a> {
    pub(super) connection: &'a Connection,
}

impl DeploymentManager<'_> {
    /// Deploys a container. The request is sent once: the service has no idempotency
    /// key that would let it recognize a repeated request.
    ///
    /// # Errors
    /// `is_settings()` before anything is sent, if the API does not support the
    /// config. `is_outcome_unknown()` if the response was lost:
    /// [`matching`](Self::matching) then finds the deployment. The outcome is also
    /// unknown after the gateway's own 500.
    pub fn deploy(&self, config: &DeploymentConfig) -> Result<Deployment> {
        config.check_for(self.connection.version)?;
        match self.connection.version {
            ApiVersion::Rentals => {
                let request = wire::rental_request(config);
                let created: CreatedRental = self.connection.create("/rentals", &request)?;
                let mut rental = created.joined(config);
                if rental.executor_id.is_none() {
                    rental.executor_id = self.executor_of(&rental.id);
                }
                Ok(rental)
            }
            ApiVersion::Deployments => {
                let request = wire::deployment_request(config);
                let service: Service = self.connection.create("/deployments", &request)?;
                Ok(service.joined(config))
            }
        }
    }

    /// The deployments that this config may have created, newest first: those with
    /// its image and executor, or with its name. Use it when the response to
    /// [`deploy`](Self::deploy) was lost.
    ///
    /// ```no_run
    /// # use satellite_basilica::{BasilicaClient, Deployment, DeploymentConfig};
    /// # fn f(basilica: &BasilicaClient, config: &DeploymentConfig) -> satellite_basilica::Result<Deployment> {
    /// match basilica.deployments().deploy(config) {
    ///     Err(error) if error.is_outcome_unknown() => {
    ///         let found = basilica.deployments().matching(config)?;
    ///         found.into_iter().next().ok_or(error)
    ///     }
    ///     response => response,
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// Transport errors.
    pub fn matching(&self, config: &DeploymentConfig) -> Result<Vec<Deployment>> {
        let mut found = self.list(&ListFilters::default())?;
        found.retain(
            |deployment| match (self.connection.version, &config.placement) {
                // The service appends a suffix to make the name unique.
                (ApiVersion::Deployments, _) => deployment.id.starts_with(&config.name),
                (ApiVersion::Rentals, Some(Placement::Executor(id))) => {
                    deployment.executor_id.as_deref() == Some(id)
                        && deployment.image.as_deref() == Some(&config.image)
                }
                (ApiVersion::Rentals, _) => deployment.image.as_deref() == Some(&config.image),
            },
        );
        found.sort_by(|one, other| other.created_at.cmp(&one.created_at));
        Ok(found)
    }

    /// A deployment.
    ///
    /// # Errors
    /// `is_not_found()`, also for a rental that was stopped.
    pub fn get(&self, id: &str) -> Result<Deployment> {
        match self.connection.version {
            ApiVersion::Rentals => {
                let rental = self.rental(id)?;
                let listed = self.rentals(&[])?;
                let listed = listed
                    .into_iter()
                    .find(|one| one.rental_id == rental.rental_id);
                Ok(rental.joined(listed))
            }
            ApiVersion::Deployments => self.service(id).map(Into::into),
        }
    }

    /// The status of a deployment.
    ///
    /// # Errors
    /// `is_not_found()`, also for a rental that was stopped.
    pub fn status(&self, id: &str) -> Result<DeploymentStatus> {
        match self.connection.version {
            ApiVersion::Rentals => self.rental(id).map(|rental| rental.status),
            ApiVersion::Deployments => self.service(id).map(|service| service.status()),
        }
    }

    /// The deployments that match the filters.
    ///
    /// # Errors
    /// Transport errors; a rejected token.
    pub fn list(&self, filters: &ListFilters) -> Result<Vec<Deployment>> {
        let all: Vec<Deployment> = match self.connection.version {
            ApiVersion::Rentals => {
                // The only filter value that the gateway is known to accept.
                let query: &[_] = match filters.status {
                    Some(DeploymentStatus::Running) => &[("status", "Active")],
                    _ => &[],
                };
                self.rentals(query)?.into_iter().map(Into::into).collect()
            }
            ApiVersion::Deployments => {
                let list: Services = self.connection.get("/deployments", &[])?;
                list.deployments.into_iter().map(Into::into).collect()
            }
        };
        let is_match = |deployment: &Deployment| filters.matches(deployment);
        Ok(all.into_iter().filter(is_match).collect())
    }

    /// Stops a deployment permanently.
    ///
    /// # Errors
    /// `is_not_found()` if it does not exist.
    pub fn stop(&self, id: &str) -> Result<()> {
        delete(
            &self.connection.transport,
            &self.path(id),
            self.connection.limits.request,
        )
    }

    /// Restarts the containers of a deployment of the newer service, one after the
    /// other. The request is sent once.
    ///
    /// ```no_run
    /// # use satellite_basilica::BasilicaClient;
    /// # let basilica = BasilicaClient::from_env()?;
    /// let restarted = basilica.deployments().restart("my-model-7f31")?;
    /// println!("{}", restarted.status);
    /// # Ok::<(), satellite_basilica::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_unsupported()` with [`ApiVersion::Rentals`]; `is_not_found()`.
    pub fn restart(&self, name: &str) -> Result<Deployment> {
        self.connection.needs(ApiVersion::Deployments, "restart")?;
        let path = self.path(name) + "/restart";
        let service: Service = self.connection.create(&path, &json!({}))?;
        Ok(service.into())
    }

    /// The events of a deployment of the newer service, such as a failed image
    /// pull: at most `limit` of them.
    ///
    /// ```no_run
    /// # use satellite_basilica::BasilicaClient;
    /// # let basilica = BasilicaClient::from_env()?;
    /// for event in basilica.deployments().events("my-model-7f31", 20)? {
    ///     println!("{} {}: {}", event.kind, event.reason, event.message);
    /// }
    /// # Ok::<(), satellite_basilica::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_unsupported()` with [`ApiVersion::Rentals`]; `is_not_found()`.
    pub fn events(&self, name: &str, limit: u32) -> Result<Vec<DeploymentEvent>> {
        self.connection.needs(ApiVersion::Deployments, "events")?;
        let path = self.path(name) + "/events";
        let response: Events = self
            .connection
            .get(&path, &[("limit", &limit.to_string())])?;
        Ok(response.events)
    }

    /// The machine of a new rental. The request is not retried: the rental exists
    /// even if this look-up fails.
    fn executor_of(&self, id: &str) -> Option<String> {
        let rental: Result<Rental> = self.connection.get_once(&self.path(id));
        match rental {
            Ok(rental) => rental.executor_id(),
            Err(error) => {
                log::info!("could not look up the machine of rental {id}: {error}");
                None
            }
        }
    }

    /// The route of one deployment.
    pub(super) fn path(&self, id: &str) -> String {
        match self.connection.version {
            ApiVersion::Rentals => format!("/rentals/{}", escaped(id)),
            ApiVersion::Deployments => format!("/deployments/{}", escaped(id)),
        }
    }

    fn rental(&self, id: &str) -> Result<Rental> {
        self.connection.get(&self.path(id), &[])
    }

    fn service(&self, name: &str) -> Result<Service> {
        self.connection.get(&self.path(name), &[])
    }

    fn rentals(&self, query: &[(&str, &str)]) -> Result<Vec<ListedRental>> {
        let list: Rentals = self.connection.get("/rentals", query)?;
        Ok(list.rentals)
    }
}
