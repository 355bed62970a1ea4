//! Clusters: launched, looked at, stopped and taken down.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::client::{SkyPilotClient, absent};
use super::models::{Cluster, Launched};
use super::request::Request;
use super::task::{Envs, Task};
use satellite_core::http::{Op, Secret};
use satellite_core::{Error, Result};

/// A cluster to be launched, or a task for one that runs.
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
#[must_use = "nothing is launched before it is handed to the client"]
pub struct Launch {
    cluster_name: String,
    task: Task,
    envs: Envs,
    retry_until_up: bool,
    idle_minutes: Option<u32>,
    down: bool,
    dry_run: bool,
    no_setup: bool,
    fast: bool,
    credentials: Option<CloudCredentials>,
}

impl Launch {
    /// This task on a cluster of this name, which is made where there is none.
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

    /// Tries all that fits until something is to be had.
    pub fn retry_until_up(mut self, retry: bool) -> Self {
        self.retry_until_up = retry;
        self
    }

    /// Stops the cluster when it has been idle for so many minutes.
    pub fn idle_minutes_to_stop(mut self, minutes: u32) -> Self {
        self.idle_minutes = Some(minutes);
        self
    }

    /// Takes the cluster down in place of stopping it, or after the job.
    pub fn down(mut self, down: bool) -> Self {
        self.down = down;
        self
    }

    /// Decides, and launches nothing.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Leaves the task's setup out.
    pub fn no_setup(mut self, no_setup: bool) -> Self {
        self.no_setup = no_setup;
        self
    }

    /// Leaves out what a cluster that is up does not need again.
    pub fn fast(mut self, fast: bool) -> Self {
        self.fast = fast;
        self
    }

    /// A variable of the task, in place of one of that name in it.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.envs.insert(name.into(), value.into());
        self
    }

    /// On whose account. The server keeps what it is given, and shows it to the
    /// owner of the request.
    pub fn credentials(mut self, credentials: CloudCredentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    fn body(&self, client: &SkyPilotClient) -> Result<Value> {
        let mut body = json!({
            "cluster_name": self.cluster_name,
            "task": self.task.text(&self.envs)?,
            "retry_until_up": self.retry_until_up,
            "idle_minutes_to_autostop": self.idle_minutes,
            "down": self.down,
            "dryrun": self.dry_run,
            "no_setup": self.no_setup,
            "fast": self.fast,
        });
        let mut variables: BTreeMap<&str, String> = client
            .user
            .variables(self.credentials.is_some())
            .into_iter()
            .collect();
        if let Some(credentials) = &self.credentials {
            variables.extend(credentials.variables()?);
        }
        if !variables.is_empty() {
            body["env_vars"] = json!(variables);
        }
        Ok(body)
    }
}

/// The cloud account that a launch is made on.
///
/// ```
/// use satellite_skypilot::CloudCredentials;
///
/// let aws = CloudCredentials::aws("AKIA…", "secret").session_token("token");
/// let azure = CloudCredentials::azure("tenant", "client", "secret", "subscription");
/// # let _ = (aws, azure);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct CloudCredentials {
    variables: Vec<(&'static str, Secret)>,
    refused: Option<&'static str>,
}

impl CloudCredentials {
    /// A key of Amazon's.
    pub fn aws(access_key_id: impl Into<Secret>, secret_access_key: impl Into<Secret>) -> Self {
        Self::of(vec![
            ("AWS_ACCESS_KEY_ID", access_key_id.into()),
            ("AWS_SECRET_ACCESS_KEY", secret_access_key.into()),
        ])
    }

    /// A service principal of Azure's.
    pub fn azure(
        tenant_id: impl Into<Secret>,
        client_id: impl Into<Secret>,
        client_secret: impl Into<Secret>,
        subscription_id: impl Into<Secret>,
    ) -> Self {
        Self::of(vec![
            ("AZURE_TENANT_ID", tenant_id.into()),
            ("AZURE_CLIENT_ID", client_id.into()),
            ("AZURE_CLIENT_SECRET", client_secret.into()),
            ("AZURE_SUBSCRIPTION_ID", subscription_id.into()),
        ])
    }

    /// A key of Google's, which no server takes: a launch with it is refused
    /// with the reason, before anything is sent.
    pub fn gcp(_service_account: impl Into<Secret>) -> Self {
        CloudCredentials {
            variables: Vec::new(),
            refused: Some(
                "credentials of GCP cannot be given with a request: the server reads them from \
                 a file of its own, so log in there (`gcloud auth`)",
            ),
        }
    }

    /// The session token of a temporary key of Amazon's.
    pub fn session_token(mut self, token: impl Into<Secret>) -> Self {
        self.variables.push(("AWS_SESSION_TOKEN", token.into()));
        self
    }

    /// Amazon's region where the task names none.
    pub fn region(mut self, region: impl Into<Secret>) -> Self {
        self.variables.push(("AWS_DEFAULT_REGION", region.into()));
        self
    }

    fn of(variables: Vec<(&'static str, Secret)>) -> Self {
        CloudCredentials {
            variables,
            refused: None,
        }
    }

    fn variables(&self) -> Result<impl Iterator<Item = (&'static str, String)> + '_> {
        if let Some(reason) = self.refused {
            return Err(Error::new(reason));
        }
        let pairs = self.variables.iter();
        Ok(pairs.map(|(name, value)| (*name, value.expose().to_owned())))
    }
}

/// Clusters.
impl SkyPilotClient {
    /// Launches a cluster and the task on it.
    ///
    /// It is sent once. Where the answer is lost, the server is asked whether it
    /// has the request; only if that cannot be told either is the error
    /// `is_outcome_unknown()`, and [`requests`](Self::requests) of the cluster
    /// will tell later.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// use satellite_skypilot::Launch;
    ///
    /// let launched = sky.launch(&Launch::new("mine", "run: nvidia-smi\n"))?.wait()?;
    /// println!("job {:?}", launched.job_id);
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// An unfit task fails when it is waited for; [`validate`](Self::validate)
    /// tells at once.
    pub fn launch(&self, launch: &Launch) -> Result<Request<Launched>> {
        self.submit("/launch", &launch.cluster_name, &launch.body(self)?)
    }

    /// Starts a cluster that was stopped.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// sky.start("llama3-8b-prod")?.wait()?;
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()` when it is waited for, as with the methods below.
    pub fn start(&self, cluster_name: &str) -> Result<Request<Value>> {
        let body = json!({ "cluster_name": cluster_name });
        self.submit("/start", cluster_name, &body)
    }

    /// Stops a cluster; its disk is kept.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// sky.stop("llama3-8b-prod")?.wait()?;
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// Faults on the way.
    pub fn stop(&self, cluster_name: &str) -> Result<Request> {
        let body = json!({ "cluster_name": cluster_name });
        self.submit("/stop", cluster_name, &body)
    }

    /// Takes a cluster down, its disk included.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// sky.terminate("llama3-8b-prod")?.wait()?;
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// Faults on the way.
    pub fn terminate(&self, cluster_name: &str) -> Result<Request> {
        let body = json!({ "cluster_name": cluster_name });
        self.submit("/down", cluster_name, &body)
    }

    /// Takes a cluster down and forgets it even where the cloud fails to: what
    /// it leaves behind may cost on.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// sky.purge("llama3-8b-prod")?.wait()?;
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// Faults on the way.
    pub fn purge(&self, cluster_name: &str) -> Result<Request> {
        let body = json!({ "cluster_name": cluster_name, "purge": true });
        self.submit("/down", cluster_name, &body)
    }

    /// Stops a cluster, or takes it `down`, when it has been idle for so many
    /// minutes; `None`: never.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// sky.autostop("llama3-8b-prod", Some(30), false)?.wait()?;
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// Faults on the way.
    pub fn autostop(
        &self,
        cluster_name: &str,
        idle_minutes: Option<u32>,
        down: bool,
    ) -> Result<Request> {
        let minutes = idle_minutes.map_or(-1, i64::from);
        let body = json!({ "cluster_name": cluster_name, "idle_minutes": minutes, "down": down });
        self.submit("/autostop", cluster_name, &body)
    }

    /// A cluster, as the server last saw it.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// if sky.status("llama3-8b-prod")?.status == "UP" {
    ///     println!("up");
    /// }
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()`.
    pub fn status(&self, cluster_name: &str) -> Result<Cluster> {
        let clusters = self.clusters(Some(cluster_name), Refresh::None)?;
        clusters.into_iter().next().ok_or_else(|| {
            let message = format!("there is no cluster {cluster_name}");
            absent(
                format!("POST /status at {}", self.url()),
                "ClusterDoesNotExist",
                message,
            )
        })
    }

    /// All clusters, as the server last saw them.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// println!("{} clusters", sky.list_clusters()?.len());
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// Faults on the way, a refused token.
    pub fn list_clusters(&self) -> Result<Vec<Cluster>> {
        self.clusters(None, Refresh::None)
    }

    /// One or all clusters, looked at in their clouds as `refresh` says.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// use satellite_skypilot::Refresh;
    ///
    /// let seen_now = sky.clusters(Some("llama3-8b-prod"), Refresh::Force)?;
    /// # let _ = seen_now;
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// Faults on the way, a refused token.
    pub fn clusters(&self, cluster_name: Option<&str>, refresh: Refresh) -> Result<Vec<Cluster>> {
        let body = json!({
            "cluster_names": cluster_name.map(|name| [name]),
            "refresh": refresh.word(),
            // Without this it answers with the private key of each.
            "include_credentials": false,
            "include_handle": false,
        });
        self.ask("/status", Op::Read, &body)
    }
}

/// Whether the server looks at clusters in their clouds before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refresh {
    /// It answers with what it knows.
    #[default]
    None,
    /// It looks at those that may have changed by themselves.
    Auto,
    /// It looks at each.
    Force,
}

impl Refresh {
    fn word(self) -> &'static str {
        match self {
            Refresh::None => "NONE",
            Refresh::Auto => "AUTO",
            Refresh::Force => "FORCE",
        }
    }
}
