//! `satellite faas snapshot`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use satellite_sdk::compute::faas::{FaasClient, Snapshot};
use serde_json::{Value, json};

use super::Common;
use crate::output::{Problem, Table, confirm, note};

/// Manages saved states that code can start from
#[derive(Subcommand)]
pub enum Command {
    Create(Create),
    Restore(Restore),
    List(List),
    Delete(Delete),
}

impl Command {
    pub fn run(self) -> Result<ExitCode, Problem> {
        match self {
            Command::Create(create) => create.run(),
            Command::Restore(restore) => restore.run(),
            Command::List(list) => list.run(),
            Command::Delete(delete) => delete.run(),
        }
    }
}

/// Saves the state of an execution
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite faas snapshot create --execution-id abc123 --name checkpoint-1
  id=$(satellite faas execute --keep --json 'pip install pytest' | jq -r .request_id)
  satellite faas snapshot create --execution-id \"$id\" --name test-base")]
pub struct Create {
    /// The execution, by the request_id of `execute --json`
    #[arg(long, value_name = "ID")]
    execution_id: String,
    /// Name of the snapshot
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    common: Common,
}

impl Create {
    fn run(self) -> Result<ExitCode, Problem> {
        let (client, interrupt) = self.common.interruptible()?;
        let created = client
            .snapshots()
            .create(&self.execution_id, self.name.as_deref());
        let created = created.map_err(|error| {
            interrupt.explain(error, || {
                "the server may create it: `satellite faas snapshot list` shows it".to_owned()
            })
        })?;
        self.common
            .format
            .print(&document(&created), || match &created.name {
                Some(name) => format!("snapshot {name} created ({})", created.id),
                None => format!("snapshot {} created", created.id),
            })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Creates branches from a snapshot and prints their ids
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite faas snapshot restore checkpoint-1
  satellite faas snapshot restore checkpoint-1 --branch 5
  for id in $(satellite faas snapshot restore test-base --branch 3); do
    satellite faas execute --branch \"$id\" pytest &
  done")]
pub struct Restore {
    /// Name or id of the snapshot
    #[arg(value_name = "NAME")]
    snapshot: String,
    /// Number of branches, each with its own state
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    branch: usize,
    #[command(flatten)]
    common: Common,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "expected 1 or more".to_owned())
}

impl Restore {
    fn run(self) -> Result<ExitCode, Problem> {
        let (client, interrupt) = self.common.interruptible()?;
        let id = id_of(&client, &self.snapshot)?;
        let branches = match self.branch {
            1 => client.snapshots().restore(&id).map(|branch| vec![branch]),
            count => client.snapshots().branch(&id, count),
        };
        let branches = branches.map_err(|error| {
            interrupt.explain(error, || "the server may create the branches".to_owned())
        })?;
        let ids: Vec<_> = branches.iter().map(|branch| branch.id()).collect();
        self.common.format.print(&ids, || ids.join("\n"))?;
        if !self.common.format.json && std::io::IsTerminal::is_terminal(&std::io::stdout()) {
            note(format_args!(
                "run code in it: satellite faas execute --branch {} CODE",
                ids[0]
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Lists snapshots
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite faas snapshot list
  satellite faas snapshot list --json | jq -r '.[].id'")]
pub struct List {
    #[command(flatten)]
    common: Common,
}

impl List {
    fn run(self) -> Result<ExitCode, Problem> {
        let (client, _) = self.common.interruptible()?;
        let snapshots = client.snapshots().list()?;
        let documents: Vec<_> = snapshots.iter().map(document).collect();
        self.common.format.print(&documents, || table(&snapshots))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Deletes snapshots; their branches stay
#[derive(Args)]
#[command(after_help = "\
Examples:
  satellite faas snapshot delete checkpoint-1
  satellite faas snapshot delete checkpoint-1 checkpoint-2 --yes")]
pub struct Delete {
    /// Names or ids of the snapshots
    #[arg(value_name = "NAME", required = true)]
    snapshots: Vec<String>,
    /// Does not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    common: Common,
}

impl Delete {
    fn run(self) -> Result<ExitCode, Problem> {
        let list = self.snapshots.join(", ");
        confirm(format_args!("Delete snapshot {list}?"), self.yes)?;
        let (client, _) = self.common.interruptible()?;
        // All names first, so that a wrong one deletes nothing.
        let ids = self.snapshots.iter().map(|name| id_of(&client, name));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        for id in &ids {
            client.snapshots().delete(id)?;
        }
        let document = json!({ "deleted": ids });
        self.common
            .format
            .print(&document, || format!("snapshot {list} deleted"))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The id of the snapshot with this name or id. The server knows snapshots by their ids.
///
/// # Errors
/// If none or several have the name.
fn id_of(client: &FaasClient, name: &str) -> Result<String, Problem> {
    let known = client.snapshots().list()?;
    let named: Vec<_> = known
        .iter()
        .filter(|one| one.name.as_deref() == Some(name))
        .collect();
    match &named[..] {
        [one] => Ok(one.id.clone()),
        [] if known.iter().any(|one| one.id == name) => Ok(name.to_owned()),
        [] => Err(Problem::new(format_args!(
            "no snapshot {name} at {}",
            client.url()
        ))),
        several => {
            let ids: Vec<_> = several.iter().map(|one| one.id.as_str()).collect();
            let ids = ids.join(", ");
            Err(Problem::new(format_args!(
                "several snapshots have the name {name}: use an id: {ids}"
            )))
        }
    }
}

fn table(snapshots: &[Snapshot]) -> String {
    let mut table = Table::new(["ID", "NAME", "EXECUTION", "CREATED", "SIZE"]);
    for snapshot in snapshots {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        table.row([
            snapshot.id.clone(),
            text(&snapshot.name),
            text(&snapshot.container_id),
            text(&snapshot.created_at),
            snapshot
                .size_bytes
                .map_or(String::new(), |bytes| format!("{bytes} B")),
        ]);
    }
    table.text_or("no snapshots")
}

fn document(snapshot: &Snapshot) -> Value {
    json!({
        "id": snapshot.id,
        "name": snapshot.name,
        "execution_id": snapshot.container_id,
        "created_at": snapshot.created_at,
        "size_bytes": snapshot.size_bytes,
    })
}
