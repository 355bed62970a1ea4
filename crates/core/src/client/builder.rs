//! The builder of every compute client.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::TimeLimits;
use crate::error::Result;
use crate::http::{Credentials, Dialect, Retries, Secret, Server, Transport, Trust, unescaped};
use crate::variables::Variables;
use crate::wake::{Clock, Waiter};

/// Builds a compute client. Values set explicitly take precedence over the
/// environment.
///
/// | variable, after the client's prefix | default | |
/// |---|---|---|
/// | `REQUEST_TIMEOUT` | 2m | [`TimeLimits::request`]: `90`, `90s`, `10m`, `1h30m` |
/// | `MAX_RETRIES` | as many as the time limit allows | retries of one call |
/// | `RETRY_DELAY` | 1s | the delay before the first retry; it doubles with each further one |
/// | `CA_FILE` | public roots | PEM file of the only certificate authorities to trust |
/// | `ALLOW_PLAIN_HTTP` | false | allows secrets over plain http to hosts other than loopback |
pub struct ClientBuilder<C: Client> {
    variables: Option<Variables>,
    url: Option<String>,
    token: Option<Secret>,
    limits: TimeLimits,
    request: Option<Duration>,
    max_retries: Option<u32>,
    retry_delay: Option<Duration>,
    max_retry_delay: Duration,
    ca_file: Option<PathBuf>,
    plain_http: Option<bool>,
    waiter: Waiter,
    /// Settings specific to this client.
    pub options: C::Options,
}

/// Describes a client to its builder. Not meant to be implemented elsewhere.
pub trait Client: Sized {
    /// Settings beyond those that all clients have.
    type Options: Default;

    /// The prefix of its environment variables.
    const PREFIX: &'static str;
    /// Variables that hold the address, without the prefix; the first one set is used.
    const URL: &'static [&'static str];
    /// The address to use if none is set.
    const DEFAULT_URL: &'static str;
    /// The variable that holds the token, without the prefix.
    const TOKEN: &'static str;
    /// Whether the address may contain `user:password@`.
    const PASSWORDS: bool = false;

    /// Fills options that are not set explicitly from the variables.
    fn read(options: &mut Self::Options, variables: &mut Variables) {
        let _ = (options, variables);
    }

    /// Creates the client.
    fn open(connection: Connection, options: Self::Options) -> Result<Self>;
}

/// Everything a client needs to connect to its server.
pub struct Connection {
    /// The checked base URL, without a trailing slash.
    pub url: String,
    /// The token; empty if there is none.
    pub token: Secret,
    /// `user:password`, if the address contained it and the client accepts it.
    pub password: Option<Secret>,
    /// The time limits of calls.
    pub limits: TimeLimits,
    trust: Trust,
    retries: Retries,
    waiter: Waiter,
}

impl Connection {
    /// A transport to `base`: the client's address, or another address of the same server.
    pub fn transport(
        &self,
        base: &str,
        dialect: &'static Dialect,
        credentials: Credentials,
    ) -> Result<Arc<Transport>> {
        let server = Server {
            base: base.to_owned(),
            dialect,
            credentials,
            trust: self.trust.clone(),
            retries: self.retries,
            connect: self.limits.connect,
        };
        Transport::new(server, self.waiter.clone()).map(Arc::new)
    }
}

impl<C: Client> Default for ClientBuilder<C> {
    fn default() -> Self {
        ClientBuilder {
            variables: None,
            url: None,
            token: None,
            limits: TimeLimits::default(),
            request: None,
            max_retries: None,
            retry_delay: None,
            max_retry_delay: Duration::from_secs(60),
            ca_file: None,
            plain_http: None,
            waiter: Waiter::default(),
            options: C::Options::default(),
        }
    }
}

impl<C: Client> ClientBuilder<C> {
    /// Sets the server's address.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Sets the token that authenticates the caller.
    pub fn token(mut self, token: impl Into<Secret>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Sets the time limits.
    pub fn limits(mut self, limits: TimeLimits) -> Self {
        self.limits = limits;
        self.request = Some(limits.request);
        self
    }

    /// Sets how often one call is retried; 0 disables retries.
    pub fn max_retries(mut self, most: u32) -> Self {
        self.max_retries = Some(most);
        self
    }

    /// Sets the delay before the first retry; it doubles with each further one.
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        self.retry_delay = Some(delay);
        self
    }

    /// Sets the longest delay between two retries, also during an outage. Default: 60 s.
    pub fn max_retry_delay(mut self, delay: Duration) -> Self {
        self.max_retry_delay = delay;
        self
    }

    /// Trusts the certificate authorities in this PEM file instead of the public ones.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Allows secrets to travel over plain http to hosts other than loopback.
    pub fn allow_plain_http(mut self, allow: bool) -> Self {
        self.plain_http = Some(allow);
        self
    }

    /// Reads settings from these variables instead of the environment.
    pub fn variables(mut self, variables: Variables) -> Self {
        self.variables = Some(variables);
        self
    }

    /// Uses this clock; for tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.waiter.clock = Arc::new(clock);
        self
    }

    /// Checks the settings and builds the client. Sends nothing.
    ///
    /// # Errors
    /// `is_settings()`; the message names each wrong setting.
    pub fn build(mut self) -> Result<C> {
        let mut read = self.variables.take().unwrap_or_else(Variables::from_env);
        let named = |name: &str| format!("{}{name}", C::PREFIX);
        let names: Vec<_> = C::URL.iter().map(|name| named(name)).collect();
        let found = names.iter().find_map(|name| Some((name, read.text(name)?)));
        let (name, url) = match (self.url, found) {
            (Some(url), _) => (names[0].as_str(), url),
            (None, Some((name, url))) => (name.as_str(), url),
            (None, None) => (names[0].as_str(), C::DEFAULT_URL.to_owned()),
        };
        let (url, password) = match C::PASSWORDS {
            true => without_password(&url),
            false => (url, None),
        };
        let url = read.url_of(name, &url).unwrap_or_default();
        let token = self
            .token
            .or_else(|| read.text(&named(C::TOKEN)).map(Secret::from));
        let token = token.unwrap_or("".into());
        if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            read.problem(&named(C::TOKEN), "expected visible ASCII characters only");
        }
        let mut limits = self.limits;
        limits.request = self
            .request
            .unwrap_or_else(|| read.duration(&named("REQUEST_TIMEOUT"), limits.request));
        let retries = Retries {
            most: self.max_retries.unwrap_or_else(|| {
                read.value(&named("MAX_RETRIES"), u32::MAX, "a number", |text| {
                    text.parse().ok()
                })
            }),
            first: self
                .retry_delay
                .unwrap_or_else(|| read.duration(&named("RETRY_DELAY"), Duration::from_secs(1))),
            max: self.max_retry_delay,
        };
        let ca_name = named("CA_FILE");
        let ca_file = self
            .ca_file
            .or_else(|| read.text(&ca_name).map(PathBuf::from));
        let trust = ca_file.map_or_else(Trust::default, |path| read.trust(&ca_name, &path));
        let plain_http = self
            .plain_http
            .unwrap_or_else(|| read.flag(&named("ALLOW_PLAIN_HTTP"), false));
        if !url.is_empty() {
            read.check_transport(name, Some(&url), plain_http);
        }
        C::read(&mut self.options, &mut read);
        read.finish()?;
        let connection = Connection {
            url,
            token,
            password,
            limits,
            trust,
            retries,
            waiter: self.waiter,
        };
        C::open(connection, self.options)
    }
}

/// Splits `user:password` off the address.
fn without_password(url: &str) -> (String, Option<Secret>) {
    let split = url.split_once("://").and_then(|(scheme, rest)| {
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (password, host) = authority.rsplit_once('@')?;
        Some((
            format!("{scheme}://{host}{path}"),
            Secret::new(unescaped(password)),
        ))
    });
    match split {
        Some((url, password)) => (url, Some(password)),
        None => (url.to_owned(), None),
    }
}
