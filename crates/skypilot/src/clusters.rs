//! Operations on clusters: launch, list, start, stop, terminate.

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
    /// Launches a cluster and runs the task on it.
    ///
    /// The request is sent once. If the response is lost, or a gateway responds instead
    /// of the server, the client asks the server whether it has the request. Only if
    /// that fails too is the error `is_outcome_unknown()`; the cluster's
    /// [`requests`](Self::requests) show the outcome later.
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
    /// From [`Request::wait`]: `is_invalid()` for an invalid task, which
    /// [`validate`](Self::validate) detects at once, and `is_out_of_capacity()`.
    pub fn launch(&self, launch: &Launch) -> Result<Request<Launched>> {
        let client = self.on_account(&launch.credentials);
        client.submit("/launch", &launch.cluster_name, launch.body()?)
    }

    /// Starts a stopped cluster.
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
    /// From [`Request::wait`], as with the methods below: `is_not_found()`, and
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
    /// As [`start`](Self::start); `is_forbidden()` if the cluster was launched
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

    /// Stops a cluster, or terminates it with `down`, after it has been idle for
    /// `idle_minutes`; `None`: never.
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

    /// A cluster of any user, in its last known state.
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
            let request = format!("POST /status at {}", self.url());
            let message = format!("cluster {cluster_name} does not exist");
            absent(request, "ClusterDoesNotExist", &message)
        })
    }

    /// The caller's own clusters, in their last known state. For those of all users use
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

    /// The clusters that match the query.
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
            "refresh": clusters.refresh.as_str(),
            "all_users": clusters.all_users,
            // By default the server returns the private key of each cluster.
            "include_credentials": false,
            "include_handle": false,
        });
        self.ask("/status", Op::Read, body)
    }
}
