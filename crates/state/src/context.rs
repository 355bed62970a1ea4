//! What a processor works with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::memory::{Memory, State, StateGuard};
use super::shutdown::StopReason;
use satellite_core::Result;
use satellite_core::wake::Stage;
use satellite_health::Health;

/// The state, word of a stop, and where this process runs. Clones are cheap and
/// may go to other threads.
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

/// The state, and when to save it.
impl<S: State> ExecutionContext<S> {
    /// The state, to read and to change. Saving waits for the guard: hold it for
    /// one step, so that a step is saved whole or not at all.
    ///
    /// # Panics
    /// When this thread holds a guard already, which would wait for itself.
    pub fn state(&self) -> StateGuard<'_, S> {
        self.memory.guard()
    }

    /// Saves the state now, if it has changed since the last time.
    ///
    /// # Errors
    /// [`is_fenced`](crate::is_fenced) when somebody else holds the state by now; the store's
    /// own; this thread holds a guard; or the state is not this process's yet, in a
    /// [`startup`](super::Processor::startup) that prepares to take it over.
    pub fn checkpoint(&self) -> Result<()> {
        self.core.checkpoint()
    }
}

/// When to stop.
impl<S> ExecutionContext<S> {
    /// Turns, numbered from 0: the first at once, the others when `interval` has
    /// passed since the one before. A stop ends the wait, and the loop, at once.
    /// No turn begins while this process [may not act](Self::may_act).
    pub fn run_loop(&self, interval: Duration) -> RunLoop<'_> {
        RunLoop {
            core: &self.core,
            interval,
            turns: 0,
        }
    }

    /// A stop was asked for: finish soon, begin nothing large.
    pub fn is_shutdown_requested(&self) -> bool {
        self.core.waiter.wake.stage() >= Stage::Draining
    }

    /// The state is about to move to another process: this one is being stopped
    /// or asked to hand over, or a hook says that it will be.
    pub fn is_migration_imminent(&self) -> bool {
        self.core.is_migration_imminent()
    }

    /// Whether this process may act: the state is its own, and no other process can
    /// have taken it yet. False during a [`startup`](super::Processor::startup) that
    /// prepares to take the state over, and from the moment on in which others may
    /// take it because its lease was not renewed. It is true again after a renewal.
    ///
    /// [`run_loop`](Self::run_loop) and [`sleep`](Self::sleep) ask this, and wait. Ask
    /// it right before each action outside of this process in a turn that may last
    /// longer than a tenth of the lease, or in a thread of your own: it costs no more
    /// than reading the clock. A process that is stopped between the question and the
    /// action, by `SIGSTOP` or a suspended machine, still acts when it goes on.
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

    /// Waits for `duration`, and for as long as the lease has lapsed: see
    /// [`may_act`](Self::may_act). False, and at once, when a stop is asked for.
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

    /// Tells that `run` goes on, for one that works without
    /// [`run_loop`](Self::run_loop). From the first call on, `/healthz` fails
    /// when the next one is later than the stall limit.
    pub fn heartbeat(&self) {
        self.core.turns.begin();
    }

    /// Ends the processor as a signal would.
    pub fn stop(&self) {
        self.core.begin_shutdown(StopReason::Asked);
    }

    /// Does something when a stop is asked for, in the thread that asks: for
    /// what waits elsewhere than on this context.
    pub fn on_stop(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.core.on_stop(Box::new(wake));
    }
}

/// Where it runs, and as what.
impl<S> ExecutionContext<S> {
    /// The pod's name (`DORY_POD_NAME`), or the host's.
    pub fn pod_name(&self) -> &str {
        &self.core.settings.pod_name
    }

    /// The pod's namespace (`DORY_POD_NAMESPACE`), `default` where there is none.
    pub fn pod_namespace(&self) -> &str {
        &self.core.settings.pod_namespace
    }

    /// The processor's id (`DORY_PROCESSOR_ID`): what its state goes by.
    pub fn processor_id(&self) -> &str {
        &self.core.settings.processor_id
    }

    /// How many starts in a row came to no clean end before this one;
    /// `RESTART_COUNT` where that is set.
    pub fn attempt_number(&self) -> u32 {
        self.core.attempt()
    }

    /// The state was handed over by another process, or a migration was announced
    /// by `DORY_IS_MIGRATING`.
    pub fn is_migrating(&self) -> bool {
        self.core.settings.is_migrating || self.migrated_from().is_some()
    }

    /// The pod that had the state before, where it was another one
    /// (`DORY_MIGRATED_FROM`, or as the state itself tells).
    pub fn migrated_from(&self) -> Option<String> {
        let configured = self.core.settings.migrated_from.clone();
        configured.or_else(|| self.core.migrated_from())
    }

    /// The environment's variables, those of this kit (`DORY_…`) left out.
    pub fn config(&self) -> BTreeMap<String, String> {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| !name.starts_with("DORY_"))
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
            .collect()
    }

    /// What `/ready` tells; a processor may add reasons of its own.
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
