//! Commands on clusters: status, stop, start, down, autostop.

use std::process::ExitCode;

use clap::Args;
use satellite_sdk::Error;
use satellite_sdk::compute::skypilot::{
    self, Cluster, Clusters, Refresh, Request, SkyPilotClient, Terminate,
};
use serde_json::{Value, json};

use super::Common;
use super::names::{Selection, find};
use crate::output::{Problem, Progress, Table, confirm, json, note};
use crate::time::ago;

/// Lists clusters
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite sky status
  satellite sky status 'train-*' --refresh
  satellite sky status --json | jq -r '.[] | select(.status == \"UP\") | .name'

Exits with 1 if a named cluster does not exist.")]
pub struct Status {
    /// Names of clusters, or patterns with * and ?; without any, all of yours
    #[arg(value_name = "CLUSTER")]
    clusters: Vec<String>,
    /// Makes the server query the clouds first
    #[arg(short, long)]
    refresh: bool,
    /// Includes clusters of other users
    #[arg(short = 'u', long)]
    all_users: bool,
    #[command(flatten)]
    common: Common,
}

impl Status {
    pub fn run(self) -> Result<ExitCode, Problem> {
        let (client, interrupt) = self.common.interruptible()?;
        let refresh = if self.refresh {
            Refresh::Force
        } else {
            Refresh::None
        };
        // A name is unique among all users.
        let all_users = self.all_users || !self.clusters.is_empty();
        let query = Clusters::new().refresh(refresh).all_users(all_users);
        let found = find(&client, &self.clusters, query);
        let (clusters, missing) = match found {
            Err(_) if interrupt.is_raised() => {
                return Err(interrupt.stopped("the server may still query the clouds".into()));
            }
            found => found?,
        };
        let documents: Vec<_> = clusters.iter().map(document).collect();
        self.common.format.print(&documents, || {
            match missing.is_empty() || !clusters.is_empty() {
                true => table(&clusters, self.all_users),
                false => String::new(),
            }
        })?;
        match missing.is_empty() {
            true => Ok(ExitCode::SUCCESS),
            false => Err(Problem::new(format_args!(
                "{} at {}",
                match &missing[..] {
                    [name] => format!("cluster {name} does not exist"),
                    names => format!("clusters {} do not exist", names.join(", ")),
                },
                client.url()
            ))),
        }
    }
}

fn table(clusters: &[Cluster], with_user: bool) -> String {
    let titles = [
        "NAME",
        "INFRA",
        "RESOURCES",
        "STATUS",
        "AUTOSTOP",
        "LAUNCHED",
    ];
    let user = with_user.then_some("USER");
    let mut table = Table::new(titles.into_iter().chain(user));
    for cluster in clusters {
        let cells = [
            cluster.name.clone(),
            infra(cluster),
            resources(cluster),
            cluster.status.to_string(),
            autostop(cluster),
            ago(cluster.launched_at),
        ];
        let user = with_user.then(|| cluster.user_name.clone());
        table.row(cells.into_iter().chain(user));
    }
    table.text_or("no clusters")
}

fn infra(cluster: &Cluster) -> String {
    let cloud = cluster.cloud.as_deref().unwrap_or_default();
    match &cluster.region {
        Some(region) => format!("{cloud} ({region})"),
        None => cloud.to_owned(),
    }
}

fn resources(cluster: &Cluster) -> String {
    match (&cluster.resources_str, &cluster.accelerators) {
        (Some(text), _) => text.clone(),
        (None, Some(accelerators)) => format!("{}x({accelerators})", cluster.nodes),
        (None, None) => String::new(),
    }
}

fn autostop(cluster: &Cluster) -> String {
    let action = if cluster.to_down { " (down)" } else { "" };
    match cluster.autostop {
        minutes if minutes < 0 => String::new(),
        minutes => format!("{minutes}m{action}"),
    }
}

fn document(cluster: &Cluster) -> Value {
    json!({
        "name": cluster.name,
        "status": cluster.status.to_string(),
        "cloud": cluster.cloud,
        "region": cluster.region,
        "resources": cluster.resources_str,
        "accelerators": cluster.accelerators,
        "nodes": cluster.nodes,
        "autostop_minutes": (cluster.autostop >= 0).then_some(cluster.autostop),
        "autostop_down": cluster.to_down,
        "launched_at": cluster.launched_at,
        "user_name": cluster.user_name,
        "user_hash": cluster.user_hash,
    })
}

/// Options of commands that change clusters.
#[derive(Args)]
struct Change {
    #[command(flatten)]
    selection: Selection,
    /// Does not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

/// What a command does to each cluster, in the forms that its messages need.
struct Verb {
    /// `Terminate`, in the question.
    ask: &'static str,
    /// What follows the names in the question.
    consequence: &'static str,
    /// `terminated`, in the result.
    done: &'static str,
}

impl Change {
    fn run(
        self,
        verb: Verb,
        submit: impl Fn(&SkyPilotClient, &str) -> Result<Request, Error>,
    ) -> Result<ExitCode, Problem> {
        let names = self.selection.names(&self.common.client()?)?;
        if names.is_empty() {
            self.common
                .format
                .print(&json!([]), || "no clusters".to_owned())?;
            return Ok(ExitCode::SUCCESS);
        }
        let list = names.join(", ");
        confirm(
            format_args!("{} {list}{}?", verb.ask, verb.consequence),
            self.yes,
        )?;
        let (client, interrupt) = self.common.interruptible()?;
        let mut progress = Progress::new();
        // Submit all of them first: the server works on them at the same time.
        let requests: Vec<_> = names.iter().map(|name| submit(&client, name)).collect();
        let mut failures = Vec::new();
        let mut documents = Vec::new();
        for (name, request) in names.iter().zip(requests) {
            progress.show(format_args!("{name}: waiting for the server"));
            let result = request.and_then(|request| request.wait());
            progress.clear();
            match result {
                Ok(()) => {
                    documents.push(json!({ "cluster": name, "result": verb.done }));
                    if !self.common.format.json {
                        crate::output::line(format_args!("{name} {}", verb.done))?;
                    }
                }
                Err(error) if interrupt.is_raised() && error.is_stopped() => {
                    return Err(interrupt.stopped(format!(
                        "the server goes on with what it has received; \
                         `satellite sky status {}` shows it",
                        names.join(" ")
                    )));
                }
                Err(error) => {
                    documents.push(json!({ "cluster": name, "error": error.to_string() }));
                    failures.push(error);
                }
            }
        }
        if self.common.format.json {
            json(&documents)?;
        }
        let Some(last) = failures.pop() else {
            return Ok(ExitCode::SUCCESS);
        };
        for failure in failures {
            note(format_args!(
                "error: {}",
                crate::output::visible(&failure.to_string())
            ));
        }
        Err(last.into())
    }
}

/// Stops clusters; their disks are kept
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite sky stop mine
  satellite sky stop 'train-*' --yes

If one of several clusters fails, the others are still stopped, and the exit code is 1.")]
pub struct Stop {
    /// Waits for mounted storage to be written first
    #[arg(long)]
    graceful: bool,
    #[command(flatten)]
    change: Change,
}

impl Stop {
    pub fn run(self) -> Result<ExitCode, Problem> {
        let verb = Verb {
            ask: "Stop",
            consequence: "",
            done: "stopped",
        };
        let graceful = self.graceful;
        self.change.run(verb, |client, name| {
            client.stop(skypilot::Stop::new(name).graceful(graceful))
        })
    }
}

/// Starts stopped clusters
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite sky start mine
  satellite sky start mine --idle-minutes-to-autostop 30 --yes
  satellite sky start --all --retry-until-up")]
pub struct Start {
    /// Stops the cluster after it has been idle for this time
    #[arg(short, long, value_name = "MINUTES")]
    idle_minutes_to_autostop: Option<u32>,
    /// Terminates the cluster instead of stopping it when it is idle
    #[arg(long, requires = "idle_minutes_to_autostop")]
    down: bool,
    /// Waits for capacity and keeps trying
    #[arg(short, long)]
    retry_until_up: bool,
    #[command(flatten)]
    change: Change,
}

impl Start {
    pub fn run(self) -> Result<ExitCode, Problem> {
        let verb = Verb {
            ask: "Start",
            consequence: ", which costs money",
            done: "started",
        };
        self.change.run(verb, |client, name| {
            let start = skypilot::Start::new(name).retry_until_up(self.retry_until_up);
            let start = start.down(self.down);
            client.start(match self.idle_minutes_to_autostop {
                Some(minutes) => start.idle_minutes_to_stop(minutes),
                None => start,
            })
        })
    }
}

/// Terminates clusters and deletes their disks
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite sky down mine
  satellite sky down 'train-*' --yes
  satellite sky down --all

If one of several clusters fails, the others are still terminated, and the exit code is 1.")]
pub struct Down {
    /// Waits for mounted storage to be written first
    #[arg(long)]
    graceful: bool,
    /// Forgets the cluster even if its cloud fails: what is left there may cost money
    #[arg(long)]
    purge: bool,
    #[command(flatten)]
    change: Change,
}

impl Down {
    pub fn run(self) -> Result<ExitCode, Problem> {
        let verb = Verb {
            ask: "Terminate",
            consequence: " and delete all data on it",
            done: "terminated",
        };
        self.change.run(verb, |client, name| {
            client.terminate(
                Terminate::new(name)
                    .graceful(self.graceful)
                    .purge(self.purge),
            )
        })
    }
}

/// Stops or terminates clusters once they are idle
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite sky autostop mine --idle-minutes 30
  satellite sky autostop mine --idle-minutes 30 --down
  satellite sky autostop mine --cancel")]
pub struct Autostop {
    /// The idle time after which a cluster stops
    #[arg(short, long, value_name = "MINUTES", default_value_t = 5)]
    idle_minutes: u32,
    /// Terminates the cluster instead of stopping it
    #[arg(long, conflicts_with = "cancel")]
    down: bool,
    /// Lets the cluster run until it is stopped
    #[arg(long, conflicts_with = "idle_minutes")]
    cancel: bool,
    #[command(flatten)]
    change: Change,
}

impl Autostop {
    pub fn run(self) -> Result<ExitCode, Problem> {
        let verb = match (self.cancel, self.down) {
            (true, _) => Verb {
                ask: "Cancel the autostop of",
                consequence: "",
                done: "does not stop on its own",
            },
            (false, false) => Verb {
                ask: "Set the autostop of",
                consequence: "",
                done: "stops when idle",
            },
            (false, true) => Verb {
                ask: "Set the autodown of",
                consequence: ", which deletes all data when idle",
                done: "is terminated when idle",
            },
        };
        let minutes = (!self.cancel).then_some(self.idle_minutes);
        self.change.run(verb, |client, name| {
            client.autostop(name, minutes, self.down)
        })
    }
}
