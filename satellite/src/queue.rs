//! The job queue: one job at a time for each deployment, in the order of their tasks.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The state that a job brings its deployment to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesiredState {
    Deployed,
    Removed,
}

impl fmt::Display for DesiredState {
    /// The task type.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DesiredState::Deployed => "deploy",
            DesiredState::Removed => "undeploy",
        })
    }
}

/// Why a deploy was cancelled. An undeploy is never cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The deployment is being deleted.
    Deleted,
    /// A later deploy of the same deployment replaced it.
    Replaced,
}

/// A job's entry in the queue of its deployment.
#[derive(Debug)]
pub struct Entry {
    desired: DesiredState,
    cancelled: AtomicU8,
}

#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: HashMap<String, VecDeque<Arc<Entry>>>,
    ended: HashMap<String, Instant>,
}

impl Entry {
    pub fn cancelled(&self) -> Option<Cancelled> {
        match self.cancelled.load(Ordering::SeqCst) {
            0 => None,
            1 => Some(Cancelled::Deleted),
            _ => Some(Cancelled::Replaced),
        }
    }
}

impl Queue {
    /// Adds a job at the end of its deployment's queue and cancels the deploys before it.
    pub fn enqueue(&self, deployment_id: &str, desired: DesiredState) -> Arc<Entry> {
        let entry = Arc::new(Entry {
            desired,
            cancelled: AtomicU8::new(0),
        });
        let mut state = self.state();
        let entries = state.waiting.entry(deployment_id.to_owned()).or_default();
        let deploys = entries
            .iter()
            .filter(|entry| entry.desired == DesiredState::Deployed);
        for earlier in deploys {
            let why = if desired == DesiredState::Removed {
                1
            } else {
                2
            };
            earlier.cancelled.store(why, Ordering::SeqCst);
        }
        entries.push_back(Arc::clone(&entry));
        self.changed.notify_all();
        entry
    }

    /// Waits until the job is first in its queue, or is cancelled.
    pub fn wait_until_first(&self, deployment_id: &str, entry: &Arc<Entry>) {
        let first = |state: &State| {
            let entries = state.waiting.get(deployment_id);
            entries
                .and_then(VecDeque::front)
                .is_some_and(|t| Arc::ptr_eq(t, entry))
        };
        let waiting = |state: &mut State| entry.cancelled().is_none() && !first(state);
        drop(self.changed.wait_while(self.state(), waiting));
    }

    pub fn remove(&self, deployment_id: &str, entry: &Arc<Entry>) {
        let mut state = self.state();
        if let Some(entries) = state.waiting.get_mut(deployment_id) {
            entries.retain(|other| !Arc::ptr_eq(other, entry));
            if entries.is_empty() {
                state.waiting.remove(deployment_id);
            }
        }
        state.ended.insert(deployment_id.to_owned(), Instant::now());
        self.changed.notify_all();
    }

    /// Whether a job of this deployment is queued, runs, or has ended since `then`.
    pub fn was_active_since(&self, deployment_id: &str, then: Instant) -> bool {
        let state = self.state();
        state.waiting.contains_key(deployment_id)
            || state
                .ended
                .get(deployment_id)
                .is_some_and(|end| *end >= then)
    }

    /// Forgets when jobs ended, except for the deployments for which `known` holds.
    pub fn retain(&self, known: impl Fn(&str) -> bool) {
        self.state().ended.retain(|id, _| known(id));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_jobs_cancel_deploys_but_not_undeploys() {
        let queue = Queue::default();
        let first = queue.enqueue("d", DesiredState::Deployed);
        let second = queue.enqueue("d", DesiredState::Deployed);
        assert_eq!(first.cancelled(), Some(Cancelled::Replaced));
        let down = queue.enqueue("d", DesiredState::Removed);
        assert_eq!(second.cancelled(), Some(Cancelled::Deleted));
        let again = queue.enqueue("d", DesiredState::Removed);
        let up = queue.enqueue("d", DesiredState::Deployed);
        assert_eq!(
            (down.cancelled(), again.cancelled(), up.cancelled()),
            (None, None, None)
        );
        for entry in [&first, &second] {
            queue.wait_until_first("d", entry); // cancelled: does not wait
            queue.remove("d", entry);
        }
        for entry in [&down, &again, &up] {
            queue.wait_until_first("d", entry); // first in the queue: does not wait
            queue.remove("d", entry);
        }
        assert!(queue.was_active_since("d", Instant::now() - std::time::Duration::from_secs(1)));
        assert!(!queue.was_active_since("d", Instant::now()));
    }
}
