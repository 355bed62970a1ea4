//! Jobs: run on a cluster, looked at, cancelled, and what they print.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{SkyPilotClient, id_of};
use super::logs::readable;
use super::models::{Job, JobStatus, Launched};
use super::request::Request;
use super::task::{Envs, Task};
use satellite_core::client::Stream;
use satellite_core::http::{Call, Fault, Method, Op, Source, behind};
use satellite_core::{Error, Result};

/// Which log, and how much of it.
///
/// ```
/// use satellite_skypilot::Logs;
///
/// let last = Logs::new("llama3-8b-prod").tail(100);
/// let live = Logs::new("llama3-8b-prod").job(7).follow(true);
/// # let _ = (last, live);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Logs {
    cluster_name: String,
    job_id: Option<u64>,
    tail: u64,
    follow: bool,
    is_raw: bool,
    since: bool,
    until: Option<Instant>,
}

impl Logs {
    /// All that the last job of this cluster has printed so far.
    pub fn new(cluster_name: impl Into<String>) -> Self {
        Logs {
            cluster_name: cluster_name.into(),
            job_id: None,
            tail: 0,
            follow: false,
            is_raw: false,
            since: false,
            until: None,
        }
    }

    /// The log of this job.
    pub fn job(mut self, job_id: u64) -> Self {
        self.job_id = Some(job_id);
        self
    }

    /// The last lines alone; 0: all. What begins with a tail is not resumed
    /// when the connection breaks, since the tail is another one by then.
    pub fn tail(mut self, lines: u64) -> Self {
        self.tail = lines;
        self
    }

    /// To the end of the job, as it goes on.
    pub fn follow(mut self, follow: bool) -> Self {
        self.follow = follow;
        self
    }

    /// With colours, and with progress that was overwritten.
    pub fn raw(mut self, raw: bool) -> Self {
        self.is_raw = raw;
        self
    }

    /// From this time on: servers have no such thing, and a log asked for with
    /// it is refused as `is_unsupported()`.
    pub fn since(mut self, _time: &str) -> Self {
        self.since = true;
        self
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() > until)
    }

    fn until(mut self, deadline: Instant) -> Self {
        self.until = Some(deadline);
        self
    }
}

/// Jobs.
impl SkyPilotClient {
    /// Runs a task on a cluster that is up. [`exec`](Self::exec) waits and tells
    /// what came of it.
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
        self.submit("/exec", cluster_name, &body)
    }

    /// The jobs of a cluster, newest first; `all_users`: also those of others.
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
    /// `is_not_found()`; `is_conflict()` where the cluster is not up.
    pub fn queue(&self, cluster_name: &str, all_users: bool) -> Result<Vec<Job>> {
        let body = json!({ "cluster_name": cluster_name, "all_users": all_users });
        self.ask("/queue", Op::Read, &body)
    }

    /// Where jobs stand; of none where there is no such job. Without ids: the
    /// last job.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// println!("{:?}", sky.job_status("llama3-8b-prod", &[7])?.get(&7));
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()`; `is_conflict()` where the cluster is not up.
    pub fn job_status(
        &self,
        cluster_name: &str,
        job_ids: &[u64],
    ) -> Result<BTreeMap<u64, Option<JobStatus>>> {
        let ids = (!job_ids.is_empty()).then_some(job_ids);
        let body = json!({ "cluster_name": cluster_name, "job_ids": ids });
        let by_text: BTreeMap<String, Option<JobStatus>> =
            self.ask("/job_status", Op::Read, &body)?;
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
    /// Where none is named; that would cancel the last one.
    pub fn cancel_jobs(&self, cluster_name: &str, job_ids: &[u64]) -> Result<Request> {
        if job_ids.is_empty() {
            return Err(Error::new("no job to cancel is named"));
        }
        let body = json!({ "cluster_name": cluster_name, "job_ids": job_ids });
        self.submit("/cancel", cluster_name, &body)
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
    /// Faults on the way.
    pub fn cancel_all_jobs(&self, cluster_name: &str) -> Result<Request> {
        let body = json!({ "cluster_name": cluster_name, "job_ids": null, "all": true });
        self.submit("/cancel", cluster_name, &body)
    }

    /// What a job has printed, line by line. A cluster that does not exist shows
    /// itself as the first item, `is_not_found()`.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// use satellite_skypilot::Logs;
    ///
    /// for line in sky.logs(&Logs::new("llama3-8b-prod").tail(100))? {
    ///     println!("{}", line?);
    /// }
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_unsupported()` for [`Logs::since`].
    pub fn logs(&self, logs: &Logs) -> Result<Stream<String>> {
        if logs.since {
            let text = "no server offers logs since a time: ask for a tail of them";
            return Err(Error::unsupported(text));
        }
        let (source, mut id) = self.open_log(logs, 0)?;
        let (client, logs) = (self.clone(), logs.clone());
        let transport = Arc::clone(&self.transport);
        Ok(Stream::new(transport, source, move |broke, delivered| {
            match broke {
                // A failure shows itself only here: the log of it is empty.
                None => client.result(&id).map(|_| None),
                Some(_) if logs.tail == 0 && !logs.is_over() => {
                    let (source, next) = client.open_log(&logs, delivered)?;
                    id = next;
                    Ok(Some(source))
                }
                Some(_) => Ok(None),
            }
        }))
    }

    /// One connection to a log, behind what was delivered, and the request's id.
    fn open_log(&self, logs: &Logs, delivered: u64) -> Result<(Source<String>, String)> {
        let body = json!({
            "cluster_name": logs.cluster_name,
            "job_id": logs.job_id,
            "follow": logs.follow,
            "tail": logs.tail,
        });
        let call = Call::new(Method::POST, "/logs").op(Op::Read).json(&body)?;
        let call = call.within(self.limits.request).streamed(self.limits.idle);
        let answer = self.transport.send(&call)?.ok()?;
        let id = id_of("/logs", &answer)?;
        let (logs, asked) = (logs.clone(), format!("POST /logs at {}", self.url()));
        let is_raw = logs.is_raw;
        // Heartbeats keep it awake while nothing is printed.
        let lines = answer.into_lines()?.map(move |line| match logs.is_over() {
            true => {
                let text = "not done in time; it may still go on".to_owned();
                Err(Error::from_fault(asked.clone(), Fault::TimedOut, text))
            }
            false => line,
        });
        let lines = behind(readable(lines, is_raw), delivered);
        Ok((Box::new(lines), id))
    }

    pub(super) fn job_log(
        &self,
        cluster: &str,
        job: u64,
        limit: Duration,
    ) -> Result<Stream<String>> {
        let logs = Logs::new(cluster).job(job).follow(true);
        self.logs(&logs.until(Instant::now() + limit))
    }
}
