//! Who works on which deployment: one job at a time, in the order of their tasks.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What a job wants of its deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Up,
    Down,
}

impl fmt::Display for Wish {
    /// The type of the task.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wish::Up => "deploy",
            Wish::Down => "undeploy",
        })
    }
}

/// Why a job is not wanted any more. An undeploy always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outdated {
    /// The deployment is being deleted.
    Deleted,
    /// A later deploy of the same took its place.
    Replaced,
}

/// A job's place in its line.
#[derive(Debug)]
pub struct Turn {
    wish: Wish,
    outdated: AtomicU8,
}

#[derive(Default)]
pub struct Queue {
    lines: Mutex<Lines>,
    moved: Condvar,
}

#[derive(Default)]
struct Lines {
    waiting: HashMap<String, VecDeque<Arc<Turn>>>,
    ended: HashMap<String, Instant>,
}

impl Turn {
    pub fn outdated(&self) -> Option<Outdated> {
        match self.outdated.load(Ordering::SeqCst) {
            0 => None,
            1 => Some(Outdated::Deleted),
            _ => Some(Outdated::Replaced),
        }
    }
}

impl Queue {
    /// Takes a place at the end of the line. Deploys before it are outdated.
    pub fn join(&self, deployment_id: &str, wish: Wish) -> Arc<Turn> {
        let turn = Arc::new(Turn {
            wish,
            outdated: AtomicU8::new(0),
        });
        let mut lines = self.lines();
        let line = lines.waiting.entry(deployment_id.to_owned()).or_default();
        for earlier in line.iter().filter(|turn| turn.wish == Wish::Up) {
            let why = if wish == Wish::Down { 1 } else { 2 };
            earlier.outdated.store(why, Ordering::SeqCst);
        }
        line.push_back(Arc::clone(&turn));
        self.moved.notify_all();
        turn
    }

    /// Waits until it is this job's turn, or until it is outdated.
    pub fn wait(&self, deployment_id: &str, turn: &Arc<Turn>) {
        let first = |lines: &Lines| {
            let line = lines.waiting.get(deployment_id);
            line.and_then(VecDeque::front)
                .is_some_and(|t| Arc::ptr_eq(t, turn))
        };
        let waiting = |lines: &mut Lines| turn.outdated().is_none() && !first(lines);
        drop(self.moved.wait_while(self.lines(), waiting));
    }

    pub fn leave(&self, deployment_id: &str, turn: &Arc<Turn>) {
        let mut lines = self.lines();
        if let Some(line) = lines.waiting.get_mut(deployment_id) {
            line.retain(|other| !Arc::ptr_eq(other, turn));
            if line.is_empty() {
                lines.waiting.remove(deployment_id);
            }
        }
        lines.ended.insert(deployment_id.to_owned(), Instant::now());
        self.moved.notify_all();
    }

    /// Whether somebody works on it, or has since `then`.
    pub fn was_busy_since(&self, deployment_id: &str, then: Instant) -> bool {
        let lines = self.lines();
        lines.waiting.contains_key(deployment_id)
            || lines
                .ended
                .get(deployment_id)
                .is_some_and(|end| *end >= then)
    }

    /// Forgets when the jobs on all other deployments ended.
    pub fn remember_only(&self, known: impl Fn(&str) -> bool) {
        self.lines().ended.retain(|id, _| known(id));
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deploys_are_outdated_by_what_comes_later_and_undeploys_never_are() {
        let queue = Queue::default();
        let first = queue.join("d", Wish::Up);
        let second = queue.join("d", Wish::Up);
        assert_eq!(first.outdated(), Some(Outdated::Replaced));
        let down = queue.join("d", Wish::Down);
        assert_eq!(second.outdated(), Some(Outdated::Deleted));
        let again = queue.join("d", Wish::Down);
        let up = queue.join("d", Wish::Up);
        assert_eq!(
            (down.outdated(), again.outdated(), up.outdated()),
            (None, None, None)
        );
        for turn in [&first, &second] {
            queue.wait("d", turn); // outdated: does not wait
            queue.leave("d", turn);
        }
        for turn in [&down, &again, &up] {
            queue.wait("d", turn); // the first in line: does not wait
            queue.leave("d", turn);
        }
        assert!(queue.was_busy_since("d", Instant::now() - std::time::Duration::from_secs(1)));
        assert!(!queue.was_busy_since("d", Instant::now()));
    }
}
