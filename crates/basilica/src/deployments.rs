//! Deployments: made, looked at, stopped.

use serde_json::json;

use super::api_version::ApiVersion;
use super::config::{DeploymentConfig, Placement};
use super::connection::Connection;
use super::models::{Deployment, DeploymentEvent, DeploymentStatus, ListFilters};
use super::wire::{self, Events, Rental, RentalListed, RentalMade, Rentals, Service, Services};
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
    /// Deploys a container. It is sent once: there is no key by which the service
    /// would know the same request again.
    ///
    /// # Errors
    /// `is_settings()` before anything is sent, where the API cannot do what is
    /// asked. `is_outcome_unknown()` where the answer was lost:
    /// [`matching`](Self::matching) then tells what came of it. The gateway's
    /// own 500 leaves that open too.
    pub fn deploy(&self, config: &DeploymentConfig) -> Result<Deployment> {
        config.check_for(self.connection.version)?;
        match self.connection.version {
            ApiVersion::Rentals => {
                let request = wire::rental_request(config);
                let made: RentalMade = self.connection.create("/rentals", &request)?;
                let mut made = made.joined(config);
                if made.executor_id.is_none() {
                    made.executor_id = self.executor_of(&made.id);
                }
                Ok(made)
            }
            ApiVersion::Deployments => {
                let request = wire::deployment_request(config);
                let made: Service = self.connection.create("/deployments", &request)?;
                Ok(made.joined(config))
            }
        }
    }

    /// The deployments that may have come of this config, the newest first: of
    /// its image and on its executor, or of its name. For when the answer to
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
    ///     answer => answer,
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// Faults on the way.
    pub fn matching(&self, config: &DeploymentConfig) -> Result<Vec<Deployment>> {
        let mut found = self.list(&ListFilters::default())?;
        found.retain(
            |deployment| match (self.connection.version, &config.placement) {
                // The service makes a name its own by adding to it.
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

    /// Where a deployment stands.
    ///
    /// # Errors
    /// `is_not_found()`, also for a rental that was stopped.
    pub fn status(&self, id: &str) -> Result<DeploymentStatus> {
        match self.connection.version {
            ApiVersion::Rentals => self.rental(id).map(|rental| rental.status),
            ApiVersion::Deployments => self.service(id).map(|service| service.status()),
        }
    }

    /// The deployments that meet the filters.
    ///
    /// # Errors
    /// Faults on the way, a refused token.
    pub fn list(&self, filters: &ListFilters) -> Result<Vec<Deployment>> {
        let all: Vec<Deployment> = match self.connection.version {
            ApiVersion::Rentals => {
                // The one word for a filter that is known for certain.
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
        let is_met = |deployment: &Deployment| filters.is_met_by(deployment);
        Ok(all.into_iter().filter(is_met).collect())
    }

    /// Stops a deployment, for good.
    ///
    /// # Errors
    /// `is_not_found()` where there was none.
    pub fn stop(&self, id: &str) -> Result<()> {
        delete(
            &self.connection.transport,
            &self.path(id),
            self.connection.limits.request,
        )
    }

    /// Restarts the containers of a deployment of the newer service, one after the
    /// other. It is sent once.
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
        let made: Service = self.connection.create(&path, &json!({}))?;
        Ok(made.into())
    }

    /// What happened to a deployment of the newer service, such as an image that
    /// cannot be pulled: at most `limit` events.
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
        let answer: Events = self
            .connection
            .get(&path, &[("limit", &limit.to_string())])?;
        Ok(answer.events)
    }

    /// The machine of a rental that was just made. It is asked for once: the rental
    /// is made, whatever comes of this.
    fn executor_of(&self, id: &str) -> Option<String> {
        let rental: Result<Rental> = self.connection.get_once(&self.path(id));
        match rental {
            Ok(rental) => rental.executor_id(),
            Err(error) => {
                log::info!("the machine of the rental {id} is not known: {error}");
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

    fn rentals(&self, query: &[(&str, &str)]) -> Result<Vec<RentalListed>> {
        let list: Rentals = self.connection.get("/rentals", query)?;
        Ok(list.rentals)
    }
}
