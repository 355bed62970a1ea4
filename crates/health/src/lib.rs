//! The health state of a worker, and the thread that serves it over HTTP.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "no_metrics.rs"]
pub mod metrics;
#[cfg(feature = "page")]
pub mod page;
#[cfg(not(feature = "page"))]
#[path = "no_page.rs"]
pub mod page;
mod probe;
mod reasons;
#[cfg(feature = "server")]
mod server;

pub use probe::Probe;
#[cfg(feature = "server")]
pub use server::HealthServer;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::Metrics;
use page::Page;
use reasons::Reasons;

/// The problems that keep this satellite from being ready, and its warnings. Clones
/// share one state.
///
/// `/readyz` returns 200 while there is no problem, otherwise 503 with all of them.
/// A satellite can add its own problems, each under a name:
///
/// ```
/// use satellite_health::Health;
///
/// let health = Health::new();
/// health.problem("engine", "docker does not answer");
/// assert!(!health.is_ready());
/// health.clear("engine");
/// assert!(health.is_ready());
/// ```
#[derive(Clone, Default)]
pub struct Health {
    state: Arc<Mutex<State>>,
    metrics: Metrics,
    page: Page,
}

#[derive(Default)]
struct State {
    problems: Reasons,
    warnings: Reasons,
    /// Names whose beginning was logged, so that the end is logged too.
    logged: Vec<String>,
}

impl Health {
    /// Reports a problem: not ready until [`clear`](Self::clear)ed. Logged as a warning
    /// when it begins, not again while it lasts.
    pub fn problem(&self, name: &str, reason: impl fmt::Display) {
        let reason = reason.to_string();
        if self.insert(name, &reason, |state| &mut state.problems) {
            log::warn!("{name}: not ready: {reason}");
        }
    }

    /// Reports a warning: still ready, and `/readyz` lists it. Logged as a warning when
    /// it begins, not again while it lasts.
    pub fn warning(&self, name: &str, reason: impl fmt::Display) {
        let reason = reason.to_string();
        if self.insert(name, &reason, |state| &mut state.warnings) {
            log::warn!("{name}: {reason}");
        }
    }

    /// Removes this problem or warning; logged once.
    pub fn clear(&self, name: &str) {
        let mut state = self.lock();
        state.problems.remove(name);
        state.warnings.remove(name);
        let is_logged = state.forget(name);
        drop(state);
        if is_logged {
            log::info!("{name}: the problem is resolved");
        }
    }

    /// Like [`problem`](Self::problem), if the caller logs the beginning itself.
    pub fn set_problem(&self, name: &str, reason: impl fmt::Display) {
        self.insert(name, &reason.to_string(), |state| &mut state.problems);
    }

    /// Sets the initial problem of a starting worker, which is not logged.
    pub fn starting(&self, name: &str, reason: &str) {
        self.set_problem(name, reason);
        self.lock().forget(name);
    }

    /// Whether there is no problem.
    pub fn is_ready(&self) -> bool {
        self.lock().problems.0.is_empty()
    }

    /// The current problems, by name.
    pub fn problems(&self) -> BTreeMap<String, String> {
        self.lock().problems.0.iter().cloned().collect()
    }

    /// The current warnings, by name.
    pub fn warnings(&self) -> BTreeMap<String, String> {
        self.lock().warnings.0.iter().cloned().collect()
    }

    /// A state without problems.
    pub fn new() -> Self {
        Health::default()
    }

    /// The metrics of this process.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The operator's page.
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// Records this reason; true if its beginning was not logged yet.
    fn insert(&self, name: &str, reason: &str, reasons: fn(&mut State) -> &mut Reasons) -> bool {
        let mut state = self.lock();
        reasons(&mut state).set(name, reason);
        let is_new = !state.logged.iter().any(|logged| logged == name);
        if is_new {
            state.logged.push(name.to_owned());
        }
        is_new
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// True if the beginning of `name` was logged.
    fn forget(&mut self, name: &str) -> bool {
        let at = self.logged.iter().position(|logged| logged == name);
        at.map(|at| self.logged.swap_remove(at)).is_some()
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").field(&self.problems()).finish()
    }
}

/// Runs the examples of the README as doctests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
