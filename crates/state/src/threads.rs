//! The background threads: one saves the state, one renews the lease, one waits for
//! signals, one enforces the shutdown timeout.

use std::process;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::context::ExecutionContext;
use super::core::Core;
use super::memory::State;
use super::metrics;
use satellite_core::wake::{SIGNAL_DEBOUNCE, Stage};
use satellite_core::{Error, Result};

/// How often to check for a stop request and for the end of the shutdown.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Runs until dropped.
pub(super) struct Threads {
    _running: Vec<SyncSender<()>>,
    #[cfg(unix)]
    signals: Option<signal_hook::iterator::Handle>,
}

impl Threads {
    pub(super) fn start<S: State>(
        cx: &ExecutionContext<S>,
        on_stall: fn(&ExecutionContext<S>, &Error),
        owns_process: bool,
    ) -> Result<Self> {
        let core = &cx.core;
        let mut running = Vec::new();
        running.push(spawn("saver", {
            let core = Arc::clone(core);
            move |ended| {
                while sleep_unless_ended(&ended, core.settings.checkpoint_every) {
                    if core.waiter.wake.stage() < Stage::Draining {
                        let _ = core.checkpoint(); // it logs its own errors
                    }
                }
            }
        })?);
        running.push(spawn("lease", {
            let cx = cx.clone();
            let pause = core.renew_interval();
            move |ended| {
                while sleep_unless_ended(&ended, pause) {
                    cx.core.renew_lease();
                    watch_turns(&cx, on_stall);
                }
            }
        })?);
        if owns_process {
            running.push(spawn("stop-timeout", {
                let core = Arc::clone(core);
                move |ended| enforce_shutdown_timeout(&core, &ended)
            })?);
        }
        #[cfg(not(unix))]
        if owns_process {
            watch_signals(core)?;
        }
        Ok(Threads {
            _running: running,
            #[cfg(unix)]
            signals: match owns_process {
                true => Some(watch_signals(core)?),
                false => None,
            },
        })
    }
}

#[cfg(unix)]
impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(signals) = &self.signals {
            signals.close();
        }
    }
}

fn spawn(name: &str, work: impl FnOnce(Receiver<()>) + Send + 'static) -> Result<SyncSender<()>> {
    let (running, ended) = sync_channel(0);
    thread::Builder::new()
        .name(name.into())
        .spawn(move || work(ended))?;
    Ok(running)
}

/// Waits for `pause`; false when the thread is to end.
fn sleep_unless_ended(ended: &Receiver<()>, pause: Duration) -> bool {
    ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout)
}

fn watch_turns<S: State>(cx: &ExecutionContext<S>, on_stall: fn(&ExecutionContext<S>, &Error)) {
    let limit = cx.core.settings.stall_limit;
    if let Some(lasts) = cx.core.turns.newly_stalled(limit) {
        let error = Error::new(format_args!("the present turn has lasted {lasts:.0?}"));
        log::error!("{error}");
        cx.core.metrics().add(&metrics::STALLS, &[], 1);
        // The hook may block on the state that the stalled turn has locked.
        let cx = cx.clone();
        let _ = thread::Builder::new().spawn(move || on_stall(&cx, &error));
    }
}

/// When the last save has to be complete, counted from the stop request.
pub(super) fn deadline(core: &Core) -> Instant {
    core.stopping_since() + core.settings.shutdown_timeout
}

/// When `run` or `shutdown` does not return, saves the state as of its last step while
/// there is just enough time left, and exits with an error code.
fn enforce_shutdown_timeout(core: &Arc<Core>, ended: &Receiver<()>) {
    while core.waiter.wake.stage() < Stage::Draining {
        if !sleep_unless_ended(ended, POLL_INTERVAL) {
            return;
        }
    }
    let timeout = core.settings.shutdown_timeout;
    let save_deadline = core.stopping_since() + timeout - (timeout / 5).min(Duration::from_secs(5));
    while core.wait_for_end(Duration::ZERO).is_none() {
        if Instant::now() >= save_deadline {
            let saved = core.finish(deadline(core));
            log::error!(
                "run or shutdown did not return within {:.0?} of the stop request: exiting with the \
                 state {}",
                timeout,
                match saved {
                    Ok(()) => "saved as of its last step".to_owned(),
                    Err(e) => format!("not saved: {e}"),
                }
            );
            end_process();
        }
        if !sleep_unless_ended(ended, POLL_INTERVAL) {
            return;
        }
    }
}

/// Ends a process whose `startup` takes too long.
pub(super) struct StartupLimit {
    _running: Option<SyncSender<()>>,
}

impl StartupLimit {
    pub(super) fn watch(core: &Arc<Core>, owns_process: bool) -> Result<Self> {
        if !owns_process {
            return Ok(StartupLimit { _running: None });
        }
        let watched = Arc::clone(core);
        let running = spawn("startup", move |ended| {
            let limit = watched.settings.startup_timeout;
            if sleep_unless_ended(&ended, limit) && watched.waiter.wake.stage() < Stage::Draining {
                let message = format!("startup lasted longer than {limit:.0?}");
                log::error!("{message}");
                if watched.is_preparing.load(Ordering::SeqCst) {
                    watched.give_up(&message);
                }
                let _ = watched.finish(Instant::now() + Duration::from_secs(5));
                end_process();
            }
        })?;
        Ok(StartupLimit {
            _running: Some(running),
        })
    }
}

#[cfg(unix)]
fn watch_signals(core: &Arc<Core>) -> Result<signal_hook::iterator::Handle> {
    use signal_hook::consts::{SIGINT, SIGTERM};

    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT])?;
    let handle = signals.handle();
    let core = Arc::clone(core);
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let mut first = None;
            for _ in signals.forever() {
                stop(&core, &mut first);
            }
        })?;
    Ok(handle)
}

#[cfg(not(unix))]
fn watch_signals(core: &Arc<Core>) -> Result<()> {
    let core = Arc::clone(core);
    let mut first = None;
    ctrlc::set_handler(move || stop(&core, &mut first)).map_err(Error::new)
}

/// The first signal begins the shutdown, a second one exits immediately.
fn stop(core: &Core, first: &mut Option<Instant>) {
    if first.get_or_insert_with(Instant::now).elapsed() > SIGNAL_DEBOUNCE {
        log::error!("second signal: exiting without the last save");
        end_process();
    }
    core.begin_shutdown_by_signal();
}

fn end_process() -> ! {
    log::logger().flush();
    process::exit(1)
}
