//! The health state of a worker, and the thread that serves it over HTTP.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "no_metrics.rs"]
pub mod metrics;
mod probe;
#[cfg(feature = "server")]
mod server;

pub use probe::Probe;
#[cfg(feature = "server")]
pub use server::HealthServer;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::Metrics;

/// The problems that keep this satellite from being ready, and its warnings. Clones
/// share one state.
///
/// `/readyz` returns 200 while there is no problem, otherwise 503 with all of them.
/// A satellite can add its own problems, each under a name:
///
/// ```
/// use satellite_health::Health;
///
/// let health = Health::default();
/// health.problem("engine", "docker does not answer");
/// assert!(!health.is_ready());
/// health.clear("engine");
/// # health.clear("platform");
/// assert!(health.is_ready());
/// ```
#[derive(Clone)]
pub struct Health {
    state: Arc<Mutex<State>>,
    metrics: Metrics,
}

#[derive(Default)]
struct State {
    problems: Reasons,
    warnings: Reasons,
}

type Reasons = BTreeMap<String, Reason>;

struct Reason {
    text: String,
    /// Whether the beginning was logged, so that the end is logged too.
    is_logged: bool,
}

impl Health {
    /// Reports a problem: not ready until [`clear`](Self::clear)ed. Logged as a warning
    /// when it begins, not again while it lasts.
    pub fn problem(&self, name: &str, reason: impl fmt::Display) {
        let reason = reason.to_string();
        if begins(&mut self.lock().problems, name, &reason) {
            log::warn!("{name}: not ready: {reason}");
        }
    }

    /// Reports a warning: still ready, and `/readyz` lists it. Logged as a warning when
    /// it begins, not again while it lasts.
    pub fn warning(&self, name: &str, reason: impl fmt::Display) {
        let reason = reason.to_string();
        if begins(&mut self.lock().warnings, name, &reason) {
            log::warn!("{name}: {reason}");
        }
    }

    /// Removes this problem or warning; logged once.
    pub fn clear(&self, name: &str) {
        let mut state = self.lock();
        let removed = [state.problems.remove(name), state.warnings.remove(name)];
        drop(state);
        if removed.iter().flatten().any(|reason| reason.is_logged) {
            log::info!("{name}: the problem is resolved");
        }
    }

    /// Like [`problem`](Self::problem), if the caller logs the beginning itself.
    pub fn set_problem(&self, name: &str, reason: impl fmt::Display) {
        let text = reason.to_string();
        let is_logged = true;
        let reason = Reason { text, is_logged };
        self.lock().problems.insert(name.to_owned(), reason);
    }

    /// Sets the initial problem of a starting worker, which is not logged.
    pub fn starting(&self, name: &str, reason: &str) {
        let text = reason.to_owned();
        let is_logged = false;
        let reason = Reason { text, is_logged };
        self.lock().problems.insert(name.to_owned(), reason);
    }

    /// Whether there is no problem.
    pub fn is_ready(&self) -> bool {
        self.lock().problems.is_empty()
    }

    /// The current problems, by name.
    pub fn problems(&self) -> BTreeMap<String, String> {
        texts(&self.lock().problems)
    }

    /// The current warnings, by name.
    pub fn warnings(&self) -> BTreeMap<String, String> {
        texts(&self.lock().warnings)
    }

    /// A state without problems.
    pub fn new() -> Self {
        let metrics = Default::default();
        let state = Arc::default();
        Health { state, metrics }
    }

    /// The metrics of this process.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records this reason; true if its beginning was not logged yet.
fn begins(reasons: &mut Reasons, name: &str, text: &str) -> bool {
    let reason = Reason {
        text: text.to_owned(),
        is_logged: true,
    };
    let before = reasons.insert(name.to_owned(), reason);
    !before.is_some_and(|before| before.is_logged)
}

fn texts(reasons: &Reasons) -> BTreeMap<String, String> {
    let reasons = reasons.iter();
    reasons
        .map(|(name, r)| (name.clone(), r.text.clone()))
        .collect()
}

impl Default for Health {
    /// Not ready: the platform has not been polled yet.
    fn default() -> Self {
        let health = Health::new();
        health.starting(PLATFORM, "not polled yet");
        health
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").field(&self.problems()).finish()
    }
}

/// The name under which the worker reports a failed poll.
pub const PLATFORM: &str = "platform";

/// The name under which the worker reports a problem with its journal.
pub const JOURNAL: &str = "journal";

/// The name under which the worker reports that it is not registered.
pub const REGISTRATION: &str = "registration";

/// Runs the examples of the README as doctests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
