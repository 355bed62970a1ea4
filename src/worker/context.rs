//! The context that handlers and periodic work receive.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::journal::Journal;
use super::outbox::Outbox;
use super::report::Report;
use super::running::{Running, dropped_without_result};
use crate::luml::{PlatformClient, TaskStatus};
use satellite_core::Failure;
use satellite_core::wake::{Stage, Waiter};
use satellite_health::Health;

/// State shared by the parts of a running worker.
pub(super) struct Shared {
    pub(super) platform: PlatformClient,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) health: Health,
    pub(super) waiter: Waiter,
    pub(super) outbox: Mutex<Outbox>,
    pub(super) journal: Mutex<Journal>,
    /// True while a poll is in progress, which a stop may interrupt.
    pub(super) polling: AtomicBool,
    /// True once a signal ends the process while a task runs. The signal may have
    /// caused any result that arrives from now on, so results are not reported.
    pub(super) discard_results: AtomicBool,
    /// When embedded in a processor: whether the processor may act.
    pub(super) may_act: Option<MayAct>,
    /// The context of the enclosing processor, an `ExecutionContext<S>`.
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
        if self.discard_results.load(Ordering::SeqCst) {
            log::warn!("task {} was interrupted by the stop", report.task_id);
            return;
        }
        self.journal().finished(&report);
        let error = report.result.as_ref().and_then(|r| r["error"].as_str());
        let error = error.filter(|_| report.status == TaskStatus::Failed);
        let page = self.health.page();
        page.task_ended(&report.task_id, report.status.as_str(), error);
        self.outbox().push(report, self.waiter.now());
        self.waiter.wake.notify();
    }
}

/// Gives a handler access to the platform client, the stop signal, the health state
/// and the state directory. Clones are cheap.
///
/// ```
/// use satellite_sdk::{Builder, Context, Task};
/// use std::time::Duration;
///
/// Builder::new().handler("wait", |_: Task, cx: &Context| {
///     if !cx.sleep(Duration::from_secs(5)) {
///         return Err("interrupted by a stop");
///     }
///     Ok(cx.task_id().map(str::to_owned))
/// });
/// ```
#[derive(Clone)]
pub struct Context {
    pub(super) shared: Arc<Shared>,
    pub(super) running: Option<Arc<Running>>,
}

impl Context {
    /// The platform client.
    pub fn platform(&self) -> &PlatformClient {
        &self.shared.platform
    }

    /// The state that `/readyz` reports. A satellite can add its own reasons.
    pub fn health(&self) -> &Health {
        &self.shared.health
    }

    /// The state folder (`LUML_STATE_DIR`), if configured. The files `lock` and
    /// `journal…` and the folder `downloads` in it belong to the kit.
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

    /// The id of the current task; `None` in periodic work.
    pub fn task_id(&self) -> Option<&str> {
        self.running.as_deref().map(|r| r.task_id.as_str())
    }

    /// True when the worker is stopping: finish soon, start nothing long.
    pub fn is_stopping(&self) -> bool {
        self.shared.waiter.wake.stage() > Stage::Running
    }

    /// Waits for `duration`. Returns false at once when the worker is stopping.
    pub fn sleep(&self, duration: Duration) -> bool {
        self.shared.waiter.sleep(duration, Stage::Draining)
    }

    /// Defers the result: the task stays running after the handler has returned
    /// `Ok`, until [`Later::done`] or [`Later::fail`] is called. The `Ok` value of
    /// the handler is not reported; an `Err` still fails the task.
    ///
    /// For long work: the handler starts it, and
    /// [`Builder::every`](super::Builder::every) completes it, on the same thread,
    /// so that one slow task does not block others:
    ///
    /// ```
    /// use satellite_sdk::{Builder, Context, Later, Task};
    /// use std::sync::{Arc, Mutex};
    /// use std::time::Duration;
    ///
    /// let warming: Arc<Mutex<Vec<Later>>> = Arc::default();
    /// let started = Arc::clone(&warming);
    /// Builder::new()
    ///     .handler("deploy", move |_: Task, cx: &Context| {
    ///         started.lock().unwrap().extend(cx.later());
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
    /// Returns `None` in periodic work, where there is no task, and on a second
    /// call for the same task.
    pub fn later(&self) -> Option<Later> {
        let running = self.running.clone()?;
        let first = !std::mem::replace(&mut running.state().deferred, true);
        first.then(|| {
            self.shared.outbox().defer(&running.task_id);
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

/// Reports a deferred result: see [`Context::later`].
///
/// Can be sent to another thread. Dropping it without a result fails the task, so
/// that no task is left running by mistake.
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
            Ok(value) => self.answer(|running| running.done(value)),
            Err(e) => self.fail(Failure::new("the result is not JSON", e)),
        }
    }

    /// Reports the task failed.
    pub fn fail(self, failure: impl Into<Failure>) {
        let failure = failure.into();
        self.answer(|running| running.failed(&failure));
    }

    /// Leaves the task running on the platform: this process is ending, and the
    /// next one runs it again, with [`OnOrphan::Rerun`](super::OnOrphan::Rerun).
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
        // While the handler runs, it can still return an error with more detail.
        let is_lost = state.returned && !state.answered;
        drop(state);
        if is_lost {
            self.answer(|running| running.failed(&dropped_without_result()));
        }
        self.shared.outbox().deferral_ended(&self.running.task_id);
        self.shared.waiter.wake.notify();
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Later").field(&self.task_id()).finish()
    }
}

/// Marks a poll as in progress until dropped, so that a stop can interrupt it.
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
