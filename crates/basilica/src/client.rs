//! The client: how it is built, and what it is made of.

use std::fmt;
use std::path::PathBuf;

use super::account::AccountManager;
use super::api_version::ApiVersion;
use super::auth::{self, Renewing};
use super::connection::Connection;
use super::deployments::DeploymentManager;
use super::dialect;
use super::executors::ExecutorManager;
use super::models::HealthStatus;
use satellite_core::Result;
use satellite_core::Variables;
use satellite_core::client::{self, Cancel, Client};
use satellite_core::http::{Call, Credentials, Method, Secret};

/// A Basilica service. Clones share one connection.
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

/// What a [`BasilicaClient`] has beside the things that all clients have.
#[derive(Default)]
pub struct Options {
    version: Option<ApiVersion>,
    renewing: Renewing,
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
        options.renewing.read(variables);
    }

    fn open(settings: client::Connection, options: Options) -> Result<Self> {
        let credentials = match options.renewing.is_asked_for(&settings.token) {
            true => auth::renewed(&settings, options.renewing)?,
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

/// What only Basilica has. A token that is told alone never changes; one that
/// begins with `basilica_` never does.
impl BasilicaBuilder {
    /// The API that the service speaks: `BASILICA_API_VERSION`, `rentals`
    /// (default) or `deployments`.
    pub fn api_version(mut self, version: ApiVersion) -> Self {
        self.options().version = Some(version);
        self
    }

    /// With what another access token is had when the one of now is refused or
    /// about to end: `BASILICA_REFRESH_TOKEN`.
    pub fn refresh_token(mut self, token: impl Into<Secret>) -> Self {
        self.options().renewing.refresh = Some(token.into());
        self
    }

    /// Where both tokens are kept, and renewed for all processes that use the
    /// file: `BASILICA_TOKEN_FILE`. For its owner's eyes only (0600), replaced by
    /// rename, under a lock; where there is none yet, it is made at the first
    /// renewal.
    ///
    /// It is JSON: `{"access_token", "refresh_token", "expires_at"}`, the last in
    /// seconds since 1970.
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.options().renewing.file = Some(path.into());
        self
    }

    /// Who renews tokens, and for whom: `BASILICA_AUTH0_DOMAIN` (or
    /// `BASILICA_AUTH0_ISSUER`) and `BASILICA_AUTH0_CLIENT_ID`. The domain is a
    /// host name, or a URL. `BASILICA_AUTH0_AUDIENCE` goes with the request, where
    /// it is set.
    pub fn auth0(mut self, domain: impl Into<String>, client_id: impl Into<String>) -> Self {
        self.options().renewing.domain = Some(domain.into());
        self.options().renewing.client_id = Some(client_id.into());
        self
    }
}

impl BasilicaClient {
    /// A client to be built. Its variables begin with `BASILICA_`: the address is
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

    /// A client for what the environment says.
    ///
    /// # Errors
    /// `is_settings()`, naming all that is wrong.
    pub fn from_env() -> Result<Self> {
        Self::builder().build()
    }

    /// The same client through connections of its own, which `cancel` ends.
    ///
    /// # Errors
    /// None that this client did not have.
    pub fn cancelled_by(&self, cancel: &Cancel) -> Result<Self> {
        Ok(BasilicaClient {
            connection: self.connection.cancelled_by(cancel)?,
        })
    }

    /// The service's address.
    pub fn url(&self) -> &str {
        self.connection.url()
    }

    /// Containers: deployed, looked at, stopped.
    pub fn deployments(&self) -> DeploymentManager<'_> {
        DeploymentManager {
            connection: &self.connection,
        }
    }

    /// Machines to be had.
    pub fn executors(&self) -> ExecutorManager<'_> {
        ExecutorManager {
            connection: &self.connection,
        }
    }

    /// What belongs to the account: API keys, SSH key, balance, usage.
    pub fn account(&self) -> AccountManager<'_> {
        AccountManager {
            connection: &self.connection,
        }
    }

    /// How the service is. No token is shown.
    ///
    /// # Errors
    /// Faults on the way.
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
