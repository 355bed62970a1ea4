//! The real gateway's routes that are not in the contract.

use serde_json::{Value, json};

use super::connection::{Connection, execution_path};
use super::executions::ExecutionManager;
use super::models::{ExecutionResult, Instance};
use super::request::{ExecutionRequest, Runtime};
use satellite_core::http::escaped;
use satellite_core::{Error, Result};

/// Routes of the real gateway that other servers of the family may lack.
///
/// ```no_run
/// use satellite_faas::FaasClient;
///
/// let faas = FaasClient::from_env()?;
/// faas.gateway().prewarm("alpine:latest", 3, None)?;
/// let built = faas.execute("make")?;
/// let tested = faas.gateway().fork_execution(&built.request_id, "make test")?;
/// # let _ = tested;
/// # Ok::<(), satellite_faas::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct GatewayExtras<'a> {
    pub(super) connection: &'a Connection,
}

impl GatewayExtras<'_> {
    /// Runs a command twice, as two variants that the server chooses.
    ///
    /// The current real gateway runs neither: it requires a parent, which this route
    /// cannot name, and returns an empty list.
    /// [`fork_execution`](Self::fork_execution) names the parent.
    ///
    /// # Errors
    /// Those of [`ExecutionManager::run`];
    /// `is_unsupported()` for an empty list: no variant ran.
    pub fn fork(&self, request: impl Into<ExecutionRequest>) -> Result<Vec<ExecutionResult>> {
        let (route, request) = ("/api/v1/fork", request.into().checked(false));
        let (body, _) = request.body(self.connection.dialect)?;
        let results: Vec<_> = self.executions().wait(route, &request, &body)?;
        match results.is_empty() {
            true => Err(Error::unsupported(format_args!(
                "POST {route} at {}: returned an empty list: no variant ran",
                self.connection.url()
            ))),
            false => Ok(results),
        }
    }

    /// Runs a command as a fork of an execution.
    ///
    /// # Errors
    /// Those of [`ExecutionManager::run`].
    pub fn fork_execution(
        &self,
        id: &str,
        request: impl Into<ExecutionRequest>,
    ) -> Result<ExecutionResult> {
        let route = format!("{}/fork", execution_path(id));
        let executions = self.executions();
        executions.run_at(&route, &request.into())
    }

    /// Creates a persistent container.
    ///
    /// # Errors
    /// `is_unsupported()`.
    pub fn create_instance(&self, image: &str, name: Option<&str>) -> Result<Instance> {
        let body = json!({ "image": image, "name": name });
        self.connection.post(INSTANCES, &body)?.json()
    }

    /// All persistent containers.
    ///
    /// # Errors
    /// `is_unsupported()`.
    pub fn instances(&self) -> Result<Vec<Instance>> {
        self.connection.get(INSTANCES)
    }

    /// A persistent container.
    ///
    /// # Errors
    /// `is_unsupported()`: the current gateway always returns 404.
    pub fn instance(&self, id: &str) -> Result<Instance> {
        self.connection.get(&format!("{INSTANCES}/{}", escaped(id)))
    }

    /// Runs a command in a persistent container.
    ///
    /// # Errors
    /// `is_unsupported()`: the current gateway always returns 501.
    pub fn exec(&self, id: &str, request: impl Into<ExecutionRequest>) -> Result<ExecutionResult> {
        let route = format!("{INSTANCES}/{}/exec", escaped(id));
        let executions = self.executions();
        executions.run_at(&route, &request.into())
    }

    /// Stops a persistent container.
    ///
    /// # Errors
    /// `is_unsupported()`.
    pub fn stop_instance(&self, id: &str) -> Result<()> {
        let route = format!("{INSTANCES}/{}/stop", escaped(id));
        self.connection.post_empty(&route).map(drop)
    }

    /// Asks the gateway to keep `count` containers of an image ready.
    ///
    /// # Errors
    /// `is_unsupported()`.
    pub fn prewarm(&self, image: &str, count: usize, runtime: Option<Runtime>) -> Result<()> {
        let mut body = json!({ "image": image, "count": count });
        if let Some(runtime) = runtime {
            body["runtime"] = runtime.as_str().into();
        }
        self.connection.post("/api/v1/prewarm", &body).map(drop)
    }

    /// The images for which the gateway keeps containers ready.
    ///
    /// # Errors
    /// `is_unsupported()`.
    pub fn pools(&self) -> Result<Value> {
        self.connection.get("/api/v1/pools")
    }

    /// The gateway's metrics, as it returns them.
    ///
    /// # Errors
    /// `is_unsupported()`.
    pub fn metrics(&self) -> Result<Value> {
        self.connection.get("/api/v1/metrics")
    }

    fn executions(&self) -> ExecutionManager<'_> {
        ExecutionManager {
            connection: self.connection,
        }
    }
}

const INSTANCES: &str = "/api/v1/instances";
