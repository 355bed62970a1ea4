//! Signs of life: what the worker knows of itself, and the thread that tells it.

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

/// What stands between this satellite and being ready. Clones share one state.
///
/// `/readyz` answers 200 while there is nothing here, and 503 with all of it
/// otherwise. A satellite adds reasons of its own, each under a name:
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
    /// The log has told of it, and will tell of its end.
    is_logged: bool,
}

impl Health {
    /// Not ready, for this reason, until [`clear`](Self::clear)ed. Logged as a warning
    /// when it begins, not again while it lasts.
    pub fn problem(&self, name: &str, reason: impl fmt::Display) {
        let reason = reason.to_string();
        if begins(&mut self.lock().problems, name, &reason) {
            log::warn!("{name}: not ready: {reason}");
        }
    }

    /// Ready all the same, but somebody should look: `/readyz` shows it beside. Logged
    /// as a warning when it begins, not again while it lasts.
    pub fn warning(&self, name: &str, reason: impl fmt::Display) {
        let reason = reason.to_string();
        if begins(&mut self.lock().warnings, name, &reason) {
            log::warn!("{name}: {reason}");
        }
    }

    /// This reason, or warning, is gone; logged once.
    pub fn clear(&self, name: &str) {
        let mut state = self.lock();
        let gone = [state.problems.remove(name), state.warnings.remove(name)];
        drop(state);
        if gone.iter().flatten().any(|reason| reason.is_logged) {
            log::info!("{name}: the problem has ended");
        }
    }

    /// As [`problem`](Self::problem), where the caller logs how it began.
    pub fn set_problem(&self, name: &str, reason: impl fmt::Display) {
        let text = reason.to_string();
        let is_logged = true;
        let reason = Reason { text, is_logged };
        self.lock().problems.insert(name.to_owned(), reason);
    }

    /// Not ready yet: the usual way to begin, which is not logged.
    pub fn starting(&self, name: &str, reason: &str) {
        let text = reason.to_owned();
        let is_logged = false;
        let reason = Reason { text, is_logged };
        self.lock().problems.insert(name.to_owned(), reason);
    }

    /// Whether nothing stands in the way.
    pub fn is_ready(&self) -> bool {
        self.lock().problems.is_empty()
    }

    /// What stands in the way, by name.
    pub fn problems(&self) -> BTreeMap<String, String> {
        texts(&self.lock().problems)
    }

    /// What somebody should look at, by name.
    pub fn warnings(&self) -> BTreeMap<String, String> {
        texts(&self.lock().warnings)
    }

    /// Nothing stands in the way yet.
    pub fn new() -> Self {
        let metrics = Default::default();
        let state = Arc::default();
        Health { state, metrics }
    }

    /// The figures beside the reasons.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes this reason; true where the log has not told of it yet.
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
    /// Not ready: the platform has not answered yet.
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

/// The name under which the worker tells how its last poll went.
pub const PLATFORM: &str = "platform";

/// The name under which the worker tells what is wrong with its journal.
pub const JOURNAL: &str = "journal";

/// The name under which the worker tells that it has not registered.
pub const REGISTRATION: &str = "registration";

/// The README's examples are tests as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
