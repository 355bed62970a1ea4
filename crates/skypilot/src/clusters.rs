//! Operations on clusters: launch, look, start, stop, terminate.

use serde_json::json;

use super::client::{SkyPilotClient, absent};
use super::launch::Launch;
use super::models::{Cluster, Launched};
use super::options::{Clusters, Start, Stop, Terminate};
use super::request::Request;
use satellite_core::Result;
use satellite_core::http::Op;

/// Clusters.
impl SkyPilotClient {
    /// Launches a cluster and the task on it.
    ///
    /// It is sent once. Where the answer is lost, or a gateway answers in the
    /// server's place, the server is asked whether it has the request; only if
    /// that cannot be told either is the error `is_outcome_unknown()`, and
    /// [`requests`](Self::requests) of the cluster will tell later.
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
    /// When it is waited for: `is_invalid()` for an unfit task, which
    /// [`validate`](Self::validate) tells at once, and `is_out_of_capacity()`.
    pub fn launch(&self, launch: &Launch) -> Result<Request<Launched>> {
        let client = self.on_account(&launch.credentials);
        client.submit("/launch", &launch.cluster_name, launch.body()?)
    }

    /// Starts a cluster that was stopped.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// use satellite_skypilot::Start;
    ///
    /// sky.start("llama3-8b-prod")?.wait()?;
    /// sky.start(Start::new("llama3-8b-prod").retry_until_up(true))?.wait()?;
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()` when it is waited for, as with the methods below;
    /// `is_unsupported()` for a cloud that cannot do it.
    pub fn start(&self, start: impl Into<Start>) -> Result<Request> {
        let start = start.into();
        let body = json!({
            "cluster_name": start.cluster_name,
            "retry_until_up": start.retry_until_up,
            "idle_minutes_to_autostop": start.idle_minutes,
            "down": start.down,
        });
        let client = self.on_account(&start.credentials);
        client.submit("/start", &start.cluster_name, body)
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
    /// As [`start`](Self::start).
    pub fn stop(&self, stop: impl Into<Stop>) -> Result<Request> {
        let stop = stop.into();
        let body = json!({ "cluster_name": stop.cluster_name, "graceful": stop.graceful });
        let client = self.on_account(&stop.credentials);
        client.submit("/stop", &stop.cluster_name, body)
    }

    /// Terminates a cluster and deletes its disk.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// use satellite_skypilot::Terminate;
    ///
    /// sky.terminate("llama3-8b-prod")?.wait()?;
    /// sky.terminate(Terminate::new("gone-from-the-cloud").purge(true))?.wait()?;
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`start`](Self::start); `is_forbidden()` where the cluster was launched
    /// with other [credentials](Self::with_credentials).
    pub fn terminate(&self, terminate: impl Into<Terminate>) -> Result<Request> {
        let terminate = terminate.into();
        let body = json!({
            "cluster_name": terminate.cluster_name,
            "purge": terminate.purge,
            "graceful": terminate.graceful,
        });
        let client = self.on_account(&terminate.credentials);
        client.submit("/down", &terminate.cluster_name, body)
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
    /// As [`start`](Self::start).
    pub fn autostop(
        &self,
        cluster_name: &str,
        idle_minutes: Option<u32>,
        down: bool,
    ) -> Result<Request> {
        let minutes = idle_minutes.map_or(-1, i64::from);
        let body = json!({ "cluster_name": cluster_name, "idle_minutes": minutes, "down": down });
        self.submit("/autostop", cluster_name, body)
    }

    /// A cluster, whoever's it is, as the server last saw it.
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
        let named = Clusters::new().name(cluster_name).all_users(true);
        self.clusters(&named)?.into_iter().next().ok_or_else(|| {
            let asked = format!("POST /status at {}", self.url());
            let message = format!("there is no cluster {cluster_name}");
            absent(asked, "ClusterDoesNotExist", &message)
        })
    }

    /// One's own clusters, as the server last saw them. Those of all users:
    /// [`clusters`](Self::clusters) with [`Clusters::all_users`].
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// println!("{} clusters", sky.list_clusters()?.len());
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// Transport errors; a rejected token.
    pub fn list_clusters(&self) -> Result<Vec<Cluster>> {
        self.clusters(&Clusters::new())
    }

    /// The clusters that are asked for.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// use satellite_skypilot::Clusters;
    ///
    /// for cluster in sky.clusters(&Clusters::new().all_users(true))? {
    ///     println!("{} of {}", cluster.name, cluster.user_name);
    /// }
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// Transport errors; a rejected token.
    pub fn clusters(&self, clusters: &Clusters) -> Result<Vec<Cluster>> {
        let names = (!clusters.names.is_empty()).then_some(&clusters.names);
        let body = json!({
            "cluster_names": names,
            "refresh": clusters.refresh.word(),
            "all_users": clusters.all_users,
            // Without this it answers with the private key of each.
            "include_credentials": false,
            "include_handle": false,
        });
        self.ask("/status", Op::Read, body)
    }
}
