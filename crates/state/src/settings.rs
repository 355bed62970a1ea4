//! Parses the settings from `DORY_*`, `dory.yaml` and a preset, once, and reports all
//! errors together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::config_file::ConfigFile;
use super::identity;
use super::original_locations::OriginalLocations;
use super::preset::preset;
use super::setting_values::{
    Backend, Paths, backend, folder, health, log_level, namespace_of, paths, restarts,
    takeover_ready, timeout,
};
use super::store::{ConfigMapStore, FileStore, Store};
use satellite_core::Result;
use satellite_core::http::Secret;
use satellite_core::{Variables, names_in_env};

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) processor_id: String,
    pub(super) pod_name: String,
    pub(super) pod_namespace: String,
    pub(super) in_cluster: bool,
    pub(super) backend: Backend,
    pub(super) folder: PathBuf,
    pub(super) health: SocketAddr,
    pub(super) paths: Paths,
    /// The token that allows clients to read and replace the state.
    pub(super) state_token: Option<Secret>,
    /// The maximum size in bytes of a state in `POST /state`.
    pub(super) max_state_bytes: u64,
    pub(super) startup_timeout: Duration,
    pub(super) shutdown_timeout: Duration,
    pub(super) checkpoint_every: Duration,
    pub(super) stall_limit: Duration,
    /// How long to stay ready before asking for the state; `None` asks immediately.
    pub(super) takeover_ready: Option<Duration>,
    /// Increases with each release.
    pub(super) revision: Option<u64>,
    pub(super) restart_count: Option<u32>,
    /// Consecutive unclean starts before the hook for rapid restarts is called.
    pub(super) max_restart_attempts: u32,
    /// Consecutive unclean starts before the state is moved aside without calling the
    /// hook; `None`: never.
    pub(super) golden_image_threshold: Option<u32>,
    /// Where dory-sdk would have stored the state of this processor.
    pub(super) original: OriginalLocations,
    pub(super) is_migrating: bool,
    pub(super) migrated_from: Option<String>,
    pub(super) log_level: log::LevelFilter,
    pub(super) log_json: bool,
    /// Warnings to log once the logger is installed.
    pub(super) warnings: Vec<String>,
    /// The warnings about names that are no settings.
    pub(super) unknown: Vec<String>,
}

/// Settings made on the app, which take precedence over the environment and the file.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    pub(super) processor_id: Option<String>,
    pub(super) health: Option<SocketAddr>,
    pub(super) state_token: Option<Secret>,
    pub(super) checkpoint_every: Option<Duration>,
    pub(super) stall_limit: Option<Duration>,
    pub(super) shutdown_timeout: Option<Duration>,
    /// The app has its own store: the configured backend is ignored.
    pub(super) has_store: bool,
}

/// The environment variables, and files outside of the settings.
pub(super) struct Environment {
    pub(super) env: Lookup,
    /// The names of all variables that are set.
    pub(super) names: Vec<String>,
    pub(super) file: FileSource,
    /// The folder with the pod's token, the CA of the cluster and the namespace.
    pub(super) service_account: PathBuf,
}

/// Which file of settings is used.
pub(super) enum FileSource {
    /// The one that `DORY_CONFIG_FILE` names, or the first default one that exists.
    NamedOrDefault,
    /// The one that `DORY_CONFIG_FILE` names.
    Named,
    /// This text of the file with this name.
    Text(PathBuf, String),
}

/// Looks a variable up.
pub(super) type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

impl Default for Environment {
    fn default() -> Self {
        Environment {
            env: Arc::new(|name| std::env::var_os(name).map(|v| v.to_string_lossy().into_owned())),
            names: names_in_env().collect(),
            file: FileSource::NamedOrDefault,
            service_account: "/var/run/secrets/kubernetes.io/serviceaccount".into(),
        }
    }
}

impl Overrides {
    /// The settings, and the configured store.
    pub(super) fn finish(self, environment: &Environment) -> Result<(Settings, Box<dyn Store>)> {
        let env = Arc::clone(&environment.env);
        let mut file_problem = None;
        let named = env("DORY_CONFIG_FILE").filter(|p| !p.trim().is_empty());
        let file = match &environment.file {
            FileSource::Text(name, text) => ConfigFile::parse(name.clone(), text),
            FileSource::Named if named.is_none() => Ok(ConfigFile::default()),
            FileSource::Named | FileSource::NamedOrDefault => ConfigFile::find(named),
        };
        let file = match file {
            Ok(file) => file,
            Err(problem) => {
                file_problem = Some(problem);
                ConfigFile::default()
            }
        };
        let file_values = file.clone();
        let lookup = move |name: &str| {
            env(name)
                .filter(|value| !value.trim().is_empty())
                .or_else(|| file_values.value(name.strip_prefix("DORY_")?))
        };
        let preset_name = lookup("DORY_PRESET");
        let preset = preset_name.as_deref().map(str::trim).map(preset);
        let of_preset = preset.flatten().unwrap_or_default();
        let mut read = Variables::from_lookup(move |name| {
            lookup(name).or_else(|| {
                let (_, value) = of_preset.iter().find(|(key, _)| *key == name)?;
                Some((*value).to_owned())
            })
        })
        .listed(environment.names.iter().cloned());
        // Which of these are read depends on the others.
        ConfigFile::variables().for_each(|name| read.knows(&name));
        if let Some(problem) = file_problem {
            read.problem("DORY_CONFIG_FILE", problem);
        }
        if let (Some(None), Some(name)) = (preset, &preset_name) {
            read.problem(
                "DORY_PRESET",
                format_args!(
                    "expected development, production or high-availability, found {name:?}"
                ),
            );
        }

        let in_cluster = read.text("KUBERNETES_SERVICE_HOST").is_some();
        let explicit_pod_name = read.text("DORY_POD_NAME").or_else(|| read.text("POD_NAME"));
        let pod_name = explicit_pod_name
            .clone()
            .or_else(|| read.text("HOSTNAME"))
            .or_else(identity::host_name)
            .unwrap_or_else(|| "localhost".to_owned());
        let pod_namespace = read
            .text("DORY_POD_NAMESPACE")
            .or_else(|| read.text("POD_NAMESPACE"))
            .or_else(|| namespace_of(&environment.service_account))
            .unwrap_or_else(|| "default".to_owned());
        let explicit_id = self
            .processor_id
            .clone()
            .or_else(|| read.text("DORY_PROCESSOR_ID"))
            .or_else(|| read.text("PROCESSOR_ID"));
        let has_explicit_id = explicit_id.is_some();
        let processor_id = match identity::processor_id(explicit_id, &pod_name, in_cluster) {
            Ok(id) => id,
            Err(expected) => {
                read.problem("DORY_PROCESSOR_ID", expected);
                String::new()
            }
        };
        let backend = match self.has_store {
            true => Backend::Local,
            false => backend(&mut read, in_cluster),
        };
        let original = OriginalLocations::of(
            &processor_id,
            has_explicit_id,
            explicit_pod_name.as_deref(),
            &pod_namespace,
            read.text("POD_NAMESPACE"),
        );
        let mut settings =
            Settings {
                original,
                processor_id,
                pod_name,
                pod_namespace,
                in_cluster,
                backend,
                folder: folder(&read, backend),
                health: self.health.unwrap_or_else(|| health(&mut read, in_cluster)),
                paths: paths(&mut read),
                state_token: (self.state_token.clone())
                    .or_else(|| read.text("DORY_STATE_TOKEN").map(Secret::from)),
                max_state_bytes: read.value(
                    "DORY_MAX_STATE_SIZE",
                    10 * 1024 * 1024,
                    "a number of bytes",
                    |text| text.parse().ok(),
                ),
                startup_timeout: timeout(&mut read, "DORY_STARTUP_TIMEOUT_SEC"),
                shutdown_timeout: self
                    .shutdown_timeout
                    .unwrap_or_else(|| timeout(&mut read, "DORY_SHUTDOWN_TIMEOUT_SEC")),
                checkpoint_every: self
                    .checkpoint_every
                    .unwrap_or_else(|| read.seconds("DORY_CHECKPOINT_SEC", Duration::from_secs(5))),
                stall_limit: self.stall_limit.unwrap_or_else(|| {
                    read.seconds("DORY_STALL_LIMIT_SEC", Duration::from_secs(3600))
                }),
                takeover_ready: takeover_ready(&mut read),
                revision: read.value("DORY_REVISION", None, "a number", |text| {
                    text.parse().ok().map(Some)
                }),
                restart_count: read.value("RESTART_COUNT", None, "a number", |text| {
                    text.parse().ok().map(Some)
                }),
                max_restart_attempts: restarts(&mut read, "DORY_MAX_RESTART_ATTEMPTS").unwrap_or(3),
                golden_image_threshold: restarts(&mut read, "DORY_GOLDEN_IMAGE_THRESHOLD"),
                is_migrating: read.flag("DORY_IS_MIGRATING", false),
                migrated_from: read.text("DORY_MIGRATED_FROM"),
                log_level: log_level(&mut read),
                log_json: read.value("DORY_LOG_FORMAT", in_cluster, "json or text", |text| {
                    match text.to_ascii_lowercase().as_str() {
                        "json" => Some(true),
                        "text" => Some(false),
                        _ => None,
                    }
                }),
                warnings: file.unused().into_iter().collect(),
                unknown: file.unknown(),
            };
        let store = store(&mut read, &settings);
        settings.unknown.extend(read.misspelt());
        settings.warnings.extend(settings.unknown.iter().cloned());
        read.finish()?;
        Ok((settings, store))
    }
}

/// The configured store; on an error, records the problem and returns another store.
fn store(read: &mut Variables, settings: &Settings) -> Box<dyn Store> {
    match settings.backend {
        Backend::ConfigMap => Box::new(ConfigMapStore::from_env(read)),
        #[cfg(feature = "s3")]
        Backend::S3 => match super::store::S3Store::from_env(read) {
            Some(store) => Box::new(store),
            None => Box::new(FileStore::new(&settings.folder)),
        },
        #[cfg(not(feature = "s3"))]
        Backend::S3 => {
            read.problem(
                "DORY_STATE_BACKEND",
                "expected another one than s3: this program was built without the feature s3",
            );
            Box::new(FileStore::new(&settings.folder))
        }
        Backend::Volume | Backend::Local => Box::new(FileStore::new(&settings.folder)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(env: fn(&str) -> Option<String>) -> Result<Settings> {
        let environment = Environment {
            env: Arc::new(env),
            service_account: "/nowhere".into(),
            ..Environment::default()
        };
        Overrides::default()
            .finish(&environment)
            .map(|(settings, _)| settings)
    }

    #[test]
    fn no_settings_are_needed_outside_a_cluster() {
        let settings = with(|_| None).unwrap();
        assert_eq!(settings.backend, Backend::Local);
        assert_eq!(settings.health.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.startup_timeout, Duration::from_secs(30));
        assert!(!settings.log_json);
    }

    #[test]
    fn a_pod_in_a_cluster_is_detected() {
        let settings = with(|name| match name {
            "KUBERNETES_SERVICE_HOST" => Some("10.0.0.1".into()),
            "DORY_POD_NAME" => Some("my-app-7d9f8b6c5d-x2x4z".into()),
            "DORY_POD_NAMESPACE" => Some("shop".into()),
            _ => None,
        })
        .unwrap();
        assert_eq!(settings.backend, Backend::ConfigMap);
        assert_eq!(settings.processor_id, "my-app");
        assert_eq!(settings.pod_namespace, "shop");
        assert_eq!(settings.health.to_string(), "0.0.0.0:8080");
    }

    #[test]
    fn settings_override_a_preset_and_a_preset_overrides_the_defaults() {
        let settings = with(|name| match name {
            "DORY_PRESET" => Some("high-availability".into()),
            "DORY_SHUTDOWN_TIMEOUT_SEC" => Some("20".into()),
            _ => None,
        })
        .unwrap();
        assert_eq!(settings.backend, Backend::Volume);
        assert_eq!(settings.startup_timeout, Duration::from_secs(60));
        assert_eq!(settings.shutdown_timeout, Duration::from_secs(20));
        assert_eq!(settings.max_restart_attempts, 5);
        assert_eq!(settings.golden_image_threshold, None);
        assert!(settings.log_json);
    }

    #[test]
    fn the_variable_names_of_dory_sdk_are_supported() {
        let settings = with(|name| match name {
            "PROCESSOR_ID" => Some("orders".into()),
            "POD_NAMESPACE" => Some("shop".into()),
            "DORY_HEALTH_PATH" => Some("/live".into()),
            "DORY_MAX_RESTART_ATTEMPTS" => Some("7".into()),
            "DORY_GOLDEN_IMAGE_THRESHOLD" => Some("9".into()),
            _ => None,
        })
        .unwrap();
        assert_eq!(settings.processor_id, "orders");
        assert_eq!(settings.pod_namespace, "shop");
        assert_eq!(settings.paths.health, "/live");
        assert_eq!(settings.paths.ready, "/ready");
        assert_eq!(settings.max_restart_attempts, 7);
        assert_eq!(settings.golden_image_threshold, Some(9));
    }

    #[test]
    fn all_invalid_values_are_reported_together() {
        let error = with(|name| match name {
            "DORY_STATE_BACKEND" => Some("floppy".into()),
            "DORY_STARTUP_TIMEOUT_SEC" => Some("0".into()),
            "DORY_SHUTDOWN_TIMEOUT_SEC" => Some("301".into()),
            "DORY_LOG_LEVEL" => Some("loud".into()),
            "DORY_LOG_FORMAT" => Some("xml".into()),
            "DORY_PROCESSOR_ID" => Some("../etc".into()),
            "DORY_CONFIG_FILE" => Some("/nowhere/dory.yaml".into()),
            "DORY_PRESET" => Some("staging".into()),
            "DORY_HEALTH_PATH" => Some("live".into()),
            "DORY_READY_PATH" => Some("/state".into()),
            "DORY_METRICS_PATH" => Some("/healthz".into()),
            "DORY_MAX_RESTART_ATTEMPTS" => Some("0".into()),
            "DORY_GOLDEN_IMAGE_THRESHOLD" => Some("11".into()),
            _ => None,
        })
        .unwrap_err();
        assert!(error.is_settings());
        let message = error.to_string();
        assert!(message.starts_with("13 settings are wrong:"), "{message}");
    }
}
