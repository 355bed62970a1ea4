//! Jobs on a cluster: submit, inspect, cancel.

use std::collections::BTreeMap;

use serde_json::json;

use super::client::{Deadline, SkyPilotClient};
use super::models::{Job, JobStatus, Launched};
use super::request::Request;
use super::task::{Envs, Task};
use satellite_core::http::Op;
use satellite_core::{Error, Result};

/// Jobs.
impl SkyPilotClient {
    /// Runs a task on a cluster that is up. [`exec`](Self::exec) also waits and
    /// returns the output.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// let job = sky.submit_job("llama3-8b-prod", "run: python train.py\n")?.wait()?;
    /// println!("job {:?}", job.job_id);
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// As with [`launch`](Self::launch).
    pub fn submit_job(
        &self,
        cluster_name: &str,
        task: impl Into<Task>,
    ) -> Result<Request<Launched>> {
        let task = task.into().text(&Envs::new())?;
        let body = json!({ "cluster_name": cluster_name, "task": task });
        self.submit("/exec", cluster_name, body)
    }

    /// The jobs of a cluster, newest first; with `all_users`, also those of other users.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// for job in sky.queue("llama3-8b-prod", false)? {
    ///     println!("{} {}", job.job_id, job.status);
    /// }
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()`; `is_conflict()` if the cluster is not up.
    pub fn queue(&self, cluster_name: &str, all_users: bool) -> Result<Vec<Job>> {
        let body = json!({ "cluster_name": cluster_name, "all_users": all_users });
        self.ask("/queue", Op::Read, body)
    }

    /// The status of jobs; `None` if the job does not exist. Without ids: of the last
    /// job.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// println!("{:?}", sky.job_status("llama3-8b-prod", &[7])?.get(&7));
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()`; `is_conflict()` if the cluster is not up.
    pub fn job_status(
        &self,
        cluster_name: &str,
        job_ids: &[u64],
    ) -> Result<BTreeMap<u64, Option<JobStatus>>> {
        self.job_status_by(self.deadline(self.limits.request), cluster_name, job_ids)
    }

    pub(super) fn job_status_by(
        &self,
        deadline: Deadline,
        cluster_name: &str,
        job_ids: &[u64],
    ) -> Result<BTreeMap<u64, Option<JobStatus>>> {
        let ids = (!job_ids.is_empty()).then_some(job_ids);
        let body = json!({ "cluster_name": cluster_name, "job_ids": ids });
        let by_text: BTreeMap<String, Option<JobStatus>> =
            self.ask_by(deadline, "/job_status", Op::Read, body)?;
        let numbered = by_text.into_iter();
        Ok(numbered
            .filter_map(|(id, status)| Some((id.parse().ok()?, status)))
            .collect())
    }

    /// Cancels jobs.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// sky.cancel_jobs("llama3-8b-prod", &[7])?.wait()?;
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// If `job_ids` is empty; the server would cancel the last job.
    pub fn cancel_jobs(&self, cluster_name: &str, job_ids: &[u64]) -> Result<Request> {
        if job_ids.is_empty() {
            return Err(Error::new("job_ids is empty: name the jobs to cancel"));
        }
        let body = json!({ "cluster_name": cluster_name, "job_ids": job_ids });
        self.submit("/cancel", cluster_name, body)
    }

    /// Cancels all jobs of a cluster.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// sky.cancel_all_jobs("llama3-8b-prod")?.wait()?;
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// Transport errors.
    pub fn cancel_all_jobs(&self, cluster_name: &str) -> Result<Request> {
        let body = json!({ "cluster_name": cluster_name, "job_ids": null, "all": true });
        self.submit("/cancel", cluster_name, body)
    }
}
