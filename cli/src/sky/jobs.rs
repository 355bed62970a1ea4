//! Commands on jobs: logs, queue, cancel.

use std::process::ExitCode;

use clap::Args;
use satellite_sdk::compute::skypilot::{self, ClusterStatus, Job, JobStatus, SkyPilotClient};
use serde_json::{Value, json};

use super::Common;
use super::names::find;
use crate::interrupt::Interrupt;
use crate::output::{Format, Problem, Progress, Table, confirm, line, note};
use crate::time::{ago, short};

/// Prints the log of a job
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite sky logs mine
  satellite sky logs mine 3 -f
  satellite sky logs mine --tail 100
  satellite sky logs mine 3 --status

With -f and with --status the exit code is that of the job: 0 it succeeded, 100 it failed,
101 it has not finished, 103 it was cancelled. Ctrl-C ends the log: the job goes on.")]
pub struct Logs {
    /// Name of the cluster
    cluster: String,
    /// Number of the job; the last one without it
    job: Option<u64>,
    /// Follows the log until the job ends
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "LINES")]
    tail: Option<u64>,
    /// Prints the status of the job instead of its log
    #[arg(long, conflicts_with_all = ["follow", "tail"])]
    status: bool,
    #[command(flatten)]
    common: Common,
}

impl Logs {
    pub fn run(self) -> Result<ExitCode, Problem> {
        let (client, interrupt) = self.common.interruptible()?;
        if self.status {
            return self.print_status(&client);
        }
        let logs = skypilot::Logs::new(&self.cluster).follow(self.follow);
        let logs = logs.tail(self.tail.unwrap_or(0));
        let logs = match self.job {
            Some(job) => logs.job(job),
            None => logs,
        };
        let job = self.job.map_or(String::new(), |job| format!(" {job}"));
        let goes_on = || {
            let name = &self.cluster;
            format!("the job goes on; `satellite sky logs {name}{job} -f` follows it again")
        };
        let print = |text: String| {
            self.common
                .format
                .item(&json!({ "line": text }), || text.clone())
        };
        let code = print_log(&client, &interrupt, &logs, goes_on, print)?;
        Ok(ExitCode::from(if self.follow { code } else { 0 }))
    }

    fn print_status(&self, client: &SkyPilotClient) -> Result<ExitCode, Problem> {
        let jobs: Vec<u64> = self.job.into_iter().collect();
        let statuses = client.job_status(&self.cluster, &jobs)?;
        let found = statuses
            .into_iter()
            .find_map(|(id, status)| Some((id, status?)));
        let Some((id, status)) = found else {
            let name = &self.cluster;
            return Err(Problem::new(match self.job {
                Some(job) => format!("job {job} does not exist on {name} at {}", client.url()),
                None => format!("no job has run on {name} at {}", client.url()),
            }));
        };
        let document = json!({
            "cluster": self.cluster,
            "job_id": id,
            "status": status.to_string(),
        });
        self.common
            .format
            .print(&document, || format!("job {id}: {status}"))?;
        Ok(ExitCode::from(code_of(&status)))
    }
}

/// The exit codes of the server's own client.
fn code_of(status: &JobStatus) -> u8 {
    match status {
        JobStatus::Succeeded => 0,
        JobStatus::Cancelled => 103,
        status if status.is_final() => 100,
        _ => 101,
    }
}

/// Follows the log of a job and returns its exit code. With JSON the log goes to standard
/// error, because standard output is for the result.
pub fn follow(
    client: &SkyPilotClient,
    interrupt: &Interrupt,
    cluster: &str,
    job: u64,
    format: Format,
    goes_on: impl FnOnce() -> String,
) -> Result<u8, Problem> {
    let logs = skypilot::Logs::new(cluster).job(job).follow(true);
    print_log(client, interrupt, &logs, goes_on, |text| {
        match format.json {
            true => {
                note(text);
                Ok(())
            }
            false => line(text),
        }
    })
}

fn print_log(
    client: &SkyPilotClient,
    interrupt: &Interrupt,
    logs: &skypilot::Logs,
    goes_on: impl FnOnce() -> String,
    print: impl Fn(String) -> Result<(), Problem>,
) -> Result<u8, Problem> {
    let mut log = match client.logs(logs) {
        Ok(log) => log,
        Err(error) => return Err(interrupt.explain(error, goes_on)),
    };
    for text in &mut log {
        match text {
            Ok(text) => print(text)?,
            Err(error) => return Err(interrupt.explain(error, goes_on)),
        }
    }
    let code = log.exit_code().unwrap_or(0);
    Ok(u8::try_from(code).unwrap_or(1))
}

/// What to say about a job after Ctrl-C.
pub fn goes_on(cluster: &str, job: u64) -> String {
    format!(
        "job {job} on {cluster} goes on; `satellite sky logs {cluster} {job} -f` follows it and \
         `satellite sky cancel {cluster} {job}` ends it"
    )
}

/// Lists the jobs of clusters
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite sky queue mine
  satellite sky queue mine --skip-finished --json
  satellite sky queue            # all of your clusters that are up")]
pub struct Queue {
    /// Names of clusters, or patterns with * and ?; without any, all of yours that are up
    #[arg(value_name = "CLUSTER")]
    clusters: Vec<String>,
    /// Only jobs that have not ended
    #[arg(short, long)]
    skip_finished: bool,
    /// Includes jobs of other users
    #[arg(short = 'u', long)]
    all_users: bool,
    #[command(flatten)]
    common: Common,
}

impl Queue {
    pub fn run(self) -> Result<ExitCode, Problem> {
        let (client, _) = self.common.interruptible()?;
        let names = self.names(&client)?;
        let mut all = Vec::new();
        for name in names {
            let mut jobs = client.queue(&name, self.all_users)?;
            jobs.retain(|job| !(self.skip_finished && job.status.is_final()));
            all.extend(jobs.into_iter().map(|job| (name.clone(), job)));
        }
        let documents: Vec<_> = all.iter().map(document).collect();
        self.common.format.print(&documents, || table(&all))?;
        Ok(ExitCode::SUCCESS)
    }

    /// A name is not looked up: the server says if it does not exist.
    fn names(&self, client: &SkyPilotClient) -> Result<Vec<String>, Problem> {
        let is_pattern = |name: &String| name.contains(['*', '?']);
        if !self.clusters.is_empty() && !self.clusters.iter().any(is_pattern) {
            return Ok(self.clusters.clone());
        }
        let (found, missing) = find(client, &self.clusters, skypilot::Clusters::new())?;
        if let Some(name) = missing.first() {
            return Err(Problem::new(format_args!("no cluster matches {name}")));
        }
        let is_up = |status: &ClusterStatus| *status == ClusterStatus::Up;
        let found = found
            .into_iter()
            .filter(|one| !self.clusters.is_empty() || is_up(&one.status));
        Ok(found.map(|cluster| cluster.name).collect())
    }
}

fn text<'a>(job: &'a Job, name: &str) -> &'a str {
    job.extra
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A time of a job; 0 if it has none.
fn time(job: &Job, name: &str) -> f64 {
    let time = job.extra.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    time.max(0.0)
}

fn table(jobs: &[(String, Job)]) -> String {
    let titles = [
        "CLUSTER",
        "JOB",
        "NAME",
        "USER",
        "SUBMITTED",
        "STARTED",
        "DURATION",
        "RESOURCES",
        "STATUS",
    ];
    let mut table = Table::new(titles);
    for (cluster, job) in jobs {
        let (begun, ended) = (time(job, "start_at"), time(job, "end_at"));
        let duration = match (begun > 0.0, ended > 0.0) {
            (true, true) => short(ended - begun),
            (true, false) => ago(begun).trim_end_matches(" ago").to_owned(),
            _ => String::new(),
        };
        table.row([
            cluster.clone(),
            job.job_id.to_string(),
            job.job_name.clone().unwrap_or_default(),
            text(job, "username").to_owned(),
            ago(time(job, "submitted_at")),
            ago(begun),
            duration,
            text(job, "resources").to_owned(),
            job.status.to_string(),
        ]);
    }
    table.text_or("no jobs")
}

fn document((cluster, job): &(String, Job)) -> Value {
    let time = |name| Some(time(job, name)).filter(|time| *time > 0.0);
    json!({
        "cluster": cluster,
        "job_id": job.job_id,
        "job_name": job.job_name,
        "status": job.status.to_string(),
        "user_name": text(job, "username"),
        "resources": text(job, "resources"),
        "submitted_at": time("submitted_at"),
        "started_at": time("start_at"),
        "ended_at": time("end_at"),
    })
}

/// Cancels jobs
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite sky cancel mine 3
  satellite sky cancel mine 3 4 5 --yes
  satellite sky cancel mine --all")]
pub struct Cancel {
    /// Name of the cluster
    cluster: String,
    /// Numbers of the jobs
    #[arg(value_name = "JOB", required_unless_present = "all")]
    jobs: Vec<u64>,
    /// All of your jobs on the cluster
    #[arg(short, long, conflicts_with = "jobs")]
    all: bool,
    /// Does not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

impl Cancel {
    pub fn run(self) -> Result<ExitCode, Problem> {
        let name = &self.cluster;
        let ids: Vec<_> = self.jobs.iter().map(u64::to_string).collect();
        let what = match (self.all, &ids[..]) {
            (true, _) => "all jobs".to_owned(),
            (false, [id]) => format!("job {id}"),
            (false, ids) => format!("jobs {}", ids.join(", ")),
        };
        confirm(format_args!("Cancel {what} on {name}?"), self.yes)?;
        let (client, interrupt) = self.common.interruptible()?;
        let request = match self.all {
            true => client.cancel_all_jobs(name),
            false => client.cancel_jobs(name, &self.jobs),
        };
        let mut progress = Progress::new();
        progress.show(format_args!("cancelling {what} on {name}"));
        let result = request.and_then(|request| request.wait());
        progress.clear();
        result.map_err(|error| {
            interrupt.explain(error, || {
                format!("the server may go on; `satellite sky queue {name}` shows the jobs")
            })
        })?;
        let document = json!({ "cluster": name, "cancelled": match self.all {
            true => json!("all"),
            false => json!(self.jobs),
        }});
        self.common
            .format
            .print(&document, || format!("{what} on {name} cancelled"))?;
        Ok(ExitCode::SUCCESS)
    }
}
