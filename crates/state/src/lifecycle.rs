//! From the start to the shutdown. When no other process holds the state:
//!
//! ```text
//! open the store → restore → first save → startup → restored → ready → run
//!   → shutdown → last save and release → end
//! ```
//!
//! When another process holds it (see `prepare`), and runs until it is asked:
//!
//! ```text
//! copy → startup → stay ready → ask → open the store → restore → first save
//!   → restored → ready → run → …
//! ```
//!
//! A signal, the preStop hook, a handover request of another process, and the end of
//! `run`, with or without an error, all use the same shutdown sequence.

use std::any::Any;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::context::ExecutionContext;
use super::endpoints;
use super::metrics;
use super::processor::{Outcome, Processor, Remedy};
use super::progress::StopReason;
use super::snapshot::Snapshot;
use super::store::Opened;
use super::threads::{self, Threads};
use crate::error::fenced;
use satellite_core::Failure;
use satellite_core::wake::Stage;
use satellite_core::{Error, Result};
use satellite_serve::Server;

/// How long to wait until responses of `/prestop` are sent.
const PRESTOP_RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait until the previous process has released its address.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a process that handed over checks whether the state is free again.
const STANDBY_POLL_INTERVAL: Duration = Duration::from_secs(5);

/// A processor that is built and ready to run: returned by [`App::build`].
///
/// [`App::build`]: super::App::build
pub struct Process<P: Processor> {
    pub(super) processor: P,
    pub(super) cx: ExecutionContext<P::State>,
    /// `None` while the previous process still uses the address.
    pub(super) server: Option<Server>,
    pub(super) owns_process: bool,
    /// `startup` was called.
    pub(super) is_started: bool,
}

impl<P: Processor> Process<P> {
    /// The address of the endpoints: useful with port 0. `None` while the process that
    /// holds the state also uses the address.
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(Server::addr)
    }

    /// The context of the processor: to inspect it, or to stop it, from another
    /// thread.
    pub fn context(&self) -> ExecutionContext<P::State> {
        self.cx.clone()
    }

    /// Runs the processor until it ends.
    ///
    /// # Errors
    /// The error of `startup`, `run` or `shutdown`; the state could not be restored, or
    /// not be saved at the end; [`is_fenced`](crate::is_fenced) when another process
    /// took it over.
    pub fn run(mut self) -> Result<()> {
        let core = Arc::clone(&self.cx.core);
        let threads = Threads::start(&self.cx, P::on_health_check_failed, self.owns_process)?;
        let acquired = catch_unwind(AssertUnwindSafe(|| self.acquire_state()));
        let acquired = acquired.unwrap_or_else(|panic| Err(panicked("the start", &*panic)));
        let outcome = match acquired {
            Err(e) if e.is_stopped() => Ok(()), // stopped before it did any work
            Err(e) => Err(e),
            Ok(()) => self.run_processor(),
        };
        core.begin_shutdown(StopReason::Returned);
        core.turns.end();
        let outcome = match self.is_started {
            true => {
                let (processor, cx) = (&mut self.processor, &self.cx);
                outcome.and(step("shutdown", || processor.shutdown(cx)))
            }
            false => outcome,
        };
        let saved = core.finish(threads::deadline(&core));
        if let (Ok(()), Some(StopReason::HandOver(to))) = (&saved, core.stop_reason()) {
            self.stand_by(&to);
        }
        drop(threads);
        let since = Instant::now();
        while core.prestops.load(Ordering::SeqCst) > 0 && since.elapsed() < PRESTOP_RESPONSE_TIMEOUT
        {
            thread::sleep(Duration::from_millis(2));
        }
        match (outcome, saved) {
            (outcome, Ok(())) => outcome,
            (Ok(()), Err(e)) if matches!(core.stop_reason(), Some(StopReason::Fenced(_))) => {
                Err(fenced(e))
            }
            (Ok(()), Err(e)) => Err(Error::new(format_args!("the state was not saved: {e}"))),
            (Err(failure), Err(e)) => Err(Error::new(format_args!(
                "{failure}; and the state was not saved: {e}"
            ))),
        }
    }

    /// Takes the state and restores it.
    fn acquire_state(&mut self) -> Result<()> {
        let mut opened = self.open()?;
        let original = self.cx.core.take_over_original(&mut opened)?;
        self.take_over_address()?;
        let core = &self.cx.core;
        for failure in &opened.failures {
            log::error!("the state: {failure}");
            core.metrics().add(&metrics::CORRUPT, &[], 1);
        }
        let started_at = Instant::now();
        match (&opened.snapshot, opened.failures.first()) {
            (Some(snapshot), failure) => {
                if let Some(failure) = failure {
                    self.processor.on_state_restore_failed(&self.cx, failure);
                }
                if let Err(error) = self.restore(snapshot) {
                    self.handle_restore_failure(&error)?;
                }
            }
            (None, Some(failure)) => self.handle_restore_failure(failure)?,
            (None, None) => {
                if self.is_started {
                    self.reset_state()?; // the copy that it prepared with no longer exists
                }
                log::info!("no stored state found: starting with the default state");
            }
        }
        let core = &self.cx.core;
        let took = started_at.elapsed().as_secs_f64();
        core.metrics().set(&metrics::LOAD, &[], took);
        self.handle_unclean_starts()?;
        self.cx.core.restored();
        // Detects problems with saving before any work depends on it, and shows other
        // processes who holds the state.
        self.cx.core.first_checkpoint()?;
        match original {
            Some(watch) => self.cx.core.watch_original(watch),
            None => Ok(()),
        }
    }

    /// Decides what to do after several consecutive starts that ended uncleanly.
    fn handle_unclean_starts(&mut self) -> Result<()> {
        let core = &self.cx.core;
        let (count, settings) = (core.attempt(), &core.settings);
        if settings
            .golden_image_threshold
            .is_some_and(|limit| count >= limit)
        {
            log::warn!(
                "the last {count} starts ended uncleanly, which reaches \
                 DORY_GOLDEN_IMAGE_THRESHOLD"
            );
            return self.start_fresh();
        }
        if count >= settings.max_restart_attempts {
            log::warn!("the last {count} starts ended uncleanly");
            let remedy = self.processor.on_rapid_restart_detected(&self.cx, count);
            if remedy == Remedy::StartFresh {
                return self.start_fresh();
            }
        }
        Ok(())
    }

    /// Becomes the only writer; prepares first if another process has to be asked.
    fn open(&mut self) -> Result<Opened> {
        loop {
            self.prepare()?;
            match self.cx.core.open() {
                Err(_) if self.cx.core.has_to_prepare() => {}
                opened => return opened,
            }
        }
    }

    /// Binds the address that the previous process on this host is releasing.
    fn take_over_address(&mut self) -> Result<()> {
        let since = Instant::now();
        while self.server.is_none() {
            match endpoints::serve(&self.cx.core) {
                Ok(server) => self.server = Some(server),
                Err(e) if since.elapsed() > ADDRESS_TIMEOUT => return Err(e),
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
        Ok(())
    }

    pub(super) fn restore(&self, snapshot: &Snapshot) -> Result<()> {
        self.cx.core.restore(snapshot)?;
        log::info!(
            "restored generation {} of {}",
            snapshot.stamp.generation,
            snapshot.stamp.saved_at
        );
        Ok(())
    }

    /// Asks the hook what to do about a state that cannot be used.
    fn handle_restore_failure(&mut self, error: &Error) -> Result<()> {
        log::error!("the state cannot be restored: {error}");
        match self.processor.on_state_restore_failed(&self.cx, error) {
            Remedy::StartFresh => self.start_fresh(),
            Remedy::KeepState => Err(Error::new(format_args!(
                "the state cannot be restored and was left unchanged: {error}"
            ))),
        }
    }

    fn start_fresh(&mut self) -> Result<()> {
        let aside = self.cx.core.move_aside()?;
        log::warn!("starting with the default state; the stored state was moved to {aside}");
        self.reset_state()?;
        self.processor.reset_caches(&self.cx);
        Ok(())
    }

    /// Resets the state in memory to its default.
    fn reset_state(&self) -> Result<()> {
        let fresh = serde_json::to_vec(&P::State::default())?;
        self.cx.core.memory.replace(&fresh, false)
    }

    /// Runs the user's code.
    fn run_processor(&mut self) -> Result<()> {
        if !self.is_started {
            self.start()?;
        }
        let (processor, cx) = (&mut self.processor, &self.cx);
        if cx.is_shutdown_requested() {
            return Ok(());
        }
        step("restored", || processor.restored(cx))?;
        if cx.is_shutdown_requested() {
            return Ok(());
        }
        let took = cx.core.started_at.elapsed().as_secs_f64();
        cx.core.metrics().set(&metrics::STARTUP, &[], took);
        cx.core.ready();
        log::info!("ready");
        step("run", || processor.run(cx))
    }

    /// Runs `startup` with its timeout.
    pub(super) fn start(&mut self) -> Result<()> {
        self.is_started = true;
        let (processor, cx) = (&mut self.processor, &self.cx);
        let _limit = threads::StartupLimit::watch(&cx.core, self.owns_process)?;
        step("startup", || processor.startup(cx))
    }

    /// Another process holds the state now. In a cluster the pod stays until it is
    /// stopped: if it exited, it would be restarted, and ask for the state that it has
    /// just handed over. If its successor dies, it exits so that it is restarted.
    fn stand_by(&self, to: &str) {
        let core = &self.cx.core;
        core.health
            .set_problem("processor", format_args!("handed over to {to}"));
        log::info!("handed over to {to}");
        if !core.settings.in_cluster {
            return;
        }
        while core.waiter.sleep(STANDBY_POLL_INTERVAL, Stage::Stopping) {
            match core.is_free() {
                Ok(false) => {}
                Ok(true) => return log::info!("no process holds the state any more"),
                Err(e) => log::warn!("could not find out who holds the state: {e}"),
            }
        }
    }
}

/// Runs a step of the user's code; a panic is treated as an error.
fn step(name: &str, step: impl FnOnce() -> Outcome) -> Result<()> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) => {
            let why = describe(&failure);
            Err(Error::new(format_args!("{name} failed: {why}")))
        }
        Err(panic) => Err(panicked(name, &*panic)),
    }
    .inspect_err(|e| log::error!("{e}"))
}

pub(super) fn panicked(name: &str, panic: &(dyn Any + Send)) -> Error {
    let text = panic_message(panic);
    Error::new(format_args!("{name} failed: it panicked: {text}"))
}

fn describe(failure: &Failure) -> String {
    match failure.reason() == failure.error() {
        true => failure.error().to_owned(),
        false => format!("{}: {}", failure.reason(), failure.error()),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

impl<P: Processor> std::fmt::Debug for Process<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process")
            .field("core", &self.cx.core)
            .finish_non_exhaustive()
    }
}
