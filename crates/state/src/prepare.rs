//! Before a process asks another one for the state, it proves on a copy of it that it
//! can take over: it restores the copy, runs `startup`, and stays ready for a time.
//! The holder keeps running meanwhile. If this process fails, nothing has changed.

use std::hash::{DefaultHasher, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::core::{Core, PROCESSOR};
use super::lifecycle::{Process, panicked};
use super::processor::{Processor, Remedy};
use super::store::Opened;
use satellite_core::wake::Stage;
use satellite_core::{Error, Result};

/// How often to check whether this process is still ready.
const READY_POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How often to check whether the holder has ended in the meantime.
const HOLDER_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How long to wait before a failed read is retried.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

impl<P: Processor> Process<P> {
    /// Does nothing if no other process has to be asked for the state.
    pub(super) fn prepare(&mut self) -> Result<()> {
        let core = &self.cx.core;
        if core.is_prepared.load(Ordering::SeqCst) {
            return Ok(());
        }
        let Some(hold) = core.settings.takeover_ready else {
            core.is_prepared.store(true, Ordering::SeqCst);
            return Ok(());
        };
        let Some(copy) = peek(core)? else {
            return Ok(());
        };
        core.is_preparing.store(true, Ordering::SeqCst);
        let prepared = catch_unwind(AssertUnwindSafe(|| self.prepare_on(&copy, hold)));
        let prepared = prepared.unwrap_or_else(|panic| Err(panicked("the start", &*panic)));
        let core = &self.cx.core;
        core.is_preparing.store(false, Ordering::SeqCst);
        match &prepared {
            Ok(()) => core.is_prepared.store(true, Ordering::SeqCst),
            Err(e) => core.give_up(&e.to_string()),
        }
        prepared
    }

    fn prepare_on(&mut self, copy: &Opened, hold: Duration) -> Result<()> {
        let core = &self.cx.core;
        let mut holder = "another process".to_owned();
        if let Some(snapshot) = &copy.snapshot {
            snapshot.stamp.writer().clone_into(&mut holder);
            // The start of the running holder counts as unclean until it ends.
            let unclean_starts = snapshot.content.unclean_starts.saturating_sub(1);
            core.record_previous_writer(snapshot, unclean_starts);
            let waiting = format!("waiting for {holder} to hand its state over: preparing");
            core.health.starting(PROCESSOR, &waiting);
            log::info!("the state is held by {holder}; preparing with a copy of it");
            if let Err(error) = self.restore(snapshot) {
                log::error!("the state cannot be restored: {error}");
                let remedy = self.processor.on_state_restore_failed(&self.cx, &error);
                if remedy == Remedy::KeepState {
                    return Err(Error::new(format_args!(
                        "the state cannot be restored: {error}"
                    )));
                }
            }
        }
        let before = self.sum();
        self.start()?;
        if self.sum() != before {
            log::warn!(
                "startup changed the state while another process holds it: the change is \
                 discarded; make it in `restored`, which runs when this process holds the state"
            );
        }
        self.hold_ready(hold, &holder)
    }

    /// Waits until this process has been ready without interruption for `hold`, or
    /// until no process holds the state any more.
    fn hold_ready(&self, hold: Duration, holder: &str) -> Result<()> {
        let core = &self.cx.core;
        let now = || core.waiter.now();
        let (mut ready_since, mut last_peek) = (now(), now());
        loop {
            let mut problems = core.health.problems();
            problems.remove(PROCESSOR);
            let reason = match problems.iter().next() {
                None if now().duration_since(ready_since) >= hold => return Ok(()),
                None => format!("holding ready for {hold:.0?} before asking"),
                Some((name, problem)) => {
                    ready_since = now();
                    format!("not asking while {name}: {problem}")
                }
            };
            let waiting = format!("waiting for {holder} to hand its state over: {reason}");
            core.health.starting(PROCESSOR, &waiting);
            if !core
                .waiter
                .sleep(READY_POLL_INTERVAL.min(hold), Stage::Draining)
                || is_stopping(core)
            {
                return Err(Error::stopped());
            }
            if now().duration_since(last_peek) >= HOLDER_POLL_INTERVAL {
                last_peek = now();
                if let Ok(None) = core.peek() {
                    return Ok(());
                }
            }
        }
    }

    fn sum(&self) -> Option<u64> {
        let taken = self.cx.core.memory.peek(RETRY_INTERVAL).ok()?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&taken.json);
        Some(hasher.finish())
    }
}

fn is_stopping(core: &Core) -> bool {
    core.waiter.wake.stage() >= Stage::Draining
}

/// Retries until the store responds: an unavailable server must not decide whether to
/// prepare. Permissions may take a while to take effect.
fn peek(core: &Core) -> Result<Option<Opened>> {
    let since = core.waiter.now();
    loop {
        let error = match core.peek() {
            Ok(copy) => return Ok(copy),
            Err(e) => e,
        };
        let is_early = core.waiter.now().duration_since(since) < core.settings.startup_timeout;
        if !error.is_retryable() && (error.status() != Some(403) || !is_early) {
            return Ok(None); // opening the store reports the error
        }
        log::warn!("cannot read the state, retrying: {error}");
        core.health.starting(PROCESSOR, &error.to_string());
        if !core.waiter.sleep(RETRY_INTERVAL, Stage::Draining) {
            return Err(Error::stopped());
        }
    }
}
