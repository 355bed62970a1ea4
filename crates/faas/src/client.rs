//! The client and its builder.

use std::fmt;
use std::path::Path;

use super::connection::Connection;
use super::dialect::FaasDialect;
use super::environments::EnvironmentManager;
use super::executions::ExecutionManager;
use super::gateway::GatewayExtras;
use super::models::{ExecutionResult, HealthStatus};
use super::request::ExecutionRequest;
use super::snapshots::SnapshotManager;
use satellite_core::Result;
use satellite_core::Variables;
use satellite_core::client::{self, Cancel, Client};
use satellite_core::http::{Call, Credentials, Method};

/// A FaaS server. Clones share one connection pool.
///
/// ```no_run
/// use satellite_faas::FaasClient;
///
/// let faas = FaasClient::from_env()?;
/// assert_eq!(faas.execute("echo hello")?.stdout, "hello\n");
/// # Ok::<(), satellite_faas::Error>(())
/// ```
#[derive(Clone)]
pub struct FaasClient {
    connection: Connection,
}

/// The options of a [`FaasClient`] beyond those that all clients share.
#[derive(Default)]
pub struct Options {
    dialect: Option<FaasDialect>,
    max_parallel: Option<usize>,
}

impl Client for FaasClient {
    type Options = Options;

    const PREFIX: &'static str = "FAAS_";
    const URL: &'static [&'static str] = &["ENDPOINT"];
    const DEFAULT_URL: &'static str = "http://localhost:8080";
    const TOKEN: &'static str = "API_KEY";

    fn read(options: &mut Options, variables: &mut Variables) {
        let default = FaasDialect::default();
        let read = variables.value(
            "FAAS_DIALECT",
            default,
            "gateway or server",
            |text| match text.to_ascii_lowercase().as_str() {
                "gateway" => Some(FaasDialect::Gateway),
                "server" => Some(FaasDialect::Server),
                _ => None,
            },
        );
        options.dialect.get_or_insert(read);
        let read = variables.value("FAAS_MAX_PARALLEL", 8, "1 or more", |text| {
            text.parse().ok().filter(|n| *n > 0)
        });
        options.max_parallel.get_or_insert(read);
    }

    fn open(settings: client::Connection, options: Options) -> Result<Self> {
        let dialect = options.dialect.unwrap_or_default();
        let credentials = Credentials::Token(settings.token.clone());
        Ok(FaasClient {
            connection: Connection {
                transport: settings.transport(&settings.url, dialect.http(), credentials)?,
                limits: settings.limits,
                dialect,
                max_parallel: options.max_parallel.unwrap_or(8),
            },
        })
    }
}

satellite_core::client_builder! {
    /// Builds a [`FaasClient`] from its own settings and from `FAAS_*` environment variables, in that
    /// order.
    pub struct FaasBuilder for FaasClient;
}

/// Options that only FaaS has.
impl FaasBuilder {
    /// The server's wire format: `FAAS_DIALECT`, `gateway` (default)
    /// or `server`.
    pub fn dialect(mut self, dialect: FaasDialect) -> Self {
        self.options().dialect = Some(dialect);
        self
    }

    /// How many executions of a batch run at once: `FAAS_MAX_PARALLEL`, default 8.
    pub fn max_parallel(mut self, executions: usize) -> Self {
        self.options().max_parallel = Some(executions.max(1));
        self
    }
}

impl FaasClient {
    /// Starts building a client. Its environment variables begin with `FAAS_`: the address is
    /// `FAAS_ENDPOINT` (default `http://localhost:8080`), the key `FAAS_API_KEY`,
    /// which is optional.
    ///
    /// ```
    /// use satellite_faas::{FaasClient, FaasDialect};
    ///
    /// let faas = FaasClient::builder()
    ///     .url("https://faas.example.com")
    ///     .token("key")
    ///     .dialect(FaasDialect::Server)
    ///     .build()?;
    /// # let _ = faas;
    /// # Ok::<(), satellite_faas::Error>(())
    /// ```
    pub fn builder() -> FaasBuilder {
        FaasBuilder::default()
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
        Ok(FaasClient {
            connection: self.connection.cancelled_by(cancel)?,
        })
    }

    /// The server's base URL.
    pub fn url(&self) -> &str {
        self.connection.url()
    }

    /// Runs a shell script, or a request with all its options, and waits for
    /// the result.
    ///
    /// # Errors
    /// Those of [`ExecutionManager::run`]. A command that fails is not an error.
    pub fn execute(&self, request: impl Into<ExecutionRequest>) -> Result<ExecutionResult> {
        self.executions().run(request)
    }

    /// Runs the contents of a file, as described at [`ExecutionRequest::file`].
    ///
    /// # Errors
    /// Those of [`ExecutionManager::run`]; a file that cannot be read.
    pub fn execute_file(&self, path: impl AsRef<Path>) -> Result<ExecutionResult> {
        self.execute(ExecutionRequest::file(path)?)
    }

    /// The environments that executions run in.
    pub fn environments(&self) -> EnvironmentManager<'_> {
        EnvironmentManager {
            connection: &self.connection,
        }
    }

    /// Executions: run commands and inspect them.
    pub fn executions(&self) -> ExecutionManager<'_> {
        ExecutionManager {
            connection: &self.connection,
        }
    }

    /// Snapshots: saved states that executions can start from.
    pub fn snapshots(&self) -> SnapshotManager<'_> {
        SnapshotManager {
            connection: &self.connection,
        }
    }

    /// Routes that the real gateway has in addition to the contract.
    pub fn gateway(&self) -> GatewayExtras<'_> {
        GatewayExtras {
            connection: &self.connection,
        }
    }

    /// The health of the server. The request carries no key.
    ///
    /// # Errors
    /// Transport errors.
    pub fn health(&self) -> Result<HealthStatus> {
        let call = Call::new(Method::GET, "/health").anonymous();
        let call = call.within(self.connection.limits.request);
        self.connection.transport.send(&call)?.json()
    }
}

impl fmt::Debug for FaasClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaasClient").field(&self.url()).finish()
    }
}
