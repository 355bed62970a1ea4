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
    problems: BTreeMap<String, String>,
    warnings: BTreeMap<String, String>,
}

impl Health {
    /// Not ready, for this reason, until [`clear`](Self::clear)ed.
    pub fn problem(&self, name: &str, reason: impl fmt::Display) {
        self.lock()
            .problems
            .insert(name.to_owned(), reason.to_string());
    }

    /// Ready all the same, but somebody should look: `/readyz` shows it beside.
    pub fn warning(&self, name: &str, reason: impl fmt::Display) {
        self.lock()
            .warnings
            .insert(name.to_owned(), reason.to_string());
    }

    /// This reason, or warning, is gone.
    pub fn clear(&self, name: &str) {
        let mut state = self.lock();
        state.problems.remove(name);
        state.warnings.remove(name);
    }

    /// Whether nothing stands in the way.
    pub fn is_ready(&self) -> bool {
        self.lock().problems.is_empty()
    }

    /// What stands in the way, by name.
    pub fn problems(&self) -> BTreeMap<String, String> {
        self.lock().problems.clone()
    }

    /// What somebody should look at, by name.
    pub fn warnings(&self) -> BTreeMap<String, String> {
        self.lock().warnings.clone()
    }

    /// Nothing stands in the way yet.
    pub fn good() -> Self {
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

impl Default for Health {
    /// Not ready: the platform has not answered yet.
    fn default() -> Self {
        let health = Health::good();
        health.problem(PLATFORM, "not polled yet");
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
