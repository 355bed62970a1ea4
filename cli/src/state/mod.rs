//! The state of processors: read, replaced and exported, in any store.

mod files;
mod output;
mod place;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use satellite_sdk::state::{Content, Snapshot, StateEditor, Stored, WhenHeld, is_held};
use satellite_sdk::{Error, Exit, Result};
use serde_json::value::RawValue;

use files::{print, read_json, write_file};
use place::Place;

/// The schema version of a first state.
const FIRST_SCHEMA: u32 = 1;

const EXAMPLES: &str = "\
Examples:
  satellite state get my-app                          # of this pod's cluster, or ./dory-state
  satellite state get my-app --folder /var/lib/app    # of a folder
  satellite state history my-app --configmap --namespace shop --kubernetes http://127.0.0.1:8001
                                                      # beside `kubectl proxy`
  satellite state put my-app new.json                 # refused while a process holds the state
  satellite state put my-app new.json --ask           # asks the holder to hand over first
  satellite state restore my-app 41                   # generation 41 becomes the newest again
  satellite state export my-app -o state.json
  satellite state export my-app --files ./restored    # the files of a sidecar's folder

The store is that of the processor: DORY_STATE_BACKEND (configmap, pvc, s3, local) with
DORY_STATE_DIR, DORY_STATE_PVC_MOUNT, DORY_STATE_S3_BUCKET, DORY_STATE_S3_PREFIX,
DORY_STATE_S3_ENDPOINT, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and
AWS_REGION, or DORY_KUBERNETES_URL and DORY_KUBERNETES_ACCOUNT, unless --folder, --configmap
or --s3 says otherwise.

Exit codes: 0; 1 when it failed; 3 when there is no such state; 4 when another process holds
the state, and nothing was changed; 78 for wrong settings.";

/// Reads, replaces and exports the state of a processor, in any store
///
/// Reading never affects the process that holds the state. Writing takes the lease as a
/// new release of the processor does, so no save of a running process is ever overwritten.
#[derive(Subcommand, Debug)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// Prints the newest state, and on stderr who saved it
    #[command(after_help = EXAMPLES)]
    Get(Get),
    /// Replaces the state, as a new generation
    #[command(after_help = EXAMPLES)]
    Put(Put),
    /// Lists the stored generations: writer, epoch, time, size
    #[command(after_help = EXAMPLES)]
    History(History),
    /// Makes an older generation the newest again
    #[command(after_help = EXAMPLES)]
    Restore(Restore),
    /// Writes the state as plain JSON, or the files of a sidecar's folder
    #[command(after_help = EXAMPLES)]
    Export(Export),
}

#[derive(Args, Debug)]
pub struct Get {
    #[command(flatten)]
    place: Place,
    /// This generation instead of the newest
    #[arg(long, value_name = "NUMBER")]
    generation: Option<u64>,
    /// The state with who saved it, as one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub struct Put {
    #[command(flatten)]
    place: Place,
    /// The JSON of the new state; - for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Its schema version, if it is not that of the stored state
    #[arg(long, value_name = "NUMBER")]
    schema: Option<u32>,
    #[command(flatten)]
    writing: Writing,
}

#[derive(Args, Debug)]
pub struct Restore {
    #[command(flatten)]
    place: Place,
    /// The generation, from `satellite state history`
    #[arg(value_name = "GENERATION")]
    generation: u64,
    #[command(flatten)]
    writing: Writing,
}

#[derive(Args, Debug)]
pub struct History {
    #[command(flatten)]
    place: Place,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub struct Export {
    #[command(flatten)]
    place: Place,
    /// This generation instead of the newest
    #[arg(long, value_name = "NUMBER")]
    generation: Option<u64>,
    /// Where to write the JSON; - for stdout
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Write the files of a sidecar's folder to this new or empty folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    files: Option<PathBuf>,
}

/// How a state is taken from its holder.
#[derive(Args, Debug)]
struct Writing {
    /// Ask the process that holds the state to hand it over; it stops, and has the new
    /// state when it starts again
    #[arg(long)]
    ask: bool,
    /// Wait this long for the holder to end or its lease to expire [default: 0, with --ask
    /// 60]
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
    /// Write only if this is the newest generation
    #[arg(long, value_name = "NUMBER")]
    if_generation: Option<u64>,
    /// For programs
    #[arg(long)]
    json: bool,
}

impl Command {
    /// Runs the command.
    pub fn run(self) -> ExitCode {
        satellite_sdk::log_to_stderr();
        let done = match self {
            Command::Get(get) => get.run(),
            Command::Put(put) => put.run(),
            Command::History(history) => history.run(),
            Command::Restore(restore) => restore.run(),
            Command::Export(export) => export.run(),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(Failed::Error(error)) => ExitCode::from(Exit::from(error).code()),
            Err(Failed::Coded(code, text)) => {
                eprintln!("{text}");
                ExitCode::from(code)
            }
        }
    }
}

/// Why a command failed.
enum Failed {
    Error(Error),
    /// With an exit code of its own.
    Coded(u8, String),
}

const NO_STATE: u8 = 3;
const HELD: u8 = 4;

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed::Error(error)
    }
}

type Done = Result<(), Failed>;

impl Get {
    fn run(self) -> Done {
        let mut editor = self.place.editor()?;
        let snapshot = find(&mut editor, &self.place, self.generation)?;
        let state = plain(&snapshot)?;
        if self.json {
            let document = output::with_stamp(&snapshot, state)?;
            return print(&document).map_err(Failed::from);
        }
        eprintln!("{}", output::summary(&snapshot));
        print(&output::pretty(state)?)?;
        Ok(())
    }
}

impl History {
    fn run(self) -> Done {
        let mut editor = self.place.editor()?;
        let stored = editor.history()?;
        if stored.is_empty() {
            return Err(absent(&self.place));
        }
        let text = match self.json {
            true => output::history_json(&stored)?,
            false => output::history_table(&stored),
        };
        print(&text)?;
        Ok(())
    }
}

impl Export {
    fn run(self) -> Done {
        let mut editor = self.place.editor()?;
        let snapshot = find(&mut editor, &self.place, self.generation)?;
        if let Some(folder) = &self.files {
            let files = unpack(&snapshot, folder)?;
            eprintln!("wrote {files} files to {}", folder.display());
            return Ok(());
        }
        let state = plain(&snapshot)?.get();
        if self.output == Path::new("-") {
            print(state)?;
            return Ok(());
        }
        write_file(&self.output, state)?;
        eprintln!("wrote {}", self.output.display());
        Ok(())
    }
}

impl Put {
    fn run(self) -> Done {
        let state = read_json(&self.file)?;
        let schema = self.schema;
        let place = &self.place;
        self.writing.replace(place, move |stored| {
            Ok(Content {
                schema: schema
                    .or(stored.map(|s| s.content.schema))
                    .unwrap_or(FIRST_SCHEMA),
                unclean_starts: 0,
                state: detached(state)?,
            })
        })
    }
}

impl Restore {
    fn run(self) -> Done {
        let mut editor = self.place.editor()?;
        let wanted = find(&mut editor, &self.place, Some(self.generation))?;
        drop(editor);
        self.writing.replace(&self.place, move |_| {
            Ok(Content {
                schema: wanted.content.schema,
                unclean_starts: 0,
                state: detached(wanted.content.state.clone())?,
            })
        })
    }
}

impl Writing {
    fn replace(
        &self,
        place: &Place,
        replacement: impl FnOnce(Option<&Snapshot>) -> Result<Content>,
    ) -> Done {
        let default = if self.ask { 60 } else { 0 };
        let limit = Duration::from_secs(self.wait.unwrap_or(default));
        let when_held = match self.ask {
            true => WhenHeld::Ask(limit),
            false if limit.is_zero() => WhenHeld::Refuse,
            false => WhenHeld::Wait(limit),
        };
        let mut editor = place.editor()?;
        let replaced = editor.replace(when_held, |stored| {
            let newest = stored.map_or(0, |snapshot| snapshot.stamp.generation);
            if self.if_generation.is_some_and(|wanted| wanted != newest) {
                return Err(Error::new(format_args!(
                    "generation {newest} is the newest, not the one of --if-generation: \
                     nothing was changed"
                )));
            }
            replacement(stored)
        });
        match replaced {
            Ok(generation) if self.json => {
                let document = serde_json::json!({
                    "processor": place.processor, "generation": generation,
                });
                print(&document.to_string())?;
                Ok(())
            }
            Ok(generation) => {
                eprintln!("generation {generation} of {} is stored", place.processor);
                Ok(())
            }
            Err(error) if is_held(&error) => {
                let advice = match self.ask {
                    true => "it did not hand over",
                    false => {
                        "stop it first, or use --ask; for one that has died, --wait until \
                              its lease has expired"
                    }
                };
                Err(Failed::Coded(HELD, format!("{error}\n{advice}")))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// This generation, or the newest. A damaged generation is an error, never skipped: an older
/// one is printed only on request.
fn find(editor: &mut StateEditor, place: &Place, wanted: Option<u64>) -> Result<Snapshot, Failed> {
    let stored = editor.history()?;
    if stored.is_empty() {
        return Err(absent(place));
    }
    let mut seen = Vec::new();
    for Stored {
        place, snapshot, ..
    } in stored
    {
        match (snapshot, wanted) {
            (Ok(snapshot), None) => return Ok(snapshot),
            (Ok(snapshot), Some(number)) if snapshot.stamp.generation == number => {
                return Ok(snapshot);
            }
            (Ok(snapshot), Some(_)) => seen.push(snapshot.stamp.generation.to_string()),
            (Err(e), None) => {
                return Err(Error::new(format_args!(
                    "{place} is damaged: {e}; `satellite state history` lists the others"
                ))
                .into());
            }
            (Err(_), Some(_)) => seen.push(format!("a damaged one in {place}")),
        }
    }
    let text = format!(
        "there is no generation {} of {}; stored are: {}",
        wanted.unwrap_or_default(),
        place.processor,
        seen.join(", ")
    );
    Err(Failed::Coded(NO_STATE, text))
}

fn absent(place: &Place) -> Failed {
    Failed::Coded(
        NO_STATE,
        format!(
            "no state of {} is stored in {}",
            place.processor,
            place.shown()
        ),
    )
}

fn plain(snapshot: &Snapshot) -> Result<&RawValue> {
    serde_json::from_slice(&snapshot.content.state)
        .map_err(|e| Error::new(format_args!("the state is not JSON: {e}")))
}

/// The archive of a sidecar that is put replaces what is in the folder, even in the folder
/// where it was made.
fn detached(state: Vec<u8>) -> Result<Vec<u8>> {
    let Ok(mut document) = serde_json::from_slice::<serde_json::Value>(&state) else {
        return Ok(state);
    };
    let is_sidecar = document["archive"].is_string() && document["run"].is_string();
    if !is_sidecar {
        return Ok(state);
    }
    document["run"] = "".into();
    serde_json::to_vec(&document).map_err(Error::new)
}

#[cfg(target_os = "linux")]
fn unpack(snapshot: &Snapshot, folder: &Path) -> Result<usize> {
    let state = serde_json::from_slice(&snapshot.content.state)
        .map_err(|e| Error::new(format_args!("this is not the state of a sidecar: {e}")))?;
    crate::sidecar::unpack(&state, folder)
}

#[cfg(not(target_os = "linux"))]
fn unpack(_: &Snapshot, _: &Path) -> Result<usize> {
    Err(Error::new("--files works on Linux only"))
}
