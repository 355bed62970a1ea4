//! Parses single settings: the backend, addresses, paths, limits.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use satellite_core::Variables;

/// Where the state is stored.
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

/// The paths of the probes and of the metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paths {
    pub(super) health: String,
    pub(super) ready: String,
    pub(super) metrics: String,
}

pub(super) fn backend(read: &mut Variables, in_cluster: bool) -> Backend {
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

pub(super) fn folder(read: &Variables, backend: Backend) -> PathBuf {
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

/// All addresses in a pod, since probes come from the node; otherwise loopback.
pub(super) fn health(read: &mut Variables, in_cluster: bool) -> SocketAddr {
    let host = match read.text("DORY_HEALTH_HOST") {
        None if in_cluster => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        _ => read.host("DORY_HEALTH_HOST"),
    };
    SocketAddr::new(host, read.port("DORY_HEALTH_PORT", 8080))
}

pub(super) fn paths(read: &mut Variables) -> Paths {
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

pub(super) fn restarts(read: &mut Variables, name: &str) -> Option<u32> {
    read.value(name, None, "1 to 10 restarts", |text| {
        let count = text.parse().ok().filter(|count| (1..=10).contains(count));
        count.map(Some)
    })
}

pub(super) fn timeout(read: &mut Variables, name: &str) -> Duration {
    let default = Duration::from_secs(30);
    read.value(name, default, "1 to 300 seconds", |text| {
        let seconds: f64 = text.parse().ok()?;
        (1.0..=300.0)
            .contains(&seconds)
            .then(|| Duration::from_secs_f64(seconds))
    })
}

pub(super) fn takeover_ready(read: &mut Variables) -> Option<Duration> {
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

pub(super) fn log_level(read: &mut Variables) -> log::LevelFilter {
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

pub(super) fn namespace_of(service_account: &Path) -> Option<String> {
    let text = std::fs::read_to_string(service_account.join("namespace")).ok()?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}
