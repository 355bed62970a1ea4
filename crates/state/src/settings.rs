//! `DORY_*`, `dory.yaml` and a preset → settings: parsed once, all that is wrong
//! named at once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::config_file::ConfigFile;
use super::identity;
use super::original::Places;
use super::preset::preset;
use super::store::{ConfigMapStore, FileStore, Store};
use satellite_core::Result;
use satellite_core::http::Secret;
use satellite_core::{Variables, names_in_env};

/// Where the state is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    /// A ConfigMap of the cluster.
    ConfigMap,
    /// A volume mounted into the pod.
    Volume,
    /// A folder of this host.
    Local,
    /// A bucket.
    S3,
}

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
    /// Whoever shows it may read and set the state.
    pub(super) state_token: Option<Secret>,
    /// Bytes of a state that may be given by `POST /state`.
    pub(super) max_state_bytes: u64,
    pub(super) startup_timeout: Duration,
    pub(super) shutdown_timeout: Duration,
    pub(super) checkpoint_every: Duration,
    pub(super) stall_limit: Duration,
    /// How long to hold ready before the state is asked for; `None` asks at once.
    pub(super) takeover_ready: Option<Duration>,
    /// Grows from release to release.
    pub(super) revision: Option<u64>,
    pub(super) restart_count: Option<u32>,
    /// Unclean starts in a row before the hook for rapid restarts is called.
    pub(super) max_restart_attempts: u32,
    /// Unclean starts in a row before the state is set aside without asking;
    /// `None`: never.
    pub(super) golden_image_threshold: Option<u32>,
    /// Where dory-sdk would have kept the state of this processor.
    pub(super) original: Places,
    pub(super) is_migrating: bool,
    pub(super) migrated_from: Option<String>,
    pub(super) log_level: log::LevelFilter,
    pub(super) log_json: bool,
    /// What to log once the logger is set.
    pub(super) warnings: Vec<String>,
}

/// The paths of the probes and of the metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paths {
    pub(super) health: String,
    pub(super) ready: String,
    pub(super) metrics: String,
}

/// What the app was told, which goes before environment and file.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) processor_id: Option<String>,
    pub(super) health: Option<SocketAddr>,
    pub(super) state_token: Option<Secret>,
    pub(super) checkpoint_every: Option<Duration>,
    pub(super) stall_limit: Option<Duration>,
    pub(super) shutdown_timeout: Option<Duration>,
    /// A store was given: which one the environment names does not matter.
    pub(super) has_store: bool,
}

/// What is known beside the variables.
pub(super) struct Surroundings {
    pub(super) env: fn(&str) -> Option<String>,
    /// Where a pod finds its token, the cluster's authority and its namespace.
    pub(super) service_account: PathBuf,
}

impl Default for Surroundings {
    fn default() -> Self {
        Surroundings {
            env: |name| std::env::var_os(name).map(|v| v.to_string_lossy().into_owned()),
            service_account: "/var/run/secrets/kubernetes.io/serviceaccount".into(),
        }
    }
}

impl Draft {
    /// The settings, and the store that they name.
    pub(super) fn finish(self, around: &Surroundings) -> Result<(Settings, Box<dyn Store>)> {
        let env = around.env;
        let mut unfound = None;
        let file = match ConfigFile::find(env("DORY_CONFIG_FILE").filter(|p| !p.trim().is_empty()))
        {
            Ok(file) => file,
            Err(problem) => {
                unfound = Some(problem);
                ConfigFile::default()
            }
        };
        let told_by_file = file.clone();
        let told = move |name: &str| {
            env(name)
                .filter(|value| !value.trim().is_empty())
                .or_else(|| told_by_file.value(name.strip_prefix("DORY_")?))
        };
        let preset_name = told("DORY_PRESET");
        let preset = preset_name.as_deref().map(str::trim).map(preset);
        let of_preset = preset.flatten().unwrap_or_default();
        let mut read = Variables::from_lookup(move |name| {
            told(name).or_else(|| {
                let (_, value) = of_preset.iter().find(|(key, _)| *key == name)?;
                Some((*value).to_owned())
            })
        })
        .listed(names_in_env());
        // Which of these are asked for depends on the others.
        ConfigFile::variables().for_each(|name| read.knows(&name));
        if let Some(problem) = unfound {
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
        let told_pod_name = read.text("DORY_POD_NAME").or_else(|| read.text("POD_NAME"));
        let pod_name = told_pod_name
            .clone()
            .or_else(|| read.text("HOSTNAME"))
            .or_else(identity::host_name)
            .unwrap_or_else(|| "localhost".to_owned());
        let pod_namespace = read
            .text("DORY_POD_NAMESPACE")
            .or_else(|| read.text("POD_NAMESPACE"))
            .or_else(|| namespace_of(&around.service_account))
            .unwrap_or_else(|| "default".to_owned());
        let told_id = self
            .processor_id
            .clone()
            .or_else(|| read.text("DORY_PROCESSOR_ID"))
            .or_else(|| read.text("PROCESSOR_ID"));
        let has_told_id = told_id.is_some();
        let processor_id = match identity::processor_id(told_id, &pod_name, in_cluster) {
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
        let original = Places::of(
            &processor_id,
            has_told_id,
            told_pod_name.as_deref(),
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
                warnings: file.warnings(),
            };
        let store = store(&mut read, &settings);
        settings.warnings.extend(read.misspelt());
        read.finish()?;
        Ok((settings, store))
    }
}

/// The store, or another one with what is wrong noted.
fn store(read: &mut Variables, settings: &Settings) -> Box<dyn Store> {
    match settings.backend {
        Backend::ConfigMap => {
            let patience = read.seconds("DORY_LEASE_SEC", Duration::from_secs(15));
            Box::new(ConfigMapStore::new().patience(patience))
        }
        #[cfg(feature = "s3")]
        Backend::S3 => match super::store::S3Store::from_variables(read) {
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

fn backend(read: &mut Variables, in_cluster: bool) -> Backend {
    let default = match in_cluster {
        true => Backend::ConfigMap,
        false => Backend::Local,
    };
    let expected = "configmap, pvc, s3 or local";
    read.value("DORY_STATE_BACKEND", default, expected, |text| match text {
        "configmap" => Some(Backend::ConfigMap),
        "pvc" => Some(Backend::Volume),
        "local" => Some(Backend::Local),
        "s3" => Some(Backend::S3),
        _ => None,
    })
}

fn folder(read: &Variables, backend: Backend) -> PathBuf {
    let text = match backend {
        Backend::Volume => read.text("DORY_STATE_PVC_MOUNT"),
        _ => read
            .text("DORY_STATE_DIR")
            .or_else(|| read.systemd_state_dir()),
    };
    let default = match backend {
        Backend::Volume => "/data",
        _ => "dory-state",
    };
    text.unwrap_or_else(|| default.to_owned()).into()
}

/// In a pod every address, since probes come from the node; elsewhere loopback.
fn health(read: &mut Variables, in_cluster: bool) -> SocketAddr {
    let host = match read.text("DORY_HEALTH_HOST") {
        None if in_cluster => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        _ => read.host("DORY_HEALTH_HOST"),
    };
    SocketAddr::new(host, read.port("DORY_HEALTH_PORT", 8080))
}

fn paths(read: &mut Variables) -> Paths {
    let mut path = |name: &str, default: &str| {
        let expected = "a path such as /healthz";
        read.value(name, default.to_owned(), expected, |text| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
            (text.starts_with('/') && text.chars().all(is_plain)).then(|| text.to_owned())
        })
    };
    let paths = Paths {
        health: path("DORY_HEALTH_PATH", "/healthz"),
        ready: path("DORY_READY_PATH", "/ready"),
        metrics: path("DORY_METRICS_PATH", "/metrics"),
    };
    let mut taken = vec!["/", "/state", "/prestop"];
    for (name, path) in [
        ("DORY_HEALTH_PATH", &paths.health),
        ("DORY_READY_PATH", &paths.ready),
        ("DORY_METRICS_PATH", &paths.metrics),
    ] {
        if taken.contains(&path.as_str()) {
            read.problem(name, format_args!("{path} is the path of another endpoint"));
        }
        taken.push(path);
    }
    paths
}

fn restarts(read: &mut Variables, name: &str) -> Option<u32> {
    read.value(name, None, "1 to 10 restarts", |text| {
        let count = text.parse().ok().filter(|count| (1..=10).contains(count));
        count.map(Some)
    })
}

fn timeout(read: &mut Variables, name: &str) -> Duration {
    let default = Duration::from_secs(30);
    read.value(name, default, "1 to 300 seconds", |text| {
        let seconds: f64 = text.parse().ok()?;
        (1.0..=300.0)
            .contains(&seconds)
            .then(|| Duration::from_secs_f64(seconds))
    })
}

fn takeover_ready(read: &mut Variables) -> Option<Duration> {
    let default = Some(Duration::from_secs(5));
    let expected = "0 to 3600 seconds, or off";
    read.value("DORY_TAKEOVER_READY_SEC", default, expected, |text| {
        if text.eq_ignore_ascii_case("off") {
            return Some(None);
        }
        let seconds: f64 = text.parse().ok()?;
        let is_allowed = (0.0..=3600.0).contains(&seconds);
        is_allowed.then(|| Some(Duration::from_secs_f64(seconds)))
    })
}

fn log_level(read: &mut Variables) -> log::LevelFilter {
    use log::LevelFilter::{Debug, Error, Info, Off, Trace, Warn};

    let expected = "DEBUG, INFO, WARNING or ERROR";
    read.value("DORY_LOG_LEVEL", Info, expected, |text| {
        match text.to_ascii_lowercase().as_str() {
            "trace" => Some(Trace),
            "debug" => Some(Debug),
            "info" => Some(Info),
            "warn" | "warning" => Some(Warn),
            "error" | "critical" => Some(Error),
            "off" => Some(Off),
            _ => None,
        }
    })
}

fn namespace_of(service_account: &Path) -> Option<String> {
    let text = std::fs::read_to_string(service_account.join("namespace")).ok()?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(env: fn(&str) -> Option<String>) -> Result<Settings> {
        let around = Surroundings {
            env,
            service_account: "/nowhere".into(),
        };
        Draft::default()
            .finish(&around)
            .map(|(settings, _)| settings)
    }

    #[test]
    fn a_host_of_ones_own_needs_no_settings() {
        let settings = with(|_| None).unwrap();
        assert_eq!(settings.backend, Backend::Local);
        assert_eq!(settings.health.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.startup_timeout, Duration::from_secs(30));
        assert!(!settings.log_json);
    }

    #[test]
    fn a_pod_of_the_specs_manifest_is_understood() {
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
    fn a_setting_goes_before_a_preset_and_a_preset_before_the_defaults() {
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
    fn the_names_of_the_original_are_understood() {
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
    fn every_wrong_value_is_named_at_once() {
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
        let told = error.to_string();
        assert!(told.starts_with("13 settings are wrong:"), "{told}");
    }
}
