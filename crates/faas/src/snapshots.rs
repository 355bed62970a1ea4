//! Snapshots: saved states that executions can start from.

use serde::Deserialize;
use serde_json::json;

use super::connection::Connection;
use super::executions::ExecutionManager;
use super::models::{ExecutionResult, Snapshot};
use super::request::{ExecutionRequest, Mode};
use satellite_core::http::{Class, Problem, escaped};
use satellite_core::{Error, Result};

/// Snapshots of a [`FaasClient`](crate::FaasClient).
///
/// ```no_run
/// use satellite_faas::FaasClient;
///
/// let faas = FaasClient::from_env()?;
/// let base = faas.snapshots().create_from_script("pip install pytest", "test-base")?;
/// for branch in faas.snapshots().branch(&base.id, 10)? {
///     branch.execute("pytest")?.ok()?;
/// }
/// # Ok::<(), satellite_faas::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct SnapshotManager<'a> {
    pub(super) connection: &'a Connection,
}

/// A separate state, which its executions change one after the other.
#[derive(Debug, Clone)]
pub struct Branch {
    connection: Connection,
    id: String,
}

impl Branch {
    /// Its id, for [`ExecutionRequest::branch_from`].
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Runs a command in the branch and waits for the result.
    ///
    /// # Errors
    /// Those of [`ExecutionManager::run`].
    pub fn execute(&self, request: impl Into<ExecutionRequest>) -> Result<ExecutionResult> {
        let executions = ExecutionManager {
            connection: &self.connection,
        };
        executions.run(request.into().branch_from(&self.id))
    }
}

impl SnapshotManager<'_> {
    /// Saves the state of an execution. The request is sent once; after a lost
    /// response, [`list`](Self::list) shows whether the snapshot was created.
    ///
    /// # Errors
    /// `is_unsupported()`, `is_not_found()`.
    pub fn create(&self, execution_id: &str, name: Option<&str>) -> Result<Snapshot> {
        let mut body = json!({ "container_id": execution_id });
        if let Some(name) = name {
            body["name"] = name.into();
        }
        self.connection.post(ALL, &body)?.json()
    }

    /// Runs a script and takes a snapshot of the resulting state.
    ///
    /// # Errors
    /// A script that fails, with its exit code; `is_unsupported()` if the server
    /// responds without running it, as the real gateway does; those of
    /// [`create`](Self::create).
    pub fn create_from_script(
        &self,
        script: impl Into<ExecutionRequest>,
        name: &str,
    ) -> Result<Snapshot> {
        let executions = ExecutionManager {
            connection: self.connection,
        };
        let result = executions.run(script.into().mode(Mode::Checkpointed))?;
        self.create(&result.ok()?.request_id, Some(name))
    }

    /// Creates a branch from a snapshot.
    ///
    /// # Errors
    /// `is_unsupported()`, `is_not_found()`.
    pub fn restore(&self, snapshot_id: &str) -> Result<Branch> {
        let path = format!("{}/restore", path(snapshot_id));
        let response = self.connection.post_empty(&path);
        // The real gateway has the route, but gives no reason for a missing snapshot.
        let response = response.map_err(|error| match error.status() {
            Some(404) => {
                let problem = Problem {
                    class: Class::NotFound,
                    kind: None,
                    message: "the snapshot or the route does not exist".to_owned(),
                    is_own: true,
                };
                let request = format!("POST {path} at {}", self.connection.url());
                Error::from_status(request, 404, problem, None)
            }
            _ => error,
        })?;
        Ok(self.new_branch(response.json()?))
    }

    /// Creates `count` branches from a snapshot, each with its own state.
    ///
    /// # Errors
    /// `is_unsupported()`, `is_not_found()`.
    pub fn branch(&self, snapshot_id: &str, count: usize) -> Result<Vec<Branch>> {
        let path = format!("{}/branch", path(snapshot_id));
        let created: Vec<CreatedBranch> = self
            .connection
            .post(&path, &json!({ "count": count }))?
            .json()?;
        match created.len() == count {
            true => Ok(created
                .into_iter()
                .map(|created| self.new_branch(created))
                .collect()),
            false => {
                let request = format!("POST {path} at {}", self.connection.url());
                let text = format!("created {} branches instead of {count}", created.len());
                Err(Error::answer(request, text))
            }
        }
    }

    /// All snapshots.
    ///
    /// # Errors
    /// `is_unsupported()`.
    pub fn list(&self) -> Result<Vec<Snapshot>> {
        self.connection.get(ALL)
    }

    /// A snapshot.
    ///
    /// # Errors
    /// `is_unsupported()`, `is_not_found()`.
    pub fn get(&self, id: &str) -> Result<Snapshot> {
        self.connection.get(&path(id))
    }

    /// Deletes a snapshot; its branches stay.
    ///
    /// # Errors
    /// `is_unsupported()`, `is_not_found()`.
    pub fn delete(&self, id: &str) -> Result<()> {
        self.connection.delete(&path(id))
    }

    fn new_branch(&self, created: CreatedBranch) -> Branch {
        Branch {
            connection: self.connection.clone(),
            id: created.id,
        }
    }
}

#[derive(Deserialize)]
struct CreatedBranch {
    #[serde(alias = "execution_id")]
    id: String,
}

const ALL: &str = "/api/v1/snapshots";

fn path(id: &str) -> String {
    format!("{ALL}/{}", escaped(id))
}
