//! Reads settings from environment variables and reports all problems at once.

use std::cell::RefCell;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use crate::duration;
use crate::error::{Error, Result};
use crate::http::{Trust, is_loopback};
use crate::spelling::nearest;
use crate::url::parse_url;

/// Reads settings from environment variables and collects the problems, so that
/// one error reports all of them.
///
/// Every name that is read is a known setting. A variable that is set, begins with
/// `LUML_` or `DORY_`, and has a name similar to a known setting is treated as
/// misspelt: the worker logs a warning at startup.
///
/// A satellite can read its own settings in the same way:
///
/// ```
/// use satellite_core::Variables;
///
/// let mut variables = Variables::from_env();
/// let port = variables.value("MY_PORT", 9000, "a port, 0 to 65535", |text| text.parse().ok());
/// assert_eq!(port, 9000_u16);
/// variables.finish()?; // fails if one is wrong
/// # Ok::<(), satellite_core::Error>(())
/// ```
pub struct Variables {
    env: Environment,
    problems: Vec<String>,
    /// The names of all variables that are set, if they can be listed.
    set: Vec<String>,
    /// The names of the known settings: each name that was read.
    known: RefCell<Vec<String>>,
}

/// The prefixes of this project's variables.
const PREFIXES: [&str; 2] = ["LUML_", "DORY_"];

/// Where the variables are looked up.
type Environment = Box<dyn Fn(&str) -> Option<String> + Send>;

impl Variables {
    /// Reads the environment of this process. Invalid UTF-8 in a value is replaced,
    /// so that parsing the value reports a problem.
    pub fn from_env() -> Self {
        Self::from_lookup(|name| {
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        })
        .listed(names_in_env())
    }

    /// Looks variables up with `env`.
    pub fn from_lookup(env: impl Fn(&str) -> Option<String> + Send + 'static) -> Self {
        Variables {
            env: Box::new(env),
            problems: Vec::new(),
            set: Vec::new(),
            known: RefCell::default(),
        }
    }

    /// Returns an error if there are problems. It names all of them, and the
    /// variables that may be misspelt.
    ///
    /// # Errors
    /// `is_settings()`.
    pub fn finish(mut self) -> Result<()> {
        if self.problems.is_empty() {
            return Ok(());
        }
        let misspelt = self.misspelt();
        self.problems.extend(misspelt);
        Err(Error::settings(self.problems))
    }

    /// A message for each variable that is set and has a name similar to a known
    /// setting. Call it after all settings were read.
    pub fn misspelt(&self) -> Vec<String> {
        let known = self.known.borrow();
        let is_ours = |name: &&String| {
            let prefix = PREFIXES.iter().find(|prefix| name.starts_with(**prefix));
            prefix.is_some_and(|prefix| known.iter().any(|known| known.starts_with(prefix)))
        };
        let is_set = |name: &str| (self.env)(name).is_some_and(|v| !v.trim().is_empty());
        let candidates = self.set.iter().filter(is_ours);
        candidates
            .filter(|name| !known.iter().any(|known| known == *name) && is_set(name))
            .filter_map(|name| {
                let suggestion = nearest(name, known.iter().map(String::as_str))?;
                Some(format!(
                    "{name}: is not a setting; did you mean {suggestion}?"
                ))
            })
            .collect()
    }

    /// Adds the names of variables that are set; a lookup function cannot list them.
    pub fn listed(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.set.extend(names);
        self
    }

    /// Registers the name of a setting that may not be read.
    pub fn knows(&self, name: &str) {
        let mut known = self.known.borrow_mut();
        if !known.iter().any(|known| known == name) {
            known.push(name.to_owned());
        }
    }

    /// The `explicit` value, or what `read` returns for this name.
    pub fn explicit_or<T>(
        &mut self,
        name: &str,
        explicit: Option<T>,
        read: impl FnOnce(&mut Self, &str) -> T,
    ) -> T {
        self.knows(name);
        explicit.unwrap_or_else(|| read(self, name))
    }

    /// Records a problem with a setting, and what was expected.
    pub fn problem(&mut self, name: &str, what: impl fmt::Display) {
        self.problems.push(format!("{name}: {what}"));
    }

    /// The trimmed value, or `None` if it is unset or blank: compose files often set
    /// variables to the empty string.
    pub fn text(&self, name: &str) -> Option<String> {
        self.knows(name);
        (self.env)(name)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    /// The value as parsed by `parse`, or `default` if it is unset.
    pub fn value<T>(
        &mut self,
        name: &str,
        default: T,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        let Some(text) = self.text(name) else {
            return default;
        };
        parse(&text).unwrap_or_else(|| {
            self.problem(name, format_args!("expected {expected}, found {text:?}"));
            default
        })
    }

    /// A number of seconds from 10 ms to a day; fractions are allowed.
    pub fn seconds(&mut self, name: &str, default: Duration) -> Duration {
        self.value(name, default, SECONDS, |text| {
            let duration = duration::parse_seconds(text)?;
            ALLOWED_SECONDS.contains(&duration).then_some(duration)
        })
    }

    /// A duration with units, `90s`, `10m`, `1h30m`, `500ms`, or a plain number of
    /// seconds; more than zero.
    pub fn duration(&mut self, name: &str, default: Duration) -> Duration {
        self.value(name, default, DURATION, duration::parse)
    }

    /// The `explicit` value instead of the variable, with the same limits as
    /// [`seconds`](Self::seconds).
    pub fn explicit_seconds(
        &mut self,
        name: &str,
        explicit: Option<Duration>,
        default: Duration,
    ) -> Duration {
        self.knows(name);
        match explicit {
            Some(value) => {
                if !ALLOWED_SECONDS.contains(&value) {
                    self.problem(name, format_args!("expected {SECONDS}, found {value:?}"));
                }
                value
            }
            None => self.seconds(name, default),
        }
    }

    /// A boolean: true, 1, yes, on, or false, 0, no, off.
    pub fn flag(&mut self, name: &str, default: bool) -> bool {
        self.value(name, default, "true or false", |text| {
            match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Some(true),
                "false" | "0" | "no" | "off" => Some(false),
                _ => None,
            }
        })
    }

    /// A port; with 0 the system chooses one.
    pub fn port(&mut self, name: &str, default: u16) -> u16 {
        self.value(name, default, "a port, 0 to 65535", |text| {
            text.parse().ok()
        })
    }

    /// An address to listen on; loopback if unset.
    pub fn host(&mut self, name: &str) -> IpAddr {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let expected = "an IP address such as 127.0.0.1 or 0.0.0.0";
        self.value(name, loopback, expected, |text| match text {
            "localhost" => Some(loopback),
            _ => text.trim_matches(['[', ']']).parse().ok(),
        })
    }

    /// A comma separated list of trimmed items. Empty if unset; a list of only commas
    /// is a problem.
    pub fn list(&mut self, name: &str) -> Vec<String> {
        let expected = "a comma separated list, such as a,b";
        self.value(name, Vec::new(), expected, |text| {
            let items = text.split(',').map(str::trim);
            let items: Vec<_> = items.filter(|item| !item.is_empty()).collect();
            (!items.is_empty()).then(|| items.into_iter().map(str::to_owned).collect())
        })
    }

    /// An http or https URL without user, query and fragment; a trailing slash is
    /// removed.
    pub fn url(&mut self, name: &str, default: Option<&str>) -> Option<String> {
        let text = self.text(name).or_else(|| default.map(str::to_owned))?;
        self.url_of(name, &text)
    }

    /// The state folder of the systemd unit, the first one in `STATE_DIRECTORY`,
    /// which separates folders with colons.
    pub fn systemd_state_dir(&self) -> Option<String> {
        let folders = self.text("STATE_DIRECTORY")?;
        folders.split(':').next().map(str::to_owned)
    }

    /// Reads the certificate authorities in the PEM file `path`; a problem is reported under `name`.
    pub fn trust(&mut self, name: &str, path: &Path) -> Trust {
        Trust::from_pem_file(path).unwrap_or_else(|error| {
            self.problem(
                name,
                format_args!(
                    "expected a PEM file of certificates; {}: {error}",
                    path.display()
                ),
            );
            Trust::default()
        })
    }

    /// Checks that secrets are sent over TLS or only to this host.
    pub fn check_transport(&mut self, name: &str, url: Option<&str>, plain_http: bool) {
        let Some(url) = url else { return };
        if let Some(rest) = url.strip_prefix("http://") {
            let authority = rest.split('/').next().unwrap_or(rest);
            let host = match authority.rsplit_once(':') {
                Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
                _ => authority,
            };
            if !plain_http && !is_loopback(host) {
                let prefix = name.split('_').next().unwrap_or(name);
                self.problem(
                    name,
                    format_args!(
                        "expected https: plain http exposes the token to the network \
                         ({prefix}_ALLOW_PLAIN_HTTP=true accepts that risk)"
                    ),
                );
            }
        } else if !cfg!(feature = "tls") {
            self.problem(name, "expected http: this program was built without TLS");
        }
    }

    /// The `explicit` value instead of the variable, with the same rules as
    /// [`url`](Self::url).
    pub fn explicit_url(
        &mut self,
        name: &str,
        explicit: Option<&str>,
        default: Option<&str>,
    ) -> Option<String> {
        self.knows(name);
        match explicit {
            Some(value) => self.url_of(name, value),
            None => self.url(name, default),
        }
    }

    /// Parses `text` as an http(s) URL; a problem is reported under `name`.
    pub fn url_of(&mut self, name: &str, text: &str) -> Option<String> {
        match parse_url(text) {
            Ok(url) => Some(url),
            Err(expected) => {
                self.problem(name, format_args!("expected {expected}"));
                None
            }
        }
    }
}

const DURATION: &str = "a time such as 90s, 10m, 1h30m or 500ms";

const SECONDS: &str = "a number of seconds from 0.01 to 86400, such as 2 or 0.5";

const ALLOWED_SECONDS: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(86_400);

/// The names of this process's variables.
pub fn names_in_env() -> impl Iterator<Item = String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variables")
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}
