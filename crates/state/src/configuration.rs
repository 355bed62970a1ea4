//! The settings of a processor, as tools see them.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::setting_values::Backend;
use super::settings::{Environment, FileSource, Overrides, Settings};
use super::store::{Store, Stored};
use satellite_core::Result;

/// The settings that a processor would use: for tools that check a configuration before
/// it is deployed. [`App`](crate::App) reads them itself, with the same code.
///
/// ```
/// use satellite_state::Configuration;
///
/// let variables = [("DORY_PROCESSOR_ID", "orders"), ("DORY_HEALTH_PORT", "9090")];
/// let configuration = Configuration::from_variables(variables)?;
/// assert_eq!(configuration.endpoints().port(), 9090);
/// assert_eq!(configuration.backend(), "local");
/// # Ok::<(), satellite_state::Error>(())
/// ```
pub struct Configuration {
    settings: Settings,
    store: Box<dyn Store>,
}

impl Configuration {
    /// From the environment of this process, and from the file that it names or the first
    /// default one that exists.
    ///
    /// # Errors
    /// `is_settings()`: names all invalid settings.
    pub fn from_env() -> Result<Self> {
        Self::of(&Environment::default())
    }

    /// From these variables only: those of a container. `KUBERNETES_SERVICE_HOST` selects the
    /// defaults of a pod. Of the files, only one named by `DORY_CONFIG_FILE` is read.
    ///
    /// # Errors
    /// `is_settings()`: names all invalid settings.
    pub fn from_variables<N, V>(variables: impl IntoIterator<Item = (N, V)>) -> Result<Self>
    where
        N: Into<String>,
        V: Into<String>,
    {
        Self::with(variables, FileSource::Named)
    }

    /// From these variables, and from the `text` of a file that a message calls `name`: those
    /// of a container and of the ConfigMap that it mounts.
    ///
    /// # Errors
    /// `is_settings()`: names all invalid settings.
    ///
    /// ```
    /// use satellite_state::Configuration;
    ///
    /// let variables = [("DORY_PROCESSOR_ID", "orders")];
    /// let text = "health_port: 9090";
    /// let configuration = Configuration::from_variables_and_file(variables, "dory.yaml", text)?;
    /// assert_eq!(configuration.endpoints().port(), 9090);
    /// # Ok::<(), satellite_state::Error>(())
    /// ```
    pub fn from_variables_and_file<N, V>(
        variables: impl IntoIterator<Item = (N, V)>,
        name: &str,
        text: &str,
    ) -> Result<Self>
    where
        N: Into<String>,
        V: Into<String>,
    {
        Self::with(variables, FileSource::Text(name.into(), text.to_owned()))
    }

    fn with<N, V>(variables: impl IntoIterator<Item = (N, V)>, file: FileSource) -> Result<Self>
    where
        N: Into<String>,
        V: Into<String>,
    {
        let variables: Vec<(String, String)> = (variables.into_iter())
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let names = variables.iter().map(|(name, _)| name.clone()).collect();
        Self::of(&Environment {
            // As in a container: the last one of a name counts.
            env: Arc::new(move |name| {
                let mut found = variables.iter().rev().filter(|(known, _)| known == name);
                found.next().map(|(_, value)| value.clone())
            }),
            names,
            file,
            ..Environment::default()
        })
    }

    fn of(environment: &Environment) -> Result<Self> {
        let (settings, store) = Overrides::default().finish(environment)?;
        Ok(Configuration { settings, store })
    }

    /// Reads what is stored under this id, the newest first, without taking the state: see
    /// [`Store::history`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn history(&mut self) -> Result<Vec<Stored>> {
        let settings = &self.settings;
        (self.store).history(&settings.pod_namespace, &settings.processor_id)
    }

    /// The id under which the state is stored.
    pub fn processor_id(&self) -> &str {
        &self.settings.processor_id
    }

    /// The namespace of the pod.
    pub fn namespace(&self) -> &str {
        &self.settings.pod_namespace
    }

    /// Whether the process runs in a cluster.
    pub fn is_in_cluster(&self) -> bool {
        self.settings.in_cluster
    }

    /// `configmap`, `pvc`, `local` or `s3`.
    pub fn backend(&self) -> &'static str {
        match self.settings.backend {
            Backend::ConfigMap => "configmap",
            Backend::Volume => "pvc",
            Backend::Local => "local",
            Backend::S3 => "s3",
        }
    }

    /// The folder of the backends `pvc` and `local`.
    pub fn folder(&self) -> &Path {
        &self.settings.folder
    }

    /// The address of the endpoints.
    pub fn endpoints(&self) -> SocketAddr {
        self.settings.health
    }

    /// The path of the liveness probe.
    pub fn health_path(&self) -> &str {
        &self.settings.paths.health
    }

    /// The path of the readiness probe.
    pub fn ready_path(&self) -> &str {
        &self.settings.paths.ready
    }

    /// The time from the stop request to the end of the last save.
    pub fn shutdown_timeout(&self) -> Duration {
        self.settings.shutdown_timeout
    }

    /// What would be logged at the start, such as settings without an effect.
    pub fn warnings(&self) -> &[String] {
        &self.settings.warnings
    }

    /// Those of the [`warnings`](Self::warnings) that are about names that are no
    /// settings, with the setting that was probably meant.
    pub fn unknown(&self) -> &[String] {
        &self.settings.unknown
    }

    /// Each setting with the value in effect. A secret is `set` or `not set`.
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let s = &self.settings;
        let seconds = |duration: Duration| duration.as_secs_f64().to_string();
        let or_never = |count: Option<u32>| count.map_or("never".to_owned(), |c| c.to_string());
        let is_set = |set: bool| if set { "set" } else { "not set" }.to_owned();
        vec![
            ("processor_id", s.processor_id.clone()),
            ("pod_name", s.pod_name.clone()),
            ("pod_namespace", s.pod_namespace.clone()),
            ("state_backend", self.backend().to_owned()),
            ("state_dir", s.folder.display().to_string()),
            ("health_host", s.health.ip().to_string()),
            ("health_port", s.health.port().to_string()),
            ("health_path", s.paths.health.clone()),
            ("ready_path", s.paths.ready.clone()),
            ("metrics_path", s.paths.metrics.clone()),
            ("startup_timeout_sec", seconds(s.startup_timeout)),
            ("shutdown_timeout_sec", seconds(s.shutdown_timeout)),
            ("checkpoint_sec", seconds(s.checkpoint_every)),
            ("stall_limit_sec", seconds(s.stall_limit)),
            (
                "takeover_ready_sec",
                s.takeover_ready.map_or("off".to_owned(), seconds),
            ),
            ("max_state_size", s.max_state_bytes.to_string()),
            ("max_restart_attempts", s.max_restart_attempts.to_string()),
            ("golden_image_threshold", or_never(s.golden_image_threshold)),
            ("log_level", s.log_level.to_string()),
            (
                "log_format",
                if s.log_json { "json" } else { "text" }.to_owned(),
            ),
            ("state_token", is_set(s.state_token.is_some())),
        ]
    }
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let variables = [("DORY_PROCESSOR_ID", "a"), ("DORY_STATE_TOKEN", "hunter2")];
        let configuration = Configuration::from_variables(variables).unwrap();
        let shown = format!("{configuration:?}");
        assert!(shown.contains("\"state_token\": \"set\""), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_misspelt_variable_is_unknown_and_one_of_the_sidecar_is_not() {
        let variables = [
            ("DORY_PROCESSOR_ID", "a"),
            ("DORY_HELTH_PORT", "1"),
            ("DORY_APP_READY_PATH", "/up"),
        ];
        let configuration = Configuration::from_variables(variables).unwrap();
        let unknown = configuration.unknown();
        assert_eq!(unknown.len(), 1, "{unknown:?}");
        assert!(
            unknown[0].contains("did you mean DORY_HEALTH_PORT?"),
            "{unknown:?}"
        );
    }
}
