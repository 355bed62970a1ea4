//! The [`Processor`] trait, and the closures and functions that can replace it.

use std::marker::PhantomData;
use std::time::Duration;

use serde_json::Value;

use super::context::ExecutionContext;
use super::memory::State;
use satellite_core::Error;
use satellite_core::{Ended, Failure};

/// A program with persistent state that may be stopped at any time.
///
/// Only [`run`](Self::run) is required. All methods except
/// [`on_health_check_failed`](Self::on_health_check_failed) run on the thread
/// that called [`App::run`](super::App::run).
///
/// ```no_run
/// use satellite_state::{App, ExecutionContext, Outcome, Processor};
/// use std::time::Duration;
///
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Orders { done: u64 }
///
/// struct Shop { payments: Vec<u64> }
///
/// impl Processor for Shop {
///     type State = Orders;
///
///     fn startup(&mut self, cx: &ExecutionContext<Orders>) -> Outcome {
///         log::info!("{} orders so far", cx.state().done);
///         Ok(())
///     }
///
///     fn run(&mut self, cx: &ExecutionContext<Orders>) -> Outcome {
///         for _ in cx.run_loop(Duration::from_secs(1)) {
///             self.payments.push(5);
///             cx.state().done += 1;
///         }
///         Ok(())
///     }
///
///     fn shutdown(&mut self, _: &ExecutionContext<Orders>) -> Outcome {
///         log::info!("{} payments", self.payments.len());
///         Ok(())
///     }
/// }
///
/// fn main() -> satellite_state::Exit {
///     App::new().run(Shop { payments: Vec::new() })
/// }
/// ```
pub trait Processor {
    /// The persistent state.
    type State: State;

    /// The schema version of the state: increase it by one for each change that
    /// [`migrate`](Self::migrate) has to handle. A state of dory-sdk, the original
    /// Python implementation, has version 0.
    const SCHEMA: u32 = 1;

    /// Initializes the processor. The state is already loaded.
    ///
    /// When another process holds the state, as in a rolling update, that process keeps
    /// running: this is called with a copy of the state, and the state is requested only
    /// after this has returned and the process has stayed ready for
    /// `DORY_TAKEOVER_READY_SEC`. Until then
    /// [`may_act`](ExecutionContext::may_act) is false, nothing can be saved, and changes
    /// to the copy are discarded.
    ///
    /// # Errors
    /// An error ends the processor; `run` is not called. Another process that holds
    /// the state continues.
    fn startup(&mut self, cx: &ExecutionContext<Self::State>) -> Outcome {
        let _ = cx;
        Ok(())
    }

    /// Called once, after [`startup`](Self::startup) and before [`run`](Self::run),
    /// when this process holds the state, exactly as it was saved last. Derive data from
    /// the state, or change the state, here.
    ///
    /// # Errors
    /// As for [`startup`](Self::startup), but the state was already taken over.
    fn restored(&mut self, cx: &ExecutionContext<Self::State>) -> Outcome {
        let _ = cx;
        Ok(())
    }

    /// Does the work until [`is_shutdown_requested`](ExecutionContext::is_shutdown_requested).
    ///
    /// # Errors
    /// An error ends the processor, after `shutdown` and the last save.
    fn run(&mut self, cx: &ExecutionContext<Self::State>) -> Outcome;

    /// Cleans up: called once after `run` has ended for any reason, and before the last
    /// save; also when `startup` was called but `run` was not.
    ///
    /// # Errors
    /// An error ends the processor, after the last save.
    fn shutdown(&mut self, cx: &ExecutionContext<Self::State>) -> Outcome {
        let _ = cx;
        Ok(())
    }

    /// Migrates a state of version `from` to version `SCHEMA`.
    ///
    /// # Errors
    /// On an error the stored state stays unchanged; see
    /// [`on_state_restore_failed`](Self::on_state_restore_failed).
    fn migrate(from: u32, state: Value) -> Result<Value, Failure> {
        match from {
            0 => Ok(state),
            _ => Err(format!("no migration from schema version {from}").into()),
        }
    }

    /// Called when the stored state could not be used. If an older generation is used
    /// instead, the return value is ignored. Otherwise it decides whether the processor
    /// ends with an error and leaves the stored state unchanged, or moves the stored
    /// state aside and starts with the default state.
    fn on_state_restore_failed(
        &mut self,
        cx: &ExecutionContext<Self::State>,
        error: &Error,
    ) -> Remedy {
        let _ = (cx, error);
        Remedy::KeepState
    }

    /// Called when the last `count` starts, three or more, ended uncleanly, each within
    /// five minutes. The state is kept unless this returns [`Remedy::StartFresh`].
    fn on_rapid_restart_detected(
        &mut self,
        cx: &ExecutionContext<Self::State>,
        count: u32,
    ) -> Remedy {
        let _ = (cx, count);
        Remedy::KeepState
    }

    /// Called when a turn of the loop exceeds the stall limit: `/healthz` fails from now
    /// on. Runs on a separate thread, since the processor's thread is busy.
    fn on_health_check_failed(cx: &ExecutionContext<Self::State>, error: &Error) {
        let _ = (cx, error);
    }

    /// Called when the default state replaces the stored one: data derived from the old
    /// state is stale.
    fn reset_caches(&mut self, cx: &ExecutionContext<Self::State>) {
        let _ = cx;
    }
}

/// The result of a step of a processor. `?` converts any error to a [`Failure`].
pub type Outcome = Result<(), Failure>;

/// What to do about a state that cannot be used, or that may cause crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Remedy {
    /// Keep the stored state: a state that cannot be used ends the processor with an
    /// error, so that an operator can investigate.
    #[default]
    KeepState,
    /// Move the stored state aside, under another name, and start with the default
    /// state.
    StartFresh,
}

/// A closure that is called on each turn with mutable access to the state.
pub(super) struct Tick<S, F> {
    pub(super) interval: Duration,
    pub(super) tick: F,
    pub(super) state: PhantomData<fn() -> S>,
}

impl<S, F, R> Processor for Tick<S, F>
where
    S: State,
    F: FnMut(&mut S, &ExecutionContext<S>) -> R,
    R: Ended,
{
    type State = S;

    fn run(&mut self, cx: &ExecutionContext<S>) -> Outcome {
        for _ in cx.run_loop(self.interval) {
            (self.tick)(&mut cx.state(), cx).outcome()?;
        }
        Ok(())
    }
}

/// A function that is used as `run`.
pub(super) struct Function<S, F> {
    pub(super) run: F,
    pub(super) state: PhantomData<fn() -> S>,
}

impl<S, F, R> Processor for Function<S, F>
where
    S: State,
    F: FnMut(&ExecutionContext<S>) -> R,
    R: Ended,
{
    type State = S;

    fn run(&mut self, cx: &ExecutionContext<S>) -> Outcome {
        (self.run)(cx).outcome()
    }
}
