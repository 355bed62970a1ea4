//! The context that a processor works with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::memory::{Memory, State, StateGuard};
use super::progress::StopReason;
use satellite_core::Result;
use satellite_core::wake::Stage;
use satellite_health::Health;

/// Access to the state, stop requests, and information about this process. Clones are
/// cheap and may be sent to other threads.
///
/// ```no_run
/// use satellite_state::{App, ExecutionContext};
/// use std::time::Duration;
///
/// App::new().run_fn(|cx: &ExecutionContext<u64>| {
///     for turn in cx.run_loop(Duration::from_secs(1)) {
///         *cx.state() += 1;
///         log::info!("turn {turn} in pod {}", cx.pod_name());
///     }
/// });
/// ```
pub struct ExecutionContext<S> {
    pub(super) core: Arc<Core>,
    pub(super) memory: Arc<Memory<S>>,
}

/// The state, and saving it.
impl<S: State> ExecutionContext<S> {
    /// Locks the state for reading and changing. Saving waits for the guard: hold it for
    /// one step, so that a step is saved entirely or not at all.
    ///
    /// # Panics
    /// When this thread already holds a guard, which would be a deadlock.
    pub fn state(&self) -> StateGuard<'_, S> {
        self.memory.guard()
    }

    /// Saves the state now, if it has changed since the last save.
    ///
    /// # Errors
    /// [`is_fenced`](crate::is_fenced) when another process holds the state now; an error of
    /// the store; this thread holds a guard; or this process does not hold the state yet,
    /// in a [`startup`](super::Processor::startup) that prepares a takeover.
    pub fn checkpoint(&self) -> Result<()> {
        self.core.checkpoint()
    }

    /// Moves the stored state aside and continues with the default state, for a processor that
    /// finds in [`restored`](super::Processor::restored) that it cannot use the state. Returns
    /// where the stored one is.
    ///
    /// ```
    /// # use satellite_state::{ExecutionContext, Result};
    /// fn restored(cx: &ExecutionContext<Vec<u32>>) -> Result<()> {
    ///     if !cx.state().is_sorted() {
    ///         log::error!("the state is not sorted; it is kept at {}", cx.start_fresh()?);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// If the stored state cannot be moved; then nothing is changed.
    ///
    /// # Panics
    /// When this thread holds a guard, as in [`state`](Self::state).
    pub fn start_fresh(&self) -> Result<String> {
        let aside = self.core.move_aside()?;
        *self.state() = S::default();
        Ok(aside)
    }
}

/// When to stop.
impl<S> ExecutionContext<S> {
    /// Yields turns, numbered from 0: the first immediately, the others when `interval`
    /// has passed since the previous one. A stop request ends the wait, and the loop,
    /// immediately. No turn begins while this process [may not act](Self::may_act).
    pub fn run_loop(&self, interval: Duration) -> RunLoop<'_> {
        RunLoop {
            core: &self.core,
            interval,
            turns: 0,
        }
    }

    /// A stop was requested: finish soon, start nothing that takes long.
    pub fn is_shutdown_requested(&self) -> bool {
        self.core.waiter.wake.stage() >= Stage::Draining
    }

    /// The state is about to move to another process: this one is being stopped
    /// or asked to hand over, or a hook announced that it will be.
    pub fn is_migration_imminent(&self) -> bool {
        self.core.is_migration_imminent()
    }

    /// Whether this process may act: it holds the state, and no other process can have
    /// taken it yet. False during a [`startup`](super::Processor::startup) that
    /// prepares a takeover, and as soon as other processes may take the state because
    /// its lease was not renewed. It is true again after a renewal.
    ///
    /// [`run_loop`](Self::run_loop) and [`sleep`](Self::sleep) check this, and wait. Check
    /// it right before each external side effect in a turn that may take longer than a
    /// tenth of the lease duration, or in a thread of your own: it costs no more than
    /// reading the clock. A process that is suspended between the check and the action,
    /// by `SIGSTOP` or a suspended machine, still acts when it resumes.
    ///
    /// ```
    /// # use satellite_state::ExecutionContext;
    /// fn send(cx: &ExecutionContext<u64>, orders: &[&str]) -> Result<(), String> {
    ///     for order in orders {
    ///         if !cx.may_act() {
    ///             return Err("another process may send the rest".into());
    ///         }
    ///         println!("{order}");
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn may_act(&self) -> bool {
        self.core.may_act()
    }

    /// Waits for `duration`, and while the lease has lapsed: see
    /// [`may_act`](Self::may_act). Returns false immediately when a stop is requested.
    pub fn sleep(&self, duration: Duration) -> bool {
        self.core.turns.end();
        self.core.waiter.sleep(duration, Stage::Draining);
        self.core.wait_until_it_may_act();
        let waited_out = !self.is_shutdown_requested();
        if waited_out {
            self.core.turns.begin();
        }
        waited_out
    }

    /// Reports that `run` makes progress, for a `run` that does not use
    /// [`run_loop`](Self::run_loop). After the first call, `/healthz` fails when the
    /// next call is later than the stall limit.
    pub fn heartbeat(&self) {
        self.core.turns.begin();
    }

    /// Stops the processor as a signal would.
    pub fn stop(&self) {
        self.core.begin_shutdown(StopReason::Requested);
    }

    /// Registers a callback for a stop request. It runs on the thread that requests the
    /// stop: use it to wake code that does not wait on this context.
    pub fn on_stop(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.core.on_stop(Box::new(wake));
    }
}

/// Identity and environment.
impl<S> ExecutionContext<S> {
    /// The pod's name (`DORY_POD_NAME`), or the host's.
    pub fn pod_name(&self) -> &str {
        &self.core.settings.pod_name
    }

    /// The pod's namespace (`DORY_POD_NAMESPACE`), `default` where there is none.
    pub fn pod_namespace(&self) -> &str {
        &self.core.settings.pod_namespace
    }

    /// The processor's id (`DORY_PROCESSOR_ID`): the id under which its state is stored.
    pub fn processor_id(&self) -> &str {
        &self.core.settings.processor_id
    }

    /// How many consecutive starts before this one ended uncleanly; `RESTART_COUNT` if
    /// that is set.
    pub fn attempt_number(&self) -> u32 {
        self.core.attempt()
    }

    /// The state was handed over by another process, or a migration was announced
    /// by `DORY_IS_MIGRATING`.
    pub fn is_migrating(&self) -> bool {
        self.core.settings.is_migrating || self.migrated_from().is_some()
    }

    /// The pod that held the state before, if it was another one (`DORY_MIGRATED_FROM`,
    /// or as recorded in the state).
    pub fn migrated_from(&self) -> Option<String> {
        let configured = self.core.settings.migrated_from.clone();
        configured.or_else(|| self.core.migrated_from())
    }

    /// The environment's variables, without those of this kit (`DORY_…`).
    pub fn config(&self) -> BTreeMap<String, String> {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| !name.starts_with("DORY_"))
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
            .collect()
    }

    /// The problems that `/ready` reports; a processor may add its own.
    pub fn health(&self) -> &Health {
        &self.core.health
    }
}

impl<S> Clone for ExecutionContext<S> {
    fn clone(&self) -> Self {
        ExecutionContext {
            core: Arc::clone(&self.core),
            memory: Arc::clone(&self.memory),
        }
    }
}

impl<S> fmt::Debug for ExecutionContext<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecutionContext")
            .field("processor_id", &self.core.settings.processor_id)
            .finish_non_exhaustive()
    }
}

/// The turns of a processor: see [`ExecutionContext::run_loop`].
#[derive(Debug)]
#[must_use = "it does nothing until it is iterated"]
pub struct RunLoop<'a> {
    core: &'a Core,
    interval: Duration,
    turns: u64,
}

impl Iterator for RunLoop<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.core.turns.end();
        if self.turns > 0 {
            self.core.waiter.sleep(self.interval, Stage::Draining);
        }
        self.core.wait_until_it_may_act();
        if self.core.waiter.wake.stage() >= Stage::Draining {
            return None;
        }
        self.core.turns.begin();
        self.turns += 1;
        Some(self.turns - 1)
    }
}

impl Drop for RunLoop<'_> {
    fn drop(&mut self) {
        self.core.turns.end();
    }
}
