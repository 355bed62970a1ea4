//! What a user writes: a processor, or a function in its place.

use std::marker::PhantomData;
use std::time::Duration;

use serde_json::Value;

use super::context::ExecutionContext;
use super::memory::State;
use satellite_core::Error;
use satellite_core::{Ended, Failure};

/// Something that runs, remembers, and may be stopped at any moment.
///
/// Only [`run`](Self::run) has to be written. All of it but
/// [`on_health_check_failed`](Self::on_health_check_failed) runs on the thread
/// that called [`App::run`](super::App::run).
///
/// ```no_run
/// use satellite_state::{App, ExecutionContext, Outcome, Processor};
/// use std::time::Duration;
///
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Orders { done: u64 }
///
/// struct Shop { till: Vec<u64> }
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
///             self.till.push(5);
///             cx.state().done += 1;
///         }
///         Ok(())
///     }
///
///     fn shutdown(&mut self, _: &ExecutionContext<Orders>) -> Outcome {
///         log::info!("{} in the till", self.till.len());
///         Ok(())
///     }
/// }
///
/// fn main() -> satellite_state::Exit {
///     App::new().run(Shop { till: Vec::new() })
/// }
/// ```
pub trait Processor {
    /// What is remembered.
    type State: State;

    /// The version of the state's shape: one more for each change of it that
    /// [`migrate`](Self::migrate) has to carry out. A state of the Python
    /// reference counts as version 0.
    const SCHEMA: u32 = 1;

    /// Gets ready. The state is there already.
    ///
    /// Where another process holds the state, as in a rolling update, that one works
    /// on: this is called with a copy of the state, and the state is asked for only
    /// when this has returned and the process has held ready for
    /// `DORY_TAKEOVER_READY_SEC`. Until then
    /// [`may_act`](ExecutionContext::may_act) is false, nothing can be saved, and what
    /// this changes in the copy is not kept.
    ///
    /// # Errors
    /// An error ends the processor; `run` is not called. Another process that holds
    /// the state goes on.
    fn startup(&mut self, cx: &ExecutionContext<Self::State>) -> Outcome {
        let _ = cx;
        Ok(())
    }

    /// Called once, after [`startup`](Self::startup) and before [`run`](Self::run),
    /// with the state in hand: exactly as it was saved last, and this process's own.
    /// The place for what has to be made of the state, or changed in it.
    ///
    /// # Errors
    /// As [`startup`](Self::startup); the state was taken over by then.
    fn restored(&mut self, cx: &ExecutionContext<Self::State>) -> Outcome {
        let _ = cx;
        Ok(())
    }

    /// Works until [`is_shutdown_requested`](ExecutionContext::is_shutdown_requested).
    ///
    /// # Errors
    /// An error ends the processor, after `shutdown` and the last save.
    fn run(&mut self, cx: &ExecutionContext<Self::State>) -> Outcome;

    /// Cleans up: called once when `run` is over, however it ended, and before
    /// the last save; also where `run` was not called, but `startup` was.
    ///
    /// # Errors
    /// An error ends the processor, after the last save.
    fn shutdown(&mut self, cx: &ExecutionContext<Self::State>) -> Outcome {
        let _ = cx;
        Ok(())
    }

    /// Turns a state of version `from` into one of version `SCHEMA`.
    ///
    /// # Errors
    /// An error leaves what is stored alone; see
    /// [`on_state_restore_failed`](Self::on_state_restore_failed).
    fn migrate(from: u32, state: Value) -> Result<Value, Failure> {
        match from {
            0 => Ok(state),
            _ => Err(format!("nothing migrates from schema version {from}").into()),
        }
    }

    /// What is stored could not be used. Where an older generation serves in
    /// its place, the answer does not matter; else it decides whether the
    /// processor ends with an error and leaves all as it is, or sets what is
    /// stored aside and starts fresh.
    fn on_state_restore_failed(
        &mut self,
        cx: &ExecutionContext<Self::State>,
        error: &Error,
    ) -> Remedy {
        let _ = (cx, error);
        Remedy::KeepState
    }

    /// The last `count` starts, three or more, came to no clean end, each
    /// within five minutes. The state is kept unless this says otherwise.
    fn on_rapid_restart_detected(
        &mut self,
        cx: &ExecutionContext<Self::State>,
        count: u32,
    ) -> Remedy {
        let _ = (cx, count);
        Remedy::KeepState
    }

    /// A turn of the loop lasts longer than the stall limit: `/healthz` fails
    /// from now on. Called on a thread of its own, since the processor's own is
    /// busy.
    fn on_health_check_failed(cx: &ExecutionContext<Self::State>, error: &Error) {
        let _ = (cx, error);
    }

    /// The state starts fresh: whatever was made of the old one is stale.
    fn reset_caches(&mut self, cx: &ExecutionContext<Self::State>) {
        let _ = cx;
    }
}

/// How a step of a processor ends. Any error turns into a [`Failure`] by `?`.
pub type Outcome = Result<(), Failure>;

/// What to do about a state that cannot be used, or that may be at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Remedy {
    /// Nothing is given up: a state that cannot be used ends the processor with
    /// an error, so that somebody looks.
    #[default]
    KeepState,
    /// What is stored is set aside, under another name, and the state begins
    /// anew.
    StartFresh,
}

/// A closure that is called at each turn, with the state in its hands.
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

/// A function in place of `run`.
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
