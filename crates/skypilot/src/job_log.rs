//! The logs of jobs, line by line.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde_json::json;

use super::client::{Deadline, SkyPilotClient, absent, id_of};
use super::credentials::CloudCredentials;
use super::exec_output::unmarked;
use super::logs::readable;
use super::models::RequestRecord;
use satellite_core::client::{Ended, Stream};
use satellite_core::http::{Fault, Op, Source, behind};
use satellite_core::{Error, Result};

/// Selects a log and how much of it to read.
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
    /// All output so far of the last job of this cluster.
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

    /// Only the last `lines` lines; 0: all.
    pub fn tail(mut self, lines: u64) -> Self {
        self.tail = lines;
        self
    }

    /// Follows the log until the job ends.
    pub fn follow(mut self, follow: bool) -> Self {
        self.follow = follow;
        self
    }

    /// Keeps colours and overwritten progress bars.
    pub fn raw(mut self, raw: bool) -> Self {
        self.is_raw = raw;
        self
    }

    /// Only lines since this time. No server supports this: the call fails with
    /// `is_unsupported()` before anything is sent.
    pub fn since(mut self, _time: &str) -> Self {
        self.since = true;
        self
    }

    /// The cloud account: the credentials that the cluster was launched with.
    pub fn credentials(mut self, credentials: CloudCredentials) -> Self {
        self.credentials = Some(credentials);
        self
    }
}

/// The lines of a job's log, as a stream.
///
/// Reading blocks until the next line. A broken connection is reopened without lost or
/// duplicate lines. The server cannot resume at a given line, so the client reads the
/// log from the start again and skips the lines that it has already returned. A log
/// with a tail is reopened only before its first line: later the tail would be a
/// different one.
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
    /// The server's exit code for the job, known once the log is complete: 0 it
    /// succeeded, 100 it failed, 101 it has not finished, 103 it was cancelled.
    /// Only [`exec`](SkyPilotClient::exec) returns the exit code of the command
    /// itself.
    pub fn exit_code(&self) -> Option<i32> {
        self.exit_code.get().copied()
    }

    /// Why the log has ended; `None` while it is open.
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
    /// The log of a job, line by line. If the cluster or the job does not exist, the
    /// first item is an error with `is_not_found()`.
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

    /// Follows the log of a job, which has to end before the deadline.
    pub(super) fn job_log(&self, cluster: &str, job: u64, deadline: Deadline) -> Result<JobLog> {
        let logs = Logs::new(cluster).job(job).follow(true);
        self.log_until(&logs, Some(deadline))
    }

    fn log_until(&self, logs: &Logs, until: Option<Deadline>) -> Result<JobLog> {
        if logs.since {
            let text = "no server supports logs since a time: use a tail instead";
            return Err(Error::unsupported(text));
        }
        let (source, mut id) = self.open_log(logs, until, 0)?;
        let (client, logs, transport) = (self.clone(), logs.clone(), Arc::clone(&self.transport));
        let exit_code = Arc::new(OnceLock::new());
        let code = Arc::clone(&exit_code);
        let lines = Stream::new(transport, source, move |error, delivered| match error {
            // Only the request's record has its failure and the exit code.
            None => {
                let limit = client.limits.request;
                let limit = until.map_or(limit, |until| client.left(until).min(limit));
                let record = client.result(&id, client.deadline(limit))?;
                if let Some(found) = client.exit_code(&logs, record)? {
                    let _ = code.set(found);
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
        let request = format!("{} ({}) at {}", record.name, record.request_id, self.url());
        let code: Option<i64> = self.value(record)?;
        match (code, logs.job_id) {
            (Some(NOT_FOUND), Some(job)) => Err(no_job(request, &logs.cluster_name, job)),
            (Some(NOT_FOUND), None) => {
                let text = format!("no job has run on {} yet", logs.cluster_name);
                Err(absent(request, "JobDoesNotExist", &text))
            }
            (code, _) => Ok(code.and_then(|code| code.try_into().ok())),
        }
    }

    /// One connection to a log, which skips delivered lines, and the request's id.
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
        let response = self
            .transport
            .send(&call.streamed(self.limits.idle))?
            .ok()?;
        let id = id_of("/logs", &response)?;
        let request = format!("POST /logs at {}", self.url());
        let (client, logs, is_raw) = (self.clone(), logs.clone(), logs.is_raw);
        let not_found_line = logs
            .job_id
            .map(|job| (job, format!("Job {job} not found (see `sky queue`).")));
        // Heartbeats wake up this loop while the job prints nothing.
        let lines = response.into_lines()?.map(move |line| {
            if until.is_some_and(|until| client.left(until).is_zero()) {
                let text = "not done in time; it may still be running".to_owned();
                let error = Error::from_fault(request.clone(), Fault::TimedOut, text);
                return Err(error.for_op(Op::Create));
            }
            match (line, &not_found_line) {
                // A job's own lines start with its name.
                (Ok(line), Some((job, text))) if line.trim_end() == text => {
                    Err(no_job(request.clone(), &logs.cluster_name, *job))
                }
                (line, _) => line,
            }
        });
        // Only the client itself reads the marks of a command.
        let is_for_people = until.is_none();
        let lines = readable(lines, is_raw).map(move |line| match is_for_people {
            true => line.map(|line| unmarked(&line)),
            false => line,
        });
        Ok((Box::new(behind(lines, delivered)), id))
    }
}

fn no_job(request: String, cluster: &str, job: u64) -> Error {
    let text = format!("job {job} does not exist on {cluster}");
    absent(request, "JobDoesNotExist", &text)
}
