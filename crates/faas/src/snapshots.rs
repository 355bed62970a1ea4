//! Snapshots: states to go on from, again and again.

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

/// A state of its own, which executions change one after the other.
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

    /// Runs something in it, and waits for the end.
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
    /// Keeps the state of an execution. It is sent once; after a lost answer
    /// [`list`](Self::list) tells what came of it.
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

    /// Runs a script, and makes a snapshot of the state that it leaves.
    ///
    /// # Errors
    /// A script that fails, with its exit code; `is_unsupported()` where the server
    /// answers without running it, as the real gateway does; those of
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

    /// Goes on from a snapshot.
    ///
    /// # Errors
    /// `is_unsupported()`, `is_not_found()`.
    pub fn restore(&self, snapshot_id: &str) -> Result<Branch> {
        let path = format!("{}/restore", path(snapshot_id));
        let answer = self.connection.post_empty(&path);
        // The real gateway has the route, and says nothing of what it has not.
        let answer = answer.map_err(|error| match error.status() {
            Some(404) => {
                let problem = Problem {
                    class: Class::NotFound,
                    kind: None,
                    message: "there is no such snapshot, or no such route".to_owned(),
                    is_own: true,
                };
                let asked = format!("POST {path} at {}", self.connection.url());
                Error::from_status(asked, 404, problem, None)
            }
            _ => error,
        })?;
        Ok(self.opened(answer.json()?))
    }

    /// Goes on from a snapshot in so many branches, each with a state of its own.
    ///
    /// # Errors
    /// `is_unsupported()`, `is_not_found()`.
    pub fn branch(&self, snapshot_id: &str, count: usize) -> Result<Vec<Branch>> {
        let path = format!("{}/branch", path(snapshot_id));
        let made: Vec<Made> = self
            .connection
            .post(&path, &json!({ "count": count }))?
            .json()?;
        match made.len() == count {
            true => Ok(made.into_iter().map(|made| self.opened(made)).collect()),
            false => {
                let asked = format!("POST {path} at {}", self.connection.url());
                let text = format_args!("made {} branches, not {count}", made.len());
                Err(Error::answer(asked, text))
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

    fn opened(&self, made: Made) -> Branch {
        Branch {
            connection: self.connection.clone(),
            id: made.id,
        }
    }
}

#[derive(Deserialize)]
struct Made {
    #[serde(alias = "execution_id")]
    id: String,
}

const ALL: &str = "/api/v1/snapshots";

fn path(id: &str) -> String {
    format!("{ALL}/{}", escaped(id))
}
