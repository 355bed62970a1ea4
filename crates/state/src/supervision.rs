//! For processors that supervise another program: when to stop it, and why.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::context::ExecutionContext;
use super::shutdown::StopReason;
use crate::threads;

/// For a processor that supervises another program.
impl<S> ExecutionContext<S> {
    /// When the last save has to be complete; `None` while no stop was requested. `run` and
    /// `shutdown` have to return early enough before it to leave time for the save: the
    /// process exits 5 seconds, or a fifth of the shutdown timeout, before it.
    ///
    /// ```
    /// # use satellite_state::ExecutionContext;
    /// # use std::time::{Duration, Instant};
    /// fn time_left(cx: &ExecutionContext<u64>) -> Option<Duration> {
    ///     cx.stop_deadline().map(|end| end.saturating_duration_since(Instant::now()))
    /// }
    /// ```
    pub fn stop_deadline(&self) -> Option<Instant> {
        self.is_shutdown_requested()
            .then(|| threads::deadline(&self.core))
    }

    /// Whether another process has taken the state: nothing of what this process does is
    /// saved any more, and it must not act.
    ///
    /// ```
    /// # use satellite_state::ExecutionContext;
    /// fn signal_for_the_child(cx: &ExecutionContext<u64>) -> &'static str {
    ///     if cx.is_fenced() { "KILL" } else { "TERM" }
    /// }
    /// ```
    pub fn is_fenced(&self) -> bool {
        matches!(self.core.stop_reason(), Some(StopReason::Fenced(_)))
    }

    /// The process that asked for the state, and for which this one stops.
    ///
    /// ```
    /// # use satellite_state::ExecutionContext;
    /// fn reason(cx: &ExecutionContext<u64>) -> String {
    ///     match cx.successor() {
    ///         Some(name) => format!("handing over to {name}"),
    ///         None => "stopping".to_owned(),
    ///     }
    /// }
    /// ```
    pub fn successor(&self) -> Option<String> {
        match self.core.stop_reason() {
            Some(StopReason::HandOver(to)) => Some(to),
            _ => None,
        }
    }

    /// Whether another process gets the state when it asks for it: true until set. A process
    /// that cannot stop its work, or could not save it, sets false; other processes then
    /// wait until it ends, and `/ready` of those names it.
    ///
    /// ```
    /// # use satellite_state::ExecutionContext;
    /// fn keep_the_state_while_it_is_too_large(cx: &ExecutionContext<Vec<u8>>) {
    ///     cx.hand_over_on_request(cx.state().len() < 1_000_000);
    /// }
    /// ```
    pub fn hand_over_on_request(&self, yields: bool) {
        self.core.yields.store(yields, Ordering::SeqCst);
    }

    /// Makes `/healthz` fail with this reason until it is set to `None`: Kubernetes then
    /// restarts the container.
    ///
    /// ```
    /// # use satellite_state::ExecutionContext;
    /// fn report(cx: &ExecutionContext<u64>, child_responds: bool) {
    ///     let problem = "the child does not respond".to_owned();
    ///     cx.set_liveness_problem((!child_responds).then_some(problem));
    /// }
    /// ```
    pub fn set_liveness_problem(&self, problem: Option<String>) {
        let current = self.core.liveness_problem.lock();
        *current.unwrap_or_else(PoisonError::into_inner) = problem;
    }
}
