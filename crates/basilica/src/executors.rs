//! Available machines.

use super::api_version::ApiVersion;
use super::connection::Connection;
use super::models::{CpuOffering, Executor};
use super::wire::{Available, CpuOfferings};
use satellite_core::Result;

/// Machines of a [`BasilicaClient`](crate::BasilicaClient).
///
/// ```no_run
/// use satellite_basilica::{BasilicaClient, ExecutorFilters};
///
/// let basilica = BasilicaClient::from_env()?;
/// let h100s = ExecutorFilters::default().gpu_type("H100").min_gpu_count(2);
/// for executor in basilica.executors().find(&h100s)? {
///     println!("{} {:?}", executor.id, executor.gpu_specs);
/// }
/// # Ok::<(), satellite_basilica::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ExecutorManager<'a> {
    pub(super) connection: &'a Connection,
}

/// Filters for machines. Without any, all available machines match.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ExecutorFilters {
    query: Vec<(&'static str, String)>,
}

impl ExecutorFilters {
    /// GPUs with this memory or more, in GB.
    pub fn min_gpu_memory_gb(self, gigabytes: u32) -> Self {
        self.with("min_gpu_memory", gigabytes.to_string())
    }

    /// GPUs of this type.
    pub fn gpu_type(self, name: impl Into<String>) -> Self {
        self.with("gpu_type", name.into())
    }

    /// At least this many GPUs.
    pub fn min_gpu_count(self, count: u32) -> Self {
        self.with("min_gpu_count", count.to_string())
    }

    /// In this city.
    pub fn city(self, name: impl Into<String>) -> Self {
        self.with("location_city", name.into())
    }

    /// In this region.
    pub fn region(self, name: impl Into<String>) -> Self {
        self.with("location_region", name.into())
    }

    /// In this country.
    pub fn country(self, name: impl Into<String>) -> Self {
        self.with("location_country", name.into())
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        self.query.retain(|(known, _)| *known != name);
        self.query.push((name, value));
        self
    }
}

impl ExecutorManager<'_> {
    /// All available machines.
    ///
    /// # Errors
    /// Transport errors; a rejected token.
    pub fn list_available(&self) -> Result<Vec<Executor>> {
        self.find(&ExecutorFilters::default())
    }

    /// The machines without GPUs that the newer service rents out.
    ///
    /// ```no_run
    /// # use satellite_basilica::BasilicaClient;
    /// # let basilica = BasilicaClient::from_env()?;
    /// for offering in basilica.executors().cpu_offerings()? {
    ///     println!("{}: {} cores, ${}/h", offering.id, offering.vcpu_count, offering.hourly_rate);
    /// }
    /// # Ok::<(), satellite_basilica::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_unsupported()` with [`ApiVersion::Rentals`].
    pub fn cpu_offerings(&self) -> Result<Vec<CpuOffering>> {
        self.connection
            .needs(ApiVersion::Deployments, "CPU offerings")?;
        let query = [("available_only", "true")];
        let list: CpuOfferings = self.connection.get("/v2/secure-cloud/cpu-prices", &query)?;
        Ok(list.nodes)
    }

    /// The available machines that match the filters.
    ///
    /// # Errors
    /// Transport errors; a rejected token.
    pub fn find(&self, filters: &ExecutorFilters) -> Result<Vec<Executor>> {
        let path = match self.connection.version {
            ApiVersion::Rentals => "/executors",
            ApiVersion::Deployments => "/nodes",
        };
        let mut query = vec![("available", "true")];
        query.extend(
            filters
                .query
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        let list: Available = self.connection.get(path, &query)?;
        let machines = list.available_executors.into_iter();
        Ok(machines.map(Into::into).collect())
    }
}
