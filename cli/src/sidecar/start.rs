//! Puts the sidecar together, and runs it.

use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;

use satellite_sdk::state::App;
use satellite_sdk::{Error, Exit, Result, Variables};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::Signals;

use super::Sidecar;
use super::app_check::AppClient;
use super::child;
use super::endpoints::Endpoints;
use super::folder::FolderState;
use super::no_store::NoStore;
use super::settings::Settings;
use super::shared::{Event, Progress, SidecarProcessor};

const CANNOT_EXECUTE: u8 = 126;
const NOT_FOUND: u8 = 127;

pub fn run(arguments: Sidecar) -> ExitCode {
    if let Some(parent) = arguments.exec_child_of {
        let error = child::become_app(parent, &arguments.command);
        let program = arguments.command.first().cloned().unwrap_or_default();
        eprintln!("cannot run {}: {error}", program.to_string_lossy());
        return ExitCode::from(match error.kind() {
            std::io::ErrorKind::NotFound => NOT_FOUND,
            _ => CANNOT_EXECUTE,
        });
    }
    let progress = Arc::new(Progress::default());
    let ended = Settings::parse(arguments).and_then(|settings| start(settings, &progress));
    let app = progress.exit_code().filter(|code| *code != 0);
    match ended {
        Ok(handed_over) if handed_over => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(app.unwrap_or(0)),
        Err(error) => {
            let own = Exit::from(error).code();
            ExitCode::from(app.unwrap_or(own))
        }
    }
}

/// Whether the state was handed over to another process.
fn start(settings: Settings, progress: &Arc<Progress>) -> Result<bool> {
    if let Some(program) = settings.command.first() {
        if let Err(error) = child::check_program(program) {
            progress.set_exit_code(NOT_FOUND);
            return Err(error);
        }
    }
    let (events, received) = channel();
    forward_signals(events.clone())?;
    let keeps_state = settings.scope.is_some();
    let client = Arc::new(AppClient::new(settings.app.clone()));
    let cx = Arc::new(OnceLock::new());
    let endpoints = Endpoints::new(
        Arc::clone(&client),
        events.clone(),
        Arc::clone(progress),
        Arc::clone(&cx),
        keeps_state,
    );
    let mut app =
        App::new().intercept(move |request, is_trusted| endpoints.respond(request, is_trusted));
    if !keeps_state {
        app = app.store(NoStore);
        let variables = Variables::from_env();
        let id = |name| variables.text(name);
        if id("DORY_PROCESSOR_ID")
            .or_else(|| id("PROCESSOR_ID"))
            .is_none()
        {
            app = app.processor_id("sidecar"); // only a label of the metrics
        }
    }
    let processor = SidecarProcessor::new(settings, client, events, received, Arc::clone(progress));
    let process = app.build(processor)?;
    let context = process.context();
    let _ = cx.set(context.clone());
    process.run()?;
    Ok(context.successor().is_some())
}

/// Signals become events. The processor itself also handles the two that stop it.
fn forward_signals(events: Sender<Event>) -> Result<()> {
    let wanted = [
        SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCHLD,
    ];
    let mut signals = Signals::new(wanted)?;
    let forward = move || {
        for signal in signals.forever() {
            if events.send(Event::Signal(signal)).is_err() {
                break;
            }
        }
    };
    let named = thread::Builder::new().name("forward-signals".into());
    named.spawn(forward).map(drop).map_err(Error::new)
}

/// Writes the files of a sidecar's state to a folder that does not exist or is empty.
pub fn unpack(state: &FolderState, folder: &Path) -> Result<usize> {
    let Some(unpacked) = state.unpacked(u64::from(u32::MAX))? else {
        return Err(Error::new("this state holds no files"));
    };
    std::fs::create_dir_all(folder).map_err(|e| super::archive::at_path(folder, &e))?;
    let mut entries = std::fs::read_dir(folder).map_err(|e| super::archive::at_path(folder, &e))?;
    if entries.next().is_some() {
        return Err(Error::new(format_args!(
            "{} is not empty: nothing was written",
            folder.display()
        )));
    }
    unpacked.write(folder)?;
    Ok(unpacked.files())
}
