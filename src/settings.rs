//! Reads [`Settings`] from the `LUML_*` variables: once, reporting all errors together.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use satellite_core::http::{Secret, Trust};
use satellite_core::{Result, Variables};

/// The validated settings of a satellite.
/// [`Builder::build`](crate::Builder::build) reads them from the environment; values
/// set on the builder take precedence.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// `LUML_SATELLITE_TOKEN`: authenticates this satellite to the platform.
    pub token: Secret,
    /// `LUML_PLATFORM_URL`, without a trailing slash.
    pub platform_url: String,
    /// `LUML_POLL_INTERVAL_SEC`: the wait after a poll that returned no task.
    pub poll_interval: Duration,
    /// `LUML_MAX_BACKOFF_SEC`: the longest wait after failures.
    pub max_backoff: Duration,
    /// `LUML_SUPPORTED_TASK_TYPES`: the task types that this satellite handles; empty: all.
    pub supported_task_types: Vec<String>,
    /// `LUML_HEALTH_HOST` and `LUML_HEALTH_PORT`; `None` if `LUML_HEALTH_ENABLED` is
    /// false.
    pub health: Option<SocketAddr>,
    /// `LUML_BASE_URL`: the URL at which the platform reaches this satellite.
    pub base_url: Option<String>,
    /// `LUML_CA_FILE`: the certificate authorities to trust instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// `LUML_STATE_DIR`, or the first folder of systemd's `STATE_DIRECTORY`: the folder
    /// of the journal; `None`: no journal.
    pub state_dir: Option<PathBuf>,
    /// `LUML_PAGE_TOKEN`: what clients need to see the page; `None`: it is for clients on
    /// this host.
    #[cfg(feature = "page")]
    pub page_token: Option<Secret>,
    /// Warnings about variables whose name is nearly that of a setting, one sentence
    /// each. The worker logs them when it starts. They are not errors, since another
    /// program may use variables with the same prefix.
    pub misspelt: Vec<String>,
    pub(crate) trust: Trust,
}

/// The values set on the builder; the environment provides the others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    pub(crate) token: Option<Secret>,
    pub(crate) platform_url: Option<String>,
    pub(crate) poll_interval: Option<Duration>,
    pub(crate) max_backoff: Option<Duration>,
    pub(crate) supported_task_types: Option<Vec<String>>,
    pub(crate) health_host: Option<IpAddr>,
    pub(crate) health_port: Option<u16>,
    pub(crate) health_enabled: Option<bool>,
    pub(crate) base_url: Option<String>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) plain_http: Option<bool>,
    /// Checks whether the state folder can be used.
    pub(crate) check_state_dir: Option<fn(&Path) -> io::Result<()>>,
}

impl Draft {
    /// Reads the values that are not set from the variables and validates all of them.
    pub(crate) fn finish(self, mut read: Variables) -> Result<Settings> {
        let token = token(&mut read, self.token).unwrap_or("".into());
        if !token.expose().bytes().all(|b| b.is_ascii_graphic()) {
            read.problem(
                "LUML_SATELLITE_TOKEN",
                "expected visible ASCII characters only",
            );
        }
        let platform_url = read.explicit_url(
            "LUML_PLATFORM_URL",
            self.platform_url.as_deref(),
            Some("https://api.luml.ai"),
        );
        let poll_interval = read.explicit_seconds(
            "LUML_POLL_INTERVAL_SEC",
            self.poll_interval,
            Duration::from_secs(2),
        );
        let max_backoff = read.explicit_seconds(
            "LUML_MAX_BACKOFF_SEC",
            self.max_backoff,
            Duration::from_secs(60),
        );
        let supported_task_types = read.explicit_or(
            "LUML_SUPPORTED_TASK_TYPES",
            self.supported_task_types,
            Variables::list,
        );
        let enabled = read.explicit_or("LUML_HEALTH_ENABLED", self.health_enabled, |read, name| {
            read.flag(name, true)
        });
        let host = read.explicit_or("LUML_HEALTH_HOST", self.health_host, Variables::host);
        let port = read.explicit_or("LUML_HEALTH_PORT", self.health_port, |read, name| {
            read.port(name, 8080)
        });
        let base_url = read.explicit_url("LUML_BASE_URL", self.base_url.as_deref(), None);
        let ca_file = path(&mut read, "LUML_CA_FILE", self.ca_file);
        let trust = ca_file
            .as_deref()
            .map_or_else(Trust::default, |path| read.trust("LUML_CA_FILE", path));
        let state_dir = path(&mut read, "LUML_STATE_DIR", self.state_dir);
        let state_dir = state_dir.or_else(|| read.systemd_state_dir().map(PathBuf::from));
        if let (Some(folder), Some(check)) = (&state_dir, self.check_state_dir) {
            if let Err(error) = check(folder) {
                let what = format!("cannot write to {}: {error}", folder.display());
                read.problem("LUML_STATE_DIR", what);
            }
        }
        let plain_http =
            read.explicit_or("LUML_ALLOW_PLAIN_HTTP", self.plain_http, |read, name| {
                read.flag(name, false)
            });
        read.check_transport("LUML_PLATFORM_URL", platform_url.as_deref(), plain_http);

        #[cfg(feature = "page")]
        let page_token = read.text("LUML_PAGE_TOKEN").map(Secret::new);
        let misspelt = read.misspelt();
        read.finish()?;
        Ok(Settings {
            token,
            platform_url: platform_url.unwrap_or_default(),
            poll_interval,
            max_backoff,
            supported_task_types,
            health: enabled.then_some(SocketAddr::new(host, port)),
            base_url,
            ca_file,
            state_dir,
            #[cfg(feature = "page")]
            page_token,
            misspelt,
            trust,
        })
    }
}

/// The explicit token; otherwise from the environment, from a file that it names, or
/// from systemd.
fn token(read: &mut Variables, explicit: Option<Secret>) -> Option<Secret> {
    const NAME: &str = "LUML_SATELLITE_TOKEN";
    let found = read.text(NAME).map(Secret::new);
    let file = path(read, "LUML_SATELLITE_TOKEN_FILE", None);
    if let Some(token) = explicit.or(found) {
        return Some(token);
    }
    let credential = read
        .text("CREDENTIALS_DIRECTORY")
        .map(|folder| Path::new(&folder).join(NAME))
        .filter(|path| path.exists());
    let (name, path) = match (file, credential) {
        (Some(path), _) => ("LUML_SATELLITE_TOKEN_FILE", path),
        (None, Some(path)) => (NAME, path),
        (None, None) => {
            read.problem(
                NAME,
                "expected the satellite's token in this variable, in a file named by \
                 LUML_SATELLITE_TOKEN_FILE, or as a systemd credential",
            );
            return None;
        }
    };
    match std::fs::read_to_string(&path).map(Secret::new) {
        Ok(text) if text.expose().trim().is_empty() => {
            read.problem(name, format_args!("{} is empty", path.display()));
            None
        }
        Ok(text) => Some(Secret::new(text.expose().trim())),
        Err(error) => {
            read.problem(
                name,
                format_args!("cannot read {}: {error}", path.display()),
            );
            None
        }
    }
}

fn path(read: &mut Variables, name: &str, explicit: Option<PathBuf>) -> Option<PathBuf> {
    let found = read.text(name).map(PathBuf::from);
    explicit.or(found)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<Settings> {
        let pairs: HashMap<String, String> = pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        Draft::default().finish(Variables::from_lookup(move |name| pairs.get(name).cloned()))
    }

    #[test]
    fn only_the_token_is_required() {
        let settings = settings(&[("LUML_SATELLITE_TOKEN", "t")]).unwrap();
        assert_eq!(settings.platform_url, "https://api.luml.ai");
        assert_eq!(settings.poll_interval, Duration::from_secs(2));
        assert_eq!(settings.max_backoff, Duration::from_secs(60));
        assert!(settings.supported_task_types.is_empty());
        assert_eq!(settings.health.unwrap().to_string(), "127.0.0.1:8080");
        assert_eq!(settings.base_url, None);
    }

    #[test]
    fn all_wrong_values_are_reported_together() {
        let wrong = [
            ("LUML_SATELLITE_TOKEN_FILE", "/nowhere/token"),
            ("LUML_PLATFORM_URL", "platform.example"),
            ("LUML_POLL_INTERVAL_SEC", "soon"),
            ("LUML_MAX_BACKOFF_SEC", "-1"),
            ("LUML_HEALTH_PORT", "70000"),
            ("LUML_HEALTH_HOST", "everywhere"),
            ("LUML_HEALTH_ENABLED", "perhaps"),
            ("LUML_BASE_URL", "ftp://here"),
            ("LUML_CA_FILE", "/nowhere/ca.pem"),
        ];
        let error = settings(&wrong).unwrap_err();
        assert!(error.is_settings());
        let message = error.to_string();
        assert!(message.starts_with("9 settings are wrong:"), "{message}");
        for (name, _) in wrong {
            assert!(message.contains(name), "{name} is missing in {message}");
        }
    }

    #[test]
    fn fractional_seconds_are_accepted_and_invalid_intervals_rejected() {
        let interval = |text| {
            settings(&[
                ("LUML_SATELLITE_TOKEN", "t"),
                ("LUML_POLL_INTERVAL_SEC", text),
            ])
            .map(|s| s.poll_interval)
        };
        assert_eq!(interval("0.25").unwrap(), Duration::from_millis(250));
        for wrong in ["0", "nan", "inf", "1e300", "2s", "-0.5"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn plain_http_is_accepted_on_loopback_only() {
        let parse = |url, extra: &[(&str, &str)]| {
            let mut pairs = vec![("LUML_SATELLITE_TOKEN", "t"), ("LUML_PLATFORM_URL", url)];
            pairs.extend(extra);
            settings(&pairs)
        };
        for accepted in [
            "http://127.0.0.1:9000",
            "http://localhost",
            "http://[::1]:80/api",
            "https://platform.example/",
        ] {
            let is_ok = parse(accepted, &[]).is_ok();
            assert!(is_ok || !cfg!(feature = "tls"), "{accepted}");
        }
        for rejected in [
            "http://platform.example",
            "http://10.0.0.1:80",
            "http://localhost.evil.example",
        ] {
            assert!(parse(rejected, &[]).is_err(), "{rejected}");
            assert!(parse(rejected, &[("LUML_ALLOW_PLAIN_HTTP", "true")]).is_ok());
        }
    }

    #[test]
    fn errors_show_neither_a_token_nor_a_password() {
        let message = settings(&[
            ("LUML_SATELLITE_TOKEN", "hush\u{7f}hush"),
            ("LUML_PLATFORM_URL", "https://me:hush@platform.example"),
        ])
        .unwrap_err()
        .to_string();
        assert!(!message.contains("hush"), "{message}");
    }

    #[test]
    fn values_set_on_the_builder_take_precedence() {
        let draft = Draft {
            token: Some("explicit".into()),
            poll_interval: Some(Duration::from_secs(9)),
            ..Draft::default()
        };
        let settings = draft
            .finish(Variables::from_lookup(|name| {
                (name == "LUML_POLL_INTERVAL_SEC").then(|| "nonsense".into())
            }))
            .unwrap();
        assert_eq!(settings.poll_interval, Duration::from_secs(9));
        assert_eq!(settings.token.expose(), "explicit");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(values in proptest::collection::vec(".{0,24}", 10)) {
            let names = [
                "LUML_SATELLITE_TOKEN", "LUML_PLATFORM_URL", "LUML_POLL_INTERVAL_SEC",
                "LUML_MAX_BACKOFF_SEC", "LUML_SUPPORTED_TASK_TYPES", "LUML_HEALTH_PORT",
                "LUML_HEALTH_HOST", "LUML_HEALTH_ENABLED", "LUML_BASE_URL", "LUML_ALLOW_PLAIN_HTTP",
            ];
            let pairs: Vec<_> = names.iter().copied().zip(values.iter().map(String::as_str)).collect();
            let _ = settings(&pairs);
        }
    }
}
