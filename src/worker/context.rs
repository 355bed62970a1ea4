//! What a handler is given beside its task.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::journal::Journal;
use super::outbox::{Outbox, Report};
use crate::luml::PlatformClient;
use satellite_core::Failure;
use satellite_core::wake::{Stage, Waiter};
use satellite_health::Health;

/// What the parts of a running worker share.
pub(super) struct Shared {
    pub(super) platform: PlatformClient,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) health: Health,
    pub(super) waiter: Waiter,
    pub(super) outbox: Mutex<Outbox>,
    pub(super) journal: Mutex<Journal>,
    /// True while a poll is under way, which a stop may break off.
    pub(super) polling: AtomicBool,
    /// True once a signal ends the process with work under way. Whatever that
    /// work answers from now on may be the signal's doing, and is not reported.
    pub(super) cut: AtomicBool,
    /// Where there is a processor around: whether it may act.
    pub(super) may_act: Option<MayAct>,
    /// The context of the processor around, an `ExecutionContext<S>`.
    #[cfg(feature = "state")]
    pub(super) processor: Option<Arc<dyn std::any::Any + Send + Sync>>,
}

pub(super) type MayAct = Arc<dyn Fn() -> bool + Send + Sync>;

impl Shared {
    pub(super) fn may_act(&self) -> bool {
        self.may_act.as_ref().is_none_or(|may_act| may_act())
    }

    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn finish(&self, report: Report) {
        if self.cut.load(Ordering::SeqCst) {
            log::warn!("task {} was cut off by the stop", report.task_id);
            return;
        }
        self.journal().finished(&report);
        self.outbox().push(report, self.waiter.now());
        self.waiter.wake.notify();
    }
}

/// What a handler works with: the platform, and word of a stop. Clones are cheap.
///
/// ```
/// use satellite_sdk::{Builder, Context, Task};
/// use std::time::Duration;
///
/// Builder::new().handler("patient", |_: Task, cx: &Context| {
///     if !cx.sleep(Duration::from_secs(5)) {
///         return Err("stopped on the way");
///     }
///     Ok(cx.task_id().map(str::to_owned))
/// });
/// ```
#[derive(Clone)]
pub struct Context {
    pub(super) shared: Arc<Shared>,
    pub(super) running: Option<Arc<Running>>,
}

/// A task in its handler.
pub(super) struct Running {
    pub(super) task_id: String,
    pub(super) task_type: String,
    pub(super) started: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The handler has returned.
    returned: bool,
    /// Somebody holds, or held, a [`Later`].
    promised: bool,
    /// The [`Later`] is gone without an answer.
    dropped: bool,
    /// There is an answer: whatever else comes is too late.
    answered: bool,
}

impl Context {
    /// The platform.
    pub fn platform(&self) -> &PlatformClient {
        &self.shared.platform
    }

    /// What `/readyz` tells; a satellite may add reasons of its own.
    pub fn health(&self) -> &Health {
        &self.shared.health
    }

    /// The state folder, `LUML_STATE_DIR`, where there is one. The files `lock` and
    /// `journal…` and the folder `downloads` in it are the kit's own.
    ///
    /// ```
    /// # let mock = satellite_sdk::testing::MockPlatform::start();
    /// # let folder = std::env::temp_dir().join("satellite-state-dir-doc");
    /// # let echo = |task: satellite_sdk::Task| satellite_sdk::done(task.payload);
    /// let satellite = mock.worker().handler("echo", echo).state_dir(&folder).build()?;
    /// assert_eq!(satellite.context().state_dir(), Some(&*folder));
    /// # drop(satellite);
    /// # std::fs::remove_dir_all(folder)?;
    /// # Ok::<(), satellite_sdk::Error>(())
    /// ```
    pub fn state_dir(&self) -> Option<&Path> {
        self.shared.state_dir.as_deref()
    }

    /// The id of the task that is being handled; `None` in periodic work.
    pub fn task_id(&self) -> Option<&str> {
        self.running.as_deref().map(|r| r.task_id.as_str())
    }

    /// The worker was asked to stop: finish soon, begin nothing large.
    pub fn is_stopping(&self) -> bool {
        self.shared.waiter.wake.stage() > Stage::Running
    }

    /// Waits for `duration`. False, and at once, when the worker is stopping.
    pub fn sleep(&self, duration: Duration) -> bool {
        self.shared.waiter.sleep(duration, Stage::Draining)
    }

    /// Takes the answer out of the handler's hands: the task stays running
    /// after the handler has returned `Ok`, until [`Later::done`] or
    /// [`Later::fail`]. What the handler returns as `Ok` is not reported; an
    /// `Err` still fails the task.
    ///
    /// Work that takes long is begun by the handler and seen to its end by
    /// [`Builder::every`](super::Builder::every), on the same thread, so that
    /// one slow task holds up nobody:
    ///
    /// ```
    /// use satellite_sdk::{Builder, Context, Later, Task};
    /// use std::sync::{Arc, Mutex};
    /// use std::time::Duration;
    ///
    /// let warming: Arc<Mutex<Vec<Later>>> = Arc::default();
    /// let begun = Arc::clone(&warming);
    /// Builder::new()
    ///     .handler("deploy", move |_: Task, cx: &Context| {
    ///         begun.lock().unwrap().extend(cx.later());
    ///         satellite_sdk::done(())
    ///     })
    ///     .every(Duration::from_secs(1), move |_: &Context| {
    ///         for later in warming.lock().unwrap().drain(..) {
    ///             later.done("up");
    ///         }
    ///         satellite_sdk::done(())
    ///     });
    /// ```
    ///
    /// `None` in periodic work, where there is no task to answer, and when it
    /// was taken before.
    pub fn later(&self) -> Option<Later> {
        let running = self.running.clone()?;
        let first = !std::mem::replace(&mut running.state().promised, true);
        first.then(|| {
            self.shared.outbox().promise(&running.task_id);
            Later {
                shared: Arc::clone(&self.shared),
                running,
            }
        })
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("task_id", &self.task_id())
            .finish_non_exhaustive()
    }
}

impl Running {
    pub(super) fn new(task_id: String, task_type: String, started: Instant) -> Self {
        Running {
            task_id,
            task_type,
            started,
            state: Mutex::default(),
        }
    }

    /// The handler is back. What is to be reported now, if anything:
    /// `by_itself` says that the handler did so already.
    pub(super) fn returned(
        &self,
        result: Result<serde_json::Value, Failure>,
        by_itself: bool,
    ) -> Option<Report> {
        let mut state = self.state();
        state.returned = true;
        if by_itself {
            state.answered = true;
            return None;
        }
        let promised = state.promised && !state.dropped;
        if state.answered || (promised && result.is_ok()) {
            return None;
        }
        state.answered = true;
        Some(match result {
            Ok(_) if state.dropped => Report::failed(self, &forgotten()),
            Ok(value) => Report::done(self, value),
            Err(failure) => Report::failed(self, &failure),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task whose answer comes later: see [`Context::later`].
///
/// May be sent to another thread. Dropped without an answer, it fails its task:
/// no task is left running by oversight.
#[must_use = "dropping it fails the task"]
pub struct Later {
    shared: Arc<Shared>,
    running: Arc<Running>,
}

impl Later {
    /// The task's id.
    pub fn task_id(&self) -> &str {
        &self.running.task_id
    }

    /// Reports the task done with this result.
    pub fn done(self, result: impl Serialize) {
        match serde_json::to_value(result) {
            Ok(value) => self.answer(|running| Report::done(running, value)),
            Err(e) => self.fail(Failure::new("the result is not JSON", e)),
        }
    }

    /// Reports the task failed.
    pub fn fail(self, failure: impl Into<Failure>) {
        let failure = failure.into();
        self.answer(|running| Report::failed(running, &failure));
    }

    /// Leaves the task running: this process is ending, and the next one takes
    /// it up, with [`OnOrphan::Rerun`](super::OnOrphan::Rerun).
    pub fn leave_running(self) {
        self.running.state().answered = true;
    }

    fn answer(&self, report: impl FnOnce(&Running) -> Report) {
        if !std::mem::replace(&mut self.running.state().answered, true) {
            self.shared.finish(report(&self.running));
        }
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        let mut state = self.running.state();
        state.dropped = true;
        // While the handler runs, what it returns may still say better.
        let forgotten_now = state.returned && !state.answered;
        drop(state);
        if forgotten_now {
            self.answer(|running| Report::failed(running, &forgotten()));
        }
        self.shared.outbox().promise_ended(&self.running.task_id);
        self.shared.waiter.wake.notify();
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Later").field(&self.task_id()).finish()
    }
}

fn forgotten() -> Failure {
    Failure::new(
        "no answer",
        "the answer was to come later, and its holder was dropped without one",
    )
}

/// Whether a poll is under way, told to whoever may break it off.
pub(super) struct Polling<'a>(&'a Shared);

impl<'a> Polling<'a> {
    pub(super) fn begin(shared: &'a Shared) -> Self {
        shared.polling.store(true, Ordering::SeqCst);
        Polling(shared)
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.polling.store(false, Ordering::SeqCst);
    }
}
