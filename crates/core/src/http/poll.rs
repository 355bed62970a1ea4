//! Polls a server until its work is done.

use std::time::Duration;

use super::fault::Fault;
use super::retry::{Backoff, jittered};
use super::transport::Transport;
use crate::error::{Error, Result};
use crate::wake::Stage;

/// The polling interval: `first` at the beginning, then growing up to `max`, with
/// jitter.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The first interval.
    pub first: Duration,
    /// The longest interval.
    pub max: Duration,
}

impl Transport {
    /// Calls `ask` until it returns a value. `ask` gets the remaining time as the
    /// limit for its own call, and returns `None` while the work is in progress.
    /// Transient errors are retried; `what` names the work in messages.
    ///
    /// # Errors
    /// Errors of `ask` that are not retryable; after `limit` an error that is
    /// `is_timeout()` and `is_outcome_unknown()`: the work may still be running.
    pub fn poll_until<T>(
        &self,
        what: &str,
        limit: Duration,
        pace: Pace,
        mut ask: impl FnMut(Duration) -> Result<Option<T>>,
    ) -> Result<T> {
        let deadline = self.waiter.now() + limit;
        let mut backoff = Backoff::new(self.server.retries.max);
        let mut pause = pace.first;
        loop {
            let left = deadline.saturating_duration_since(self.waiter.now());
            let (wait, fault) = match ask(left) {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => {
                    backoff.succeeded();
                    let wait = jittered(pause);
                    pause = pause.mul_f64(1.5).min(pace.max);
                    (wait, None)
                }
                Err(error) if error.is_retryable() => {
                    log::info!("still waiting for {what}: {error}");
                    (backoff.failed(error.retry_after()), Some(error))
                }
                Err(error) => return Err(error),
            };
            let left = deadline.saturating_duration_since(self.waiter.now());
            if !self.waiter.sleep(wait.min(left), Stage::Stopping) {
                return Err(Error::stopped());
            }
            if wait >= left {
                let request = format!("{what} at {}", self.base());
                let mut text = format!("not done after {limit:.1?}; it may still be running");
                if let Some(fault) = fault {
                    text.push_str(&format!(" ({fault})"));
                }
                return Err(Error::from_fault(request, Fault::TimedOut, text));
            }
        }
    }
}
