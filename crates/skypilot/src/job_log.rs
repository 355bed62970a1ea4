//! What jobs print, line by line.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde_json::json;

use super::client::{Deadline, SkyPilotClient, absent, id_of};
use super::credentials::CloudCredentials;
use super::logs::readable;
use super::models::RequestRecord;
use satellite_core::client::{Ended, Stream};
use satellite_core::http::{Fault, Op, Source, behind};
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
    credentials: Option<CloudCredentials>,
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
            credentials: None,
        }
    }

    /// The log of this job.
    pub fn job(mut self, job_id: u64) -> Self {
        self.job_id = Some(job_id);
        self
    }

    /// The last lines only; 0: all.
    pub fn tail(mut self, lines: u64) -> Self {
        self.tail = lines;
        self
    }

    /// To the end of the job, as it goes on.
    pub fn follow(mut self, follow: bool) -> Self {
        self.follow = follow;
        self
    }

    /// With colours, and with progress bars that were overwritten.
    pub fn raw(mut self, raw: bool) -> Self {
        self.is_raw = raw;
        self
    }

    /// Lines since this time. No server has this: a log asked for with it is
    /// refused as `is_unsupported()`, before anything is sent.
    pub fn since(mut self, _time: &str) -> Self {
        self.since = true;
        self
    }

    /// On whose cloud account: those that the cluster was launched with.
    pub fn credentials(mut self, credentials: CloudCredentials) -> Self {
        self.credentials = Some(credentials);
        self
    }
}

/// The lines of a job, as they come.
///
/// Reading it waits for the next line. A connection that breaks is opened again,
/// with no line lost and none doubled. The server cannot be asked for the lines
/// behind a certain one, so the log is read again from its start and what was
/// handed out is skipped. A log that began with a tail is opened again only
/// while no line of it has come: later its tail would be another one.
///
/// ```no_run
/// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
/// use satellite_skypilot::Logs;
///
/// let mut log = sky.logs(&Logs::new("llama3-8b-prod").job(7).follow(true))?;
/// for line in &mut log {
///     println!("{}", line?);
/// }
/// assert_eq!(log.exit_code(), Some(0));
/// # Ok::<(), satellite_skypilot::Error>(())
/// ```
pub struct JobLog {
    lines: Stream<String>,
    exit_code: Arc<OnceLock<i32>>,
}

impl JobLog {
    /// The server's exit code for the job, known when the log is complete: 0 it
    /// succeeded, 100 it failed, 101 it has not finished, 103 it was cancelled.
    /// That of the job's own command is told by
    /// [`exec`](SkyPilotClient::exec) only.
    pub fn exit_code(&self) -> Option<i32> {
        self.exit_code.get().copied()
    }

    /// Why the log is over; `None` while it goes on.
    pub fn ended(&self) -> Option<Ended> {
        self.lines.ended()
    }
}

impl Iterator for JobLog {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        self.lines.next()
    }
}

impl fmt::Debug for JobLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobLog")
            .field("lines", &self.lines)
            .field("exit_code", &self.exit_code())
            .finish()
    }
}

/// The server's exit code for a job that does not exist.
const NOT_FOUND: i64 = 102;

impl SkyPilotClient {
    /// What a job has printed, line by line. A cluster or a job that does not
    /// exist shows itself as the first item, `is_not_found()`.
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
    pub fn logs(&self, logs: &Logs) -> Result<JobLog> {
        self.on_account(&logs.credentials).log_until(logs, None)
    }

    /// The log of a job to its end, which is expected before the deadline.
    pub(super) fn job_log(&self, cluster: &str, job: u64, deadline: Deadline) -> Result<JobLog> {
        let logs = Logs::new(cluster).job(job).follow(true);
        self.log_until(&logs, Some(deadline))
    }

    fn log_until(&self, logs: &Logs, until: Option<Deadline>) -> Result<JobLog> {
        if logs.since {
            let text = "no server offers logs since a time: ask for a tail of them";
            return Err(Error::unsupported(text));
        }
        let (source, mut id) = self.open_log(logs, until, 0)?;
        let (client, logs, transport) = (self.clone(), logs.clone(), Arc::clone(&self.transport));
        let exit_code = Arc::new(OnceLock::new());
        let code = Arc::clone(&exit_code);
        let lines = Stream::new(transport, source, move |broke, delivered| match broke {
            // Only the request tells of a failure, and of the exit code.
            None => {
                let limit = client.limits.request;
                let limit = until.map_or(limit, |until| client.left(until).min(limit));
                let record = client.result(&id, client.deadline(limit))?;
                if let Some(told) = client.exit_code(&logs, record)? {
                    let _ = code.set(told);
                }
                Ok(None)
            }
            Some(_) if logs.tail == 0 || delivered == 0 => {
                let (source, next) = client.open_log(&logs, until, delivered)?;
                id = next;
                Ok(Some(source))
            }
            Some(_) => Ok(None),
        });
        Ok(JobLog { lines, exit_code })
    }

    fn exit_code(&self, logs: &Logs, record: RequestRecord) -> Result<Option<i32>> {
        let asked = format!("{} ({}) at {}", record.name, record.request_id, self.url());
        let code: Option<i64> = self.value(record)?;
        match (code, logs.job_id) {
            (Some(NOT_FOUND), Some(job)) => Err(no_job(asked, &logs.cluster_name, job)),
            (Some(NOT_FOUND), None) => {
                let text = format!("{} has run no job yet", logs.cluster_name);
                Err(absent(asked, "JobDoesNotExist", &text))
            }
            (code, _) => Ok(code.and_then(|code| code.try_into().ok())),
        }
    }

    /// One connection to a log, behind what was delivered, and the request's id.
    fn open_log(
        &self,
        logs: &Logs,
        until: Option<Deadline>,
        delivered: u64,
    ) -> Result<(Source<String>, String)> {
        let body = json!({
            "cluster_name": logs.cluster_name,
            "job_id": logs.job_id,
            "follow": logs.follow,
            "tail": logs.tail,
        });
        let limit = self.limits.request;
        let limit = until.map_or(limit, |until| self.left(until).min(limit));
        let call = self.call("/logs", Op::Read, body)?.within(limit);
        let answer = self
            .transport
            .send(&call.streamed(self.limits.idle))?
            .ok()?;
        let id = id_of("/logs", &answer)?;
        let asked = format!("POST /logs at {}", self.url());
        let (client, logs, is_raw) = (self.clone(), logs.clone(), logs.is_raw);
        let not_there = logs
            .job_id
            .map(|job| (job, format!("Job {job} not found (see `sky queue`).")));
        // Heartbeats keep it awake while nothing is printed.
        let lines = answer.into_lines()?.map(move |line| {
            if until.is_some_and(|until| client.left(until).is_zero()) {
                let text = "not done in time; it may still go on".to_owned();
                let error = Error::from_fault(asked.clone(), Fault::TimedOut, text);
                return Err(error.for_op(Op::Create));
            }
            match (line, &not_there) {
                // A job's own lines bear its name in front.
                (Ok(line), Some((job, text))) if line.trim_end() == text => {
                    Err(no_job(asked.clone(), &logs.cluster_name, *job))
                }
                (line, _) => line,
            }
        });
        Ok((Box::new(behind(readable(lines, is_raw), delivered)), id))
    }
}

fn no_job(asked: String, cluster: &str, job: u64) -> Error {
    let text = format!("there is no job {job} on {cluster}");
    absent(asked, "JobDoesNotExist", &text)
}
