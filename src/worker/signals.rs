//! Stops the worker on SIGTERM and SIGINT, or Ctrl-C.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
#[cfg(unix)]
use std::time::Instant;

use super::context::Shared;
use satellite_core::Result;
use satellite_core::one_shot::OneShot;
#[cfg(unix)]
use satellite_core::wake::SIGNAL_DEBOUNCE;
use satellite_core::wake::Stage;

/// What a stop does to the running task.
///
/// In both cases no task is claimed after the signal, and a second signal ends
/// the process at once.
///
/// ```
/// use satellite_sdk::{Builder, OnStop};
/// use std::time::Duration;
///
/// Builder::new().on_stop(OnStop::Drain(Duration::from_secs(30)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnStop {
    /// The process ends at once, together with the processes that handlers
    /// started. The task stays `running` on the platform. A result that its handler
    /// still returns is not reported, since the signal may have caused it.
    #[default]
    Now,
    /// The handler may finish, deferred results may complete, and results are
    /// delivered, for at most this long.
    Drain(Duration),
}

/// How long the loop may take to return after a stop before the process is ended.
const GRACE: Duration = Duration::from_millis(50);

/// Watches for signals until dropped.
pub(super) struct Signals {
    #[cfg(unix)]
    handle: signal_hook::iterator::Handle,
    /// Filled when the loop has returned.
    returned: OneShot<()>,
}

impl Signals {
    #[cfg(unix)]
    pub(super) fn watch(shared: &Arc<Shared>, on_stop: OnStop) -> Result<Self> {
        use signal_hook::consts::{SIGINT, SIGTERM};

        let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT])?;
        let handle = signals.handle();
        let returned = OneShot::default();
        let mut first = Some(returned.clone());
        let shared = Arc::clone(shared);
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                let mut first_signal_at = Instant::now();
                for signal in signals.forever() {
                    let name = match signal {
                        SIGINT => "SIGINT",
                        _ => "SIGTERM",
                    };
                    match first.take() {
                        Some(returned) => {
                            first_signal_at = Instant::now();
                            begin_stop(&shared, on_stop, returned, name);
                        }
                        None if first_signal_at.elapsed() < SIGNAL_DEBOUNCE => {}
                        None => end_process(&shared, &format!("a second signal ({name})")),
                    }
                }
            })?;
        Ok(Signals { handle, returned })
    }

    #[cfg(not(unix))]
    pub(super) fn watch(shared: &Arc<Shared>, on_stop: OnStop) -> Result<Self> {
        let returned = OneShot::default();
        let mut first = Some(returned.clone());
        let shared = Arc::clone(shared);
        ctrlc::set_handler(move || match first.take() {
            Some(returned) => begin_stop(&shared, on_stop, returned, "Ctrl-C"),
            None => end_process(&shared, "a second Ctrl-C"),
        })
        .map_err(crate::Error::new)?;
        Ok(Signals { returned })
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.returned.put(());
        #[cfg(unix)]
        self.handle.close();
    }
}

/// Tells the loop to stop, and ends the process if it does not.
fn begin_stop(shared: &Arc<Shared>, on_stop: OnStop, returned: OneShot<()>, signal: &str) {
    let (stage, grace) = match on_stop {
        OnStop::Now => (Stage::Stopping, GRACE),
        OnStop::Drain(limit) => (Stage::Draining, limit),
    };
    if stage == Stage::Stopping {
        shared.discard_results.store(true, Ordering::SeqCst);
    }
    // On its own thread: the signal thread waits for a second signal.
    let watched = Arc::clone(shared);
    let watchdog = thread::Builder::new().spawn(move || {
        if returned.take_within(grace).is_some() {
            return;
        }
        stop(&watched, Stage::Stopping);
        if returned.take_within(GRACE).is_none() {
            end_process(&watched, "the stop");
        }
    });
    // Log before the loop is told, or the process could end without this line, and after
    // the watchdog has started, so that a blocking logger does not delay the stop for long.
    match on_stop {
        OnStop::Now => log::info!("{signal}: stopping"),
        OnStop::Drain(limit) => {
            log::info!("{signal}: stopping; running tasks have {limit:.1?} to finish");
        }
    }
    stop(shared, stage);
    if watchdog.is_err() {
        end_process(shared, "the stop (no thread could be started)");
    }
}

/// Enters `stage` and interrupts a poll in progress: its tasks would not be
/// claimed any more.
pub(super) fn stop(shared: &Shared, stage: Stage) {
    shared.waiter.wake.stop(stage);
    if shared.polling.load(Ordering::SeqCst) {
        shared.platform.interrupt();
    }
}

fn end_process(shared: &Shared, why: &str) -> ! {
    shared.discard_results.store(true, Ordering::SeqCst);
    log::warn!("{why} ends the process while work is in progress");
    log::logger().flush();
    #[cfg(target_os = "linux")]
    super::children::terminate_descendants();
    std::process::exit(0)
}
