//! The builder of every compute client.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::TimeLimits;
use crate::error::Result;
use crate::http::{Credentials, Dialect, Retries, Secret, Server, Transport, Trust};
use crate::variables::Variables;
use crate::wake::{Clock, Waiter};

/// Builds a compute client, from what it is told and from the environment, in
/// that order.
///
/// | variable, after the client's prefix | default | |
/// |---|---|---|
/// | `REQUEST_TIMEOUT` | 2m | [`TimeLimits::request`]: `90`, `90s`, `10m`, `1h30m` |
/// | `MAX_RETRIES` | as the time limit allows | resends of one call |
/// | `RETRY_DELAY` | 1s | the first wait; each is twice the one before |
/// | `CA_FILE` | public roots | PEM file of the authorities to trust, and no others |
/// | `ALLOW_PLAIN_HTTP` | false | secrets may travel over plain http; on loopback they always may |
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
    /// Settings that only this client has.
    pub options: C::Options,
}

/// What a client tells its builder. Not for implementing outside.
pub trait Client: Sized {
    /// What it has beside the things that all clients have.
    type Options: Default;

    /// What its variables begin with.
    const PREFIX: &'static str;
    /// Variables that hold the address, without the prefix; the first that is set.
    const URL: &'static [&'static str];
    /// The address where none is set.
    const DEFAULT_URL: &'static str;
    /// The variable that holds the token, without the prefix.
    const TOKEN: &'static str;
    /// Whether the address may hold `user:password@`.
    const PASSWORDS: bool = false;

    /// Takes what is open from the variables.
    fn read(options: &mut Self::Options, variables: &mut Variables) {
        let _ = (options, variables);
    }

    /// The client itself.
    fn open(connection: Connection, options: Self::Options) -> Result<Self>;
}

/// All that a client needs to speak to its server.
pub struct Connection {
    /// The checked base URL, without a trailing slash.
    pub url: String,
    /// The token; empty if there is none.
    pub token: Secret,
    /// `user:password`, where the address held it and the client takes it.
    pub password: Option<Secret>,
    /// The time limits of calls.
    pub limits: TimeLimits,
    trust: Trust,
    retries: Retries,
    waiter: Waiter,
}

impl Connection {
    /// The transport to `base`: the client's address, or another one of it.
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
    /// The server's address.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// What the server knows the caller by.
    pub fn token(mut self, token: impl Into<Secret>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// How long to wait for what.
    pub fn limits(mut self, limits: TimeLimits) -> Self {
        self.limits = limits;
        self.request = Some(limits.request);
        self
    }

    /// How often one call is sent again; 0: never.
    pub fn max_retries(mut self, most: u32) -> Self {
        self.max_retries = Some(most);
        self
    }

    /// The first wait before a call is sent again; each is twice the one before.
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        self.retry_delay = Some(delay);
        self
    }

    /// The longest wait before a call is sent again, and while waiting out an
    /// outage. Default: 60 s.
    pub fn max_retry_delay(mut self, delay: Duration) -> Self {
        self.max_retry_delay = delay;
        self
    }

    /// The authorities to trust in place of the public ones, as a PEM file.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Secrets may travel over plain http to other hosts.
    pub fn allow_plain_http(mut self, allow: bool) -> Self {
        self.plain_http = Some(allow);
        self
    }

    /// Looks variables up here and not in the environment.
    pub fn variables(mut self, variables: Variables) -> Self {
        self.variables = Some(variables);
        self
    }

    /// Waits by this clock: for tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.waiter.clock = Arc::new(clock);
        self
    }

    /// Checks all of it. Nothing is sent.
    ///
    /// # Errors
    /// `is_settings()`, naming all that is wrong.
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

/// The address, and the `user:password` that stood in it.
fn without_password(url: &str) -> (String, Option<Secret>) {
    let split = url.split_once("://").and_then(|(scheme, rest)| {
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (password, host) = authority.rsplit_once('@')?;
        Some((
            format!("{scheme}://{host}{path}"),
            Secret::new(decoded(password)),
        ))
    });
    match split {
        Some((url, password)) => (url, Some(password)),
        None => (url.to_owned(), None),
    }
}

/// `%40` is `@`.
fn decoded(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        match piece
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
        {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend(&piece.as_bytes()[2..]);
            }
            None => bytes.extend([b"%", piece.as_bytes()].concat()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
