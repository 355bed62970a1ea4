//! `serve` and `run`: serve a model until a signal.

use std::sync::mpsc;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::artifact::Artifact;
use crate::failure::{Failure, Kind, Result};
use crate::load;
use crate::pipeline::Pipeline;
use crate::server::ModelServer;
use crate::settings::Settings;

/// The thread that builds a model: tract's optimizer is recursive.
const LOADER_STACK_BYTES: usize = 16 << 20;

enum Event {
    Loaded(Box<Result<(Artifact, Pipeline)>>),
    Signal,
}

/// Listens, loads the model, and serves it until SIGTERM or SIGINT. A second signal ends the
/// process at once.
pub fn serve(place: &str, settings: &Settings) -> Result<()> {
    let (sender, events) = mpsc::channel();
    let system = |what: &str, e: std::io::Error| {
        Failure::new(Kind::System, format_args!("cannot {what}: {e}"))
    };
    // First: the kernel delivers no signal to a container's first process without a handler.
    let mut signals =
        Signals::new([SIGTERM, SIGINT]).map_err(|e| system("handle signals", e))?;
    let signalled = sender.clone();
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for (at, _) in signals.forever().enumerate() {
                if at > 0 || signalled.send(Event::Signal).is_err() {
                    std::process::exit(0);
                }
            }
        })
        .map_err(|e| system("start a thread", e))?;
    let server = ModelServer::bind(settings)?;
    let (place, own) = (place.to_owned(), settings.clone());
    thread::Builder::new()
        .name("load".into())
        .stack_size(LOADER_STACK_BYTES)
        .spawn(move || {
            let result = load::model(&place, &own);
            // A signal may have ended the main thread.
            let _ = sender.send(Event::Loaded(Box::new(result)));
        })
        .map_err(|e| system("start a thread", e))?;
    for event in events {
        match event {
            Event::Loaded(result) => {
                let (artifact, pipeline) = (*result)?;
                server.serve(artifact, pipeline);
            }
            Event::Signal => {
                log::info!("stopping");
                server.stop();
                return Ok(());
            }
        }
    }
    Err(Failure::new(
        Kind::Software,
        "the thread that loads the model ended without a result",
    ))
}
