//! The operator's page on the health port: one HTML document that is readable without its
//! script, and that its script keeps up to date by server-sent events.

mod access;
mod events;
mod format;
mod html;
mod json;
mod parts;
mod render;
mod view;

pub(crate) use self::json::respond;
pub use self::view::{Alert, Deployment, Fact, Feature, Outage, Panel, Task, Tone, View};

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use satellite_core::Secret;

use self::access::Access;

/// Tasks that have ended and are listed.
const ENDED_TASKS: usize = 50;
/// Outages that are kept.
const OUTAGES: usize = 200;
/// How long outages are shown.
pub(crate) const DAY_MS: u64 = 24 * 3600 * 1000;

/// What the page shows. Clones share one state.
///
/// ```
/// let health = satellite_health::Health::new();
/// let page = health.page();
/// page.program("edge-worker", "1.2.0");
/// page.disconnected(&"connection refused");
/// let view = page.view(&health);
/// assert_eq!(view.disconnected_because.as_deref(), Some("connection refused"));
/// ```
#[derive(Clone, Default)]
pub struct Page(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    access: Access,
    /// Event streams opened so far.
    streams: AtomicU64,
}

#[derive(Default)]
struct State {
    program: String,
    version: String,
    platform: String,
    started_ms: u64,
    connected_since_ms: Option<u64>,
    disconnected_because: Option<String>,
    running: Vec<Task>,
    ended: VecDeque<Task>,
    /// The last one has no end while it goes on.
    outages: VecDeque<Outage>,
    panel: Option<Arc<PanelSource>>,
    acknowledge: Option<Arc<Acknowledge>>,
}

type PanelSource = dyn Fn() -> Panel + Send + Sync;
type Acknowledge = dyn Fn(&str) -> bool + Send + Sync;

impl Page {
    /// Sets the name and version of the program.
    pub fn program(&self, name: &str, version: &str) {
        let mut state = self.lock();
        (state.program, state.version) = (name.to_owned(), version.to_owned());
    }

    /// Sets the platform's address, and the start of the worker.
    pub fn platform(&self, url: &str) {
        let mut state = self.lock();
        state.platform = url.to_owned();
        state.started_ms = now_ms();
    }

    /// Sets the token that all clients need. Without one, the page is for clients on this host.
    pub fn token(&self, token: Secret) {
        self.0.access.set_token(token);
    }

    /// The platform has responded.
    pub fn connected(&self) {
        let mut state = self.lock();
        let now = now_ms();
        state.disconnected_because = None;
        state.connected_since_ms.get_or_insert(now);
        if let Some(outage) = state.outages.back_mut() {
            outage.end_ms.get_or_insert(now);
        }
    }

    /// The platform has not responded.
    pub fn disconnected(&self, reason: &dyn fmt::Display) {
        let mut state = self.lock();
        state.connected_since_ms = None;
        state.disconnected_because = Some(reason.to_string());
        if state
            .outages
            .back()
            .is_none_or(|outage| outage.end_ms.is_some())
        {
            let begin_ms = now_ms();
            let (end_ms, reason) = (None, reason.to_string());
            state.outages.push_back(Outage {
                begin_ms,
                end_ms,
                reason,
            });
            if state.outages.len() > OUTAGES {
                state.outages.pop_front();
            }
        }
    }

    /// Adds an outage of an earlier process, or of the time between two processes.
    pub fn earlier_outage(&self, begin_ms: u64, end_ms: u64, reason: &str) {
        let mut state = self.lock();
        state.outages.push_front(Outage {
            begin_ms,
            end_ms: Some(end_ms),
            reason: reason.to_owned(),
        });
        state
            .outages
            .make_contiguous()
            .sort_by_key(|outage| outage.begin_ms);
    }

    /// A task has started.
    pub fn task_started(&self, id: &str, task_type: &str) {
        let mut state = self.lock();
        state.running.retain(|task| task.id != id);
        state.running.push(Task {
            id: id.to_owned(),
            task_type: task_type.to_owned(),
            status: "running".to_owned(),
            started_ms: now_ms(),
            ..Task::default()
        });
    }

    /// A task has ended with this status, and with a reason if it failed.
    pub fn task_ended(&self, id: &str, status: &str, reason: Option<&str>) {
        let mut state = self.lock();
        let running = state.running.iter().position(|task| task.id == id);
        let task = running.map(|at| state.running.remove(at));
        let now = now_ms();
        state.ended.push_front(Task {
            id: id.to_owned(),
            status: status.to_owned(),
            ended_ms: Some(now),
            reason: reason.map(|reason| reason.chars().take(500).collect()),
            ..task.unwrap_or_else(|| Task {
                started_ms: now,
                ..Task::default()
            })
        });
        state.ended.truncate(ENDED_TASKS);
    }

    /// Shows more: a satellite's deployments, alerts and engine. Called for each rendering.
    pub fn provide(&self, panel: impl Fn() -> Panel + Send + Sync + 'static) {
        self.lock().panel = Some(Arc::new(panel));
    }

    /// Called with the id of an [`Alert`] that somebody acknowledges; false if there is none.
    pub fn on_acknowledge(&self, acknowledge: impl Fn(&str) -> bool + Send + Sync + 'static) {
        self.lock().acknowledge = Some(Arc::new(acknowledge));
    }

    /// What the page shows now.
    pub fn view(&self, health: &crate::Health) -> View {
        let pairs = |reasons: std::collections::BTreeMap<_, _>| {
            let facts = reasons.into_iter();
            facts.map(|(name, value)| Fact { name, value }).collect()
        };
        let panel = self.lock().panel.clone();
        // Without a lock: it may take its own.
        let panel = panel.map(|panel| panel()).unwrap_or_default();
        let state = self.lock();
        let now_ms = now_ms();
        let is_recent = |outage: &&Outage| outage.end_ms.unwrap_or(now_ms) + DAY_MS > now_ms;
        View {
            program: state.program.clone(),
            version: state.version.clone(),
            platform: state.platform.clone(),
            now_ms,
            started_ms: state.started_ms,
            connected_since_ms: state.connected_since_ms,
            disconnected_because: state.disconnected_because.clone(),
            problems: pairs(health.problems()),
            warnings: pairs(health.warnings()),
            running: state.running.clone(),
            ended: state.ended.iter().cloned().collect(),
            outages: state.outages.iter().filter(is_recent).cloned().collect(),
            panel,
        }
    }

    fn acknowledge(&self, alert: &str) -> bool {
        let acknowledge = self.lock().acknowledge.clone();
        acknowledge.is_some_and(|acknowledge| acknowledge(alert))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page")
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as u64
}

#[cfg(test)]
mod tests;
