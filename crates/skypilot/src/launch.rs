//! The options of a launch.

#[cfg(doc)]
use super::client::SkyPilotClient;
use super::credentials::CloudCredentials;
use super::task::{Envs, Task};
use satellite_core::Result;
use satellite_core::http::Secret;
use serde_json::{Value, json};

/// A cluster to launch, or a task for one that is running.
///
/// ```
/// use satellite_skypilot::{CloudCredentials, Launch};
///
/// let launch = Launch::new("tenant-abc", "run: nvidia-smi\n")
///     .retry_until_up(true)
///     .idle_minutes_to_stop(30)
///     .env("MODEL", "llama")
///     .credentials(CloudCredentials::aws("AKIA…", "secret").region("us-west-2"));
/// assert!(!format!("{launch:?}").contains("secret"));
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is launched until it is passed to the client"]
pub struct Launch {
    pub(super) cluster_name: String,
    task: Task,
    envs: Envs,
    retry_until_up: bool,
    idle_minutes: Option<u32>,
    down: bool,
    dry_run: bool,
    no_setup: bool,
    fast: bool,
    pub(super) credentials: Option<CloudCredentials>,
}

impl Launch {
    /// Runs this task on the cluster of this name, which is created if it does not exist.
    pub fn new(cluster_name: impl Into<String>, task: impl Into<Task>) -> Self {
        Launch {
            cluster_name: cluster_name.into(),
            task: task.into(),
            envs: Envs::new(),
            retry_until_up: false,
            idle_minutes: None,
            down: false,
            dry_run: false,
            no_setup: false,
            fast: false,
            credentials: None,
        }
    }

    /// Waits for capacity and keeps retrying all suitable locations.
    pub fn retry_until_up(mut self, retry: bool) -> Self {
        self.retry_until_up = retry;
        self
    }

    /// Stops the cluster after it has been idle for `minutes`.
    pub fn idle_minutes_to_stop(mut self, minutes: u32) -> Self {
        self.idle_minutes = Some(minutes);
        self
    }

    /// Terminates the cluster instead of stopping it, or after the job.
    pub fn down(mut self, down: bool) -> Self {
        self.down = down;
        self
    }

    /// Only plans: launches nothing.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Skips the task's setup.
    pub fn no_setup(mut self, no_setup: bool) -> Self {
        self.no_setup = no_setup;
        self
    }

    /// Skips steps that a cluster that is already up does not need.
    pub fn fast(mut self, fast: bool) -> Self {
        self.fast = fast;
        self
    }

    /// Sets an environment variable of the task, overriding one of the same name.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.envs.insert(name.into(), value.into());
        self
    }

    /// The cloud account, overriding
    /// [`with_credentials`](SkyPilotClient::with_credentials). The server stores
    /// the credentials with the request and shows them to its owner.
    pub fn credentials(mut self, credentials: CloudCredentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    pub(super) fn body(&self) -> Result<Value> {
        Ok(json!({
            "cluster_name": self.cluster_name,
            "task": self.task.text(&self.envs)?,
            "retry_until_up": self.retry_until_up,
            "idle_minutes_to_autostop": self.idle_minutes,
            "down": self.down,
            "dryrun": self.dry_run,
            "no_setup": self.no_setup,
            "fast": self.fast,
        }))
    }
}
