//! The environments that executions run in.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::connection::Connection;
use super::models::{Environment, Resources};
use satellite_core::Result;
use satellite_core::http::escaped;

/// Environments of a [`FaasClient`](crate::FaasClient).
///
/// ```no_run
/// use satellite_faas::{EnvironmentSpec, FaasClient};
///
/// let faas = FaasClient::from_env()?;
/// let spec = EnvironmentSpec::new("rust:latest").cache_strategy("aggressive");
/// let environment = faas.environments().create("my-env", &spec)?;
/// # let _ = environment;
/// # Ok::<(), satellite_faas::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct EnvironmentManager<'a> {
    pub(super) connection: &'a Connection,
}

/// The definition of an environment; for an update, the fields to change.
///
/// ```
/// use satellite_faas::EnvironmentSpec;
///
/// let spec = EnvironmentSpec::new("python:3.12").memory_mb(4096).feature("gpu", true);
/// let change = EnvironmentSpec::default().cpu_cores(2.0);
/// # let _ = (spec, change);
/// ```
#[derive(Debug, Clone, Default, Serialize)]
#[must_use]
pub struct EnvironmentSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    base_image: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Resources>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_strategy: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    features: BTreeMap<String, bool>,
}

impl EnvironmentSpec {
    /// An environment with this base image and nothing else.
    pub fn new(base_image: impl Into<String>) -> Self {
        Self::default().base_image(base_image)
    }

    /// The base image.
    pub fn base_image(mut self, image: impl Into<String>) -> Self {
        self.base_image = Some(image.into());
        self
    }

    /// Adds a layer, in the server's own format.
    pub fn layer(mut self, layer: impl Into<Value>) -> Self {
        self.layers.push(layer.into());
        self
    }

    /// CPU cores of its executions.
    pub fn cpu_cores(mut self, cores: f64) -> Self {
        self.resources.get_or_insert_default().cpu_cores = Some(cores);
        self
    }

    /// Memory of its executions, in MB.
    pub fn memory_mb(mut self, megabytes: u64) -> Self {
        self.resources.get_or_insert_default().memory_mb = Some(megabytes);
        self
    }

    /// The cache strategy, as the server names it: `aggressive`.
    pub fn cache_strategy(mut self, strategy: impl Into<String>) -> Self {
        self.cache_strategy = Some(strategy.into());
        self
    }

    /// Enables or disables a feature.
    pub fn feature(mut self, name: impl Into<String>, enabled: bool) -> Self {
        self.features.insert(name.into(), enabled);
        self
    }

    /// Fills in missing fields of the groups that a server replaces as a whole.
    fn complete(&mut self, known: Environment) {
        if let (Some(resources), Some(known)) = (&mut self.resources, known.resources) {
            resources.cpu_cores = resources.cpu_cores.or(known.cpu_cores);
            resources.memory_mb = resources.memory_mb.or(known.memory_mb);
        }
        if !self.features.is_empty() {
            for (name, enabled) in known.features {
                self.features.entry(name).or_insert(enabled);
            }
        }
    }
}

/// All methods return `is_unsupported()` if the server cannot manage environments, and
/// `is_not_found()` if no environment has the name.
impl EnvironmentManager<'_> {
    /// All environments.
    ///
    /// # Errors
    /// `is_unsupported()`.
    pub fn list(&self) -> Result<Vec<Environment>> {
        self.connection.get(ALL)
    }

    /// Creates an environment. The request is sent once; after a lost response,
    /// [`get`](Self::get) shows whether it was created.
    ///
    /// # Errors
    /// `is_unsupported()`; `is_conflict()` if one of that name exists.
    pub fn create(&self, name: &str, spec: &EnvironmentSpec) -> Result<Environment> {
        let mut body = serde_json::to_value(spec)?;
        body["name"] = name.into();
        self.connection.post(ALL, &body)?.json()
    }

    /// An environment.
    ///
    /// # Errors
    /// `is_unsupported()`, `is_not_found()`.
    pub fn get(&self, name: &str) -> Result<Environment> {
        self.connection.get(&path(name))
    }

    /// Changes only what the spec sets. Layers are replaced as a whole. A server also
    /// replaces `resources` and `features` as a whole, so the client first reads the
    /// fields that the spec leaves out and sends them again.
    ///
    /// # Errors
    /// `is_unsupported()`, `is_not_found()`.
    pub fn update(&self, name: &str, change: &EnvironmentSpec) -> Result<Environment> {
        let mut change = change.clone();
        if change.resources.is_some() || !change.features.is_empty() {
            change.complete(self.get(name)?);
        }
        self.connection.put(&path(name), &change)
    }

    /// Deletes an environment.
    ///
    /// # Errors
    /// `is_unsupported()`, `is_not_found()`.
    pub fn delete(&self, name: &str) -> Result<()> {
        self.connection.delete(&path(name))
    }
}

const ALL: &str = "/api/v1/environments";

fn path(name: &str) -> String {
    format!("{ALL}/{}", escaped(name))
}
