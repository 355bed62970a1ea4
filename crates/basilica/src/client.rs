//! The client and its builder.

use std::fmt;
use std::path::PathBuf;

use super::account::AccountManager;
use super::api_version::ApiVersion;
use super::auth::{self, RefreshSettings};
use super::connection::Connection;
use super::deployments::DeploymentManager;
use super::dialect;
use super::executors::ExecutorManager;
use super::models::HealthStatus;
use satellite_core::Result;
use satellite_core::Variables;
use satellite_core::client::{self, Cancel, Client};
use satellite_core::http::{Call, Credentials, Method, Secret};

/// A Basilica service. Clones share one connection pool.
///
/// ```no_run
/// use satellite_basilica::BasilicaClient;
///
/// let basilica = BasilicaClient::from_env()?;
/// println!("{} validators", basilica.health()?.healthy_validators);
/// # Ok::<(), satellite_basilica::Error>(())
/// ```
#[derive(Clone)]
pub struct BasilicaClient {
    connection: Connection,
}

/// The options of a [`BasilicaClient`] beyond those that all clients share.
#[derive(Default)]
pub struct Options {
    version: Option<ApiVersion>,
    refresh: RefreshSettings,
}

impl Client for BasilicaClient {
    type Options = Options;

    const PREFIX: &'static str = "BASILICA_";
    const URL: &'static [&'static str] = &["API_URL"];
    const DEFAULT_URL: &'static str = "https://api.basilica.ai";
    const TOKEN: &'static str = "API_TOKEN";

    fn read(options: &mut Options, variables: &mut Variables) {
        let expected = "rentals or deployments";
        let default = ApiVersion::default();
        let read = variables.value("BASILICA_API_VERSION", default, expected, |text| match text
            .to_ascii_lowercase()
            .as_str()
        {
            "rentals" => Some(ApiVersion::Rentals),
            "deployments" => Some(ApiVersion::Deployments),
            _ => None,
        });
        options.version.get_or_insert(read);
        options.refresh.read(variables);
    }

    fn open(settings: client::Connection, options: Options) -> Result<Self> {
        let credentials = match options.refresh.applies_to(&settings.token) {
            true => auth::refreshing(&settings, options.refresh)?,
            false => Credentials::Token(settings.token.clone()),
        };
        Ok(BasilicaClient {
            connection: Connection {
                transport: settings.transport(&settings.url, &dialect::GATEWAY, credentials)?,
                limits: settings.limits,
                version: options.version.unwrap_or_default(),
            },
        })
    }
}

satellite_core::client_builder! {
    /// Builds a [`BasilicaClient`] from its own settings and from `BASILICA_*` environment variables, in that
    /// order.
    pub struct BasilicaBuilder for BasilicaClient;
}

/// Options that only Basilica has. A token without a refresh token or a token file is
/// never refreshed, and neither is one that begins with `basilica_`.
impl BasilicaBuilder {
    /// The API version of the service: `BASILICA_API_VERSION`, `rentals`
    /// (default) or `deployments`.
    pub fn api_version(mut self, version: ApiVersion) -> Self {
        self.options().version = Some(version);
        self
    }

    /// The refresh token, which gets a new access token when the current one is
    /// rejected or about to expire: `BASILICA_REFRESH_TOKEN`.
    pub fn refresh_token(mut self, token: impl Into<Secret>) -> Self {
        self.options().refresh.refresh = Some(token.into());
        self
    }

    /// The file that stores both tokens; a refresh serves all processes that share
    /// the file: `BASILICA_TOKEN_FILE`. Only its owner can read it (0600). It is replaced
    /// by rename, under a lock. If it does not exist, the first refresh creates it.
    ///
    /// It is JSON: `{"access_token", "refresh_token", "expires_at"}`, the last as a
    /// Unix timestamp in seconds.
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.options().refresh.file = Some(path.into());
        self
    }

    /// The token issuer and the OAuth client id: `BASILICA_AUTH0_DOMAIN` (or
    /// `BASILICA_AUTH0_ISSUER`) and `BASILICA_AUTH0_CLIENT_ID`. The domain is a
    /// host name or a URL. If `BASILICA_AUTH0_AUDIENCE` is set, the request includes
    /// it.
    pub fn auth0(mut self, domain: impl Into<String>, client_id: impl Into<String>) -> Self {
        self.options().refresh.domain = Some(domain.into());
        self.options().refresh.client_id = Some(client_id.into());
        self
    }
}

impl BasilicaClient {
    /// Starts building a client. Its environment variables begin with `BASILICA_`: the address is
    /// `BASILICA_API_URL` (default `https://api.basilica.ai`), the token
    /// `BASILICA_API_TOKEN`, a JWT or a `basilica_…` key.
    ///
    /// ```
    /// use satellite_basilica::{ApiVersion, BasilicaClient};
    ///
    /// let basilica = BasilicaClient::builder()
    ///     .url("https://api.basilica.ai")
    ///     .api_version(ApiVersion::Rentals)
    ///     .token("eyJhbGciOi.eyJzdWIiOi.c2lnbmF0")
    ///     .refresh_token("v1.MRrtOK")
    ///     .auth0("login.example.com", "my-client-id")
    ///     .build()?;
    /// # let _ = basilica;
    /// # Ok::<(), satellite_basilica::Error>(())
    /// ```
    pub fn builder() -> BasilicaBuilder {
        BasilicaBuilder::default()
    }

    /// Builds a client from environment variables.
    ///
    /// # Errors
    /// `is_settings()`, which lists every problem.
    pub fn from_env() -> Result<Self> {
        Self::builder().build()
    }

    /// The same client with its own connections, which `cancel` closes.
    ///
    /// # Errors
    /// Only errors that building this client could also return.
    pub fn cancelled_by(&self, cancel: &Cancel) -> Result<Self> {
        Ok(BasilicaClient {
            connection: self.connection.cancelled_by(cancel)?,
        })
    }

    /// The service's base URL.
    pub fn url(&self) -> &str {
        self.connection.url()
    }

    /// The API version that this client speaks.
    ///
    /// ```
    /// use satellite_basilica::{ApiVersion, BasilicaClient, Variables};
    ///
    /// let basilica = BasilicaClient::builder()
    ///     .variables(Variables::from_lookup(|_| None))
    ///     .url("http://127.0.0.1:8080")
    ///     .build()?;
    /// assert_eq!(basilica.api_version(), ApiVersion::Rentals);
    /// # Ok::<(), satellite_basilica::Error>(())
    /// ```
    pub fn api_version(&self) -> ApiVersion {
        self.connection.version
    }

    /// Containers: deploy, inspect, stop.
    pub fn deployments(&self) -> DeploymentManager<'_> {
        DeploymentManager {
            connection: &self.connection,
        }
    }

    /// Available machines.
    pub fn executors(&self) -> ExecutorManager<'_> {
        ExecutorManager {
            connection: &self.connection,
        }
    }

    /// The account: API keys, SSH key, balance, usage.
    pub fn account(&self) -> AccountManager<'_> {
        AccountManager {
            connection: &self.connection,
        }
    }

    /// The health of the service. The request carries no token.
    ///
    /// # Errors
    /// Transport errors.
    pub fn health(&self) -> Result<HealthStatus> {
        let call = Call::new(Method::GET, "/health").anonymous();
        let call = call.within(self.connection.limits.request);
        self.connection.transport.send(&call)?.json()
    }
}

impl fmt::Debug for BasilicaClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BasilicaClient").field(&self.url()).finish()
    }
}
