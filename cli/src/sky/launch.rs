//! `satellite sky launch`.

use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;

use clap::Args;
use satellite_sdk::compute::skypilot::{
    self, ClusterStatus, Clusters, Launched, Request, SkyPilotClient, Task,
};
use serde_json::json;

use super::jobs::{follow, goes_on};
use super::task::{Entry, TaskOptions};
use super::{Common, is_local};
use crate::interrupt::Interrupt;
use crate::output::{Problem, Progress, confirm, json, line, note};

/// Launches a cluster, if it is not up, and runs a task on it
///
/// The task is a file in SkyPilot's YAML (- for standard input) or a shell command, whose
/// words are joined by spaces, as ssh does. Without
/// --detach-run its log is followed, and the exit code is that of the job.
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite sky launch -c mine task.yaml
  satellite sky launch -c mine --gpus H100:8 --infra aws task.yaml --env EPOCHS=3
  satellite sky launch -c mine --cpus 4+ -i 30 --down -- nvidia-smi -L
  satellite sky launch -c mine -d -y task.yaml
  satellite sky launch --dryrun task.yaml

Ctrl-C ends the wait: the cluster and its job go on.
Exit codes: 0 the job succeeded, 100 it failed, 101 it has not finished, 103 it was
cancelled, 1 the cluster was not launched.")]
pub struct Launch {
    /// Task file, or a shell command after --
    #[arg(value_name = "TASK|COMMAND")]
    entry: Vec<String>,
    /// Name of the cluster; a new one is made up without it
    #[arg(short, long, value_name = "NAME")]
    cluster: Option<String>,
    /// Stops the cluster after it has been idle for this time
    #[arg(short, long, value_name = "MINUTES")]
    idle_minutes_to_autostop: Option<u32>,
    /// Terminates the cluster after the job, or when idle with -i
    #[arg(long)]
    down: bool,
    /// Waits for capacity and keeps trying
    #[arg(short, long)]
    retry_until_up: bool,
    /// Only plans: launches nothing
    #[arg(long)]
    dryrun: bool,
    /// Skips the setup of the task
    #[arg(long)]
    no_setup: bool,
    /// Skips what a cluster that is already up does not need
    #[arg(long)]
    fast: bool,
    /// Does not follow the log of the job
    #[arg(short, long)]
    detach_run: bool,
    /// Does not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    options: TaskOptions,
    #[command(flatten)]
    common: Common,
}

impl Launch {
    pub fn run(self) -> Result<ExitCode, Problem> {
        let client = self.common.client()?;
        let task = self
            .options
            .task(&Entry::of(&self.entry), is_local(&client))?;
        let cluster = self.cluster.clone().unwrap_or_else(made_up_name);
        if !self.yes && !self.dryrun {
            self.ask(&client, &cluster, &task)?;
        }
        let (client, interrupt) = self.common.interruptible()?;
        let starts = || {
            format!(
                "the cluster goes on starting; `satellite sky status {cluster}` shows it and \
                 `satellite sky down {cluster}` removes it"
            )
        };
        let launch = skypilot::Launch::new(cluster.as_str(), task)
            .retry_until_up(self.retry_until_up)
            .down(self.down)
            .dry_run(self.dryrun)
            .no_setup(self.no_setup)
            .fast(self.fast);
        let launch = match self.idle_minutes_to_autostop {
            Some(minutes) => launch.idle_minutes_to_stop(minutes),
            None => launch,
        };
        let request = client.launch(&launch).map_err(|error| {
            interrupt.explain(error, || {
                format!("the server may have begun: `satellite sky status {cluster}` shows it")
            })
        })?;
        note(format_args!(
            "launching {cluster} (request {})",
            request.id()
        ));
        let launched = wait(&request, &interrupt, starts)?;
        let mut document = json!({
            "cluster": cluster,
            "request_id": request.id(),
            "job_id": launched.job_id,
        });
        let code = match launched.job_id {
            Some(job) if !self.detach_run => {
                let running = || goes_on(&cluster, job);
                let code = follow(
                    &client,
                    &interrupt,
                    &cluster,
                    job,
                    self.common.format,
                    running,
                )?;
                document["exit_code"] = code.into();
                code
            }
            job if !self.common.format.json => {
                line(match (self.dryrun, job) {
                    (true, _) => "dry run: nothing was launched".to_owned(),
                    (false, Some(job)) => format!("job {job} runs on {cluster}"),
                    (false, None) => format!("{cluster} is up"),
                })?;
                0
            }
            _ => 0,
        };
        if self.common.format.json {
            json(&document)?;
        }
        Ok(ExitCode::from(code))
    }

    /// Asks, with the price, unless the cluster is up and costs money already.
    fn ask(&self, client: &SkyPilotClient, cluster: &str, task: &Task) -> Result<(), Problem> {
        let named = Clusters::new().name(cluster).all_users(true);
        let known = client.clusters(&named)?;
        let status = known.first().map(|cluster| &cluster.status);
        if status == Some(&ClusterStatus::Up) {
            return Ok(());
        }
        let estimate = client.estimate_cost(task.clone(), 1.0)?;
        let what = if status.is_some() {
            "Restart cluster"
        } else {
            "Launch a new cluster"
        };
        let place = match &estimate.region {
            Some(region) => format!("{} ({region})", estimate.provider),
            None => estimate.provider.clone(),
        };
        let nodes = if estimate.nodes == 1 { "node" } else { "nodes" };
        let machine = match &estimate.accelerators {
            Some(accelerators) => format!("{} with {accelerators}", estimate.instance_type),
            None => estimate.instance_type.clone(),
        };
        let question = format!(
            "{what} {cluster}: {} {nodes} {machine} on {place} for ${:.2} an hour?",
            estimate.nodes, estimate.cost_per_hour
        );
        confirm(question, self.yes)
    }
}

/// Waits for a request; on a terminal its log is the progress.
pub fn wait(
    request: &Request<Launched>,
    interrupt: &Interrupt,
    goes_on: impl Fn() -> String,
) -> Result<Launched, Problem> {
    let mut progress = Progress::new();
    if progress.is_shown() {
        // If it breaks, the wait below still has the result.
        for line in request.log().into_iter().flatten().map_while(Result::ok) {
            if !line.trim().is_empty() {
                progress.show(line.trim());
            }
        }
    }
    let launched = request.wait();
    progress.clear();
    launched.map_err(|error| interrupt.explain(error, goes_on))
}

/// A name that is new with high probability, as from the official client.
fn made_up_name() -> String {
    let random = RandomState::new().hash_one(std::process::id());
    format!("sky-{:06x}", random & 0xff_ffff)
}
