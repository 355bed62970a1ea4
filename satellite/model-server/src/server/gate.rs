//! How many requests compute at the same time, and how many wait for that.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A limit for concurrent requests, with a limited queue.
#[derive(Debug)]
pub struct Gate {
    counts: Mutex<Counts>,
    freed: Condvar,
    workers: usize,
    queue: usize,
    wait: Duration,
}

/// Requests that compute and that wait.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub running: usize,
    pub waiting: usize,
}

/// The right to compute, until it is dropped.
#[derive(Debug)]
pub struct Permit<'a>(&'a Gate);

impl Gate {
    pub fn new(workers: usize, queue: usize, wait: Duration) -> Self {
        Gate {
            counts: Mutex::default(),
            freed: Condvar::new(),
            workers,
            queue,
            wait,
        }
    }

    /// Waits for a place. `None` if too many wait already, or if it takes too long.
    pub fn enter(&self) -> Option<Permit<'_>> {
        let mut counts = self.lock();
        if counts.running >= self.workers {
            if counts.waiting >= self.queue {
                return None;
            }
            counts.waiting += 1;
            let deadline = Instant::now() + self.wait;
            while counts.running >= self.workers {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    counts.waiting -= 1;
                    return None;
                }
                let woken = self.freed.wait_timeout(counts, left);
                counts = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
            counts.waiting -= 1;
        }
        counts.running += 1;
        Some(Permit(self))
    }

    pub fn counts(&self) -> Counts {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_and_a_long_wait_are_refused() {
        let gate = Gate::new(1, 1, Duration::from_millis(20));
        let first = gate.enter();
        assert!(first.is_some());
        // Waits, and gives up.
        assert!(gate.enter().is_none());
        let none = Gate::new(1, 0, Duration::from_secs(600));
        let _held = none.enter();
        assert!(none.enter().is_none());
        drop(first);
        assert_eq!(gate.counts(), Counts::default());
        assert!(gate.enter().is_some());
    }

    #[test]
    fn a_waiting_request_gets_the_place_that_becomes_free() {
        let gate = Gate::new(1, 1, Duration::from_secs(600));
        std::thread::scope(|scope| {
            let first = gate.enter();
            let second = scope.spawn(|| gate.enter().is_some());
            while gate.counts().waiting == 0 {
                std::thread::yield_now();
            }
            drop(first);
            assert!(second.join().is_ok_and(|entered| entered));
        });
    }
}
