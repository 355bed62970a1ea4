//! The settings of the model server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use satellite_sdk::Variables;

use crate::artifact::Limits;
use crate::failure::{Failure, Kind, Result};

/// Validated settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `MODEL_ARTIFACT_URL`: the address of the artifact, or its path.
    pub artifact: Option<String>,
    /// `LUML_MODEL_SHA256`: the expected hash of the downloaded file.
    pub sha256: Option<String>,
    /// `LUML_MODEL_HOST`, `LUML_MODEL_PORT`: where to listen.
    pub listen: SocketAddr,
    /// `LUML_MODEL_WORKERS`: requests that compute at the same time.
    pub workers: usize,
    /// `LUML_MODEL_QUEUE`: requests that may wait for that.
    pub queue: usize,
    /// `LUML_MODEL_QUEUE_WAIT_SEC`: how long they wait at most.
    pub queue_wait: Duration,
    /// `LUML_MODEL_CONNECTIONS`: concurrent connections.
    pub connections: usize,
    /// `LUML_MODEL_BODY_MB`: the largest body of a request, in bytes.
    pub body_bytes: u64,
    /// `LUML_MODEL_BODY_MEMORY_MB`: all bodies in memory together, in bytes.
    pub body_memory: u64,
    /// `LUML_MODEL_PLANS`: optimized plans that each operator keeps.
    pub plans: usize,
    /// `LUML_MODEL_DRAIN_SEC`: how long requests may take to finish after SIGTERM.
    pub drain: Duration,
    /// `LUML_MODEL_DOWNLOAD_MB`: the largest download, in bytes.
    pub download_bytes: u64,
    /// `LUML_MODEL_UNPACKED_MB`, `LUML_MODEL_ENTRIES`, `LUML_MODEL_DOCUMENT_MB`.
    pub limits: Limits,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// Names every invalid value.
    pub fn from_env() -> Result<Settings> {
        Settings::read(Variables::from_env())
    }

    fn read(mut variables: Variables) -> Result<Settings> {
        let v = &mut variables;
        let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let host = match v.text("LUML_MODEL_HOST") {
            // A container is reached from outside.
            None => everywhere,
            Some(_) => v.host("LUML_MODEL_HOST"),
        };
        let port = v.port("LUML_MODEL_PORT", 8080);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let settings = Settings {
            artifact: v.text("MODEL_ARTIFACT_URL"),
            sha256: sha256(v),
            listen: SocketAddr::new(host, port),
            workers: count(v, "LUML_MODEL_WORKERS", processors, 1),
            queue: count(v, "LUML_MODEL_QUEUE", 64, 0),
            queue_wait: v.seconds("LUML_MODEL_QUEUE_WAIT_SEC", Duration::from_secs(10)),
            connections: count(v, "LUML_MODEL_CONNECTIONS", 128, 1),
            body_bytes: megabytes(v, "LUML_MODEL_BODY_MB", 16),
            body_memory: megabytes(v, "LUML_MODEL_BODY_MEMORY_MB", 64),
            plans: count(v, "LUML_MODEL_PLANS", 16, 1),
            drain: v.seconds("LUML_MODEL_DRAIN_SEC", Duration::from_secs(8)),
            download_bytes: megabytes(v, "LUML_MODEL_DOWNLOAD_MB", 4096),
            limits: Limits {
                unpacked_bytes: megabytes(v, "LUML_MODEL_UNPACKED_MB", 8192),
                entries: count(v, "LUML_MODEL_ENTRIES", 10_000, 1),
                document_bytes: megabytes(v, "LUML_MODEL_DOCUMENT_MB", 16),
            },
        };
        // The satellite's own setting, which a message of this program names.
        v.knows("LUML_MODEL_IMAGE");
        for warning in v.misspelt() {
            log::warn!("{warning}");
        }
        let finished = variables.finish();
        finished.map_err(|e| Failure::new(Kind::Settings, e))?;
        Ok(settings)
    }
}

fn sha256(variables: &mut Variables) -> Option<String> {
    let expected = "64 hexadecimal digits";
    variables.value("LUML_MODEL_SHA256", None, expected, |text| {
        let is_hash = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| Some(text.to_owned()))
    })
}

fn count(variables: &mut Variables, name: &str, default: usize, least: usize) -> usize {
    let expected = format!("a whole number from {least} to 65535");
    variables.value(name, default, &expected, |text| {
        let number: u16 = text.parse().ok()?;
        Some(usize::from(number)).filter(|number| *number >= least)
    })
}

/// A setting in MB (1 MB is 1024 * 1024 bytes), as bytes.
fn megabytes(variables: &mut Variables, name: &str, default: u32) -> u64 {
    let expected = "a whole number of MB, at least 1";
    let megabytes = variables.value(name, default, expected, |text| {
        text.parse().ok().filter(|number| *number > 0)
    });
    u64::from(megabytes) << 20
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(set: &[(&'static str, &'static str)]) -> Result<Settings> {
        let set = set.to_vec();
        Settings::read(Variables::from_lookup(move |name| {
            let found = set.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| (*value).to_owned())
        }))
    }

    #[test]
    fn a_container_listens_on_port_8080_of_all_addresses() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.listen.to_string(), "0.0.0.0:8080");
        let local = read(&[("LUML_MODEL_HOST", "localhost"), ("LUML_MODEL_PORT", "0")]);
        assert_eq!(local.unwrap().listen.to_string(), "127.0.0.1:0");
    }

    #[test]
    fn all_invalid_settings_are_named() {
        let failure = read(&[
            ("LUML_MODEL_WORKERS", "0"),
            ("LUML_MODEL_BODY_MB", "many"),
            ("LUML_MODEL_SHA256", "abc"),
        ]);
        let failure = failure.unwrap_err();
        assert_eq!(failure.code(), 78);
        for name in ["WORKERS", "BODY_MB", "SHA256"] {
            assert!(failure.to_string().contains(name), "{failure}");
        }
    }
}
