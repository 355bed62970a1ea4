//! Waiting for what a server does.

use std::time::Duration;

use super::fault::Fault;
use super::retry::{Backoff, jittered};
use super::transport::Transport;
use crate::error::{Error, Result};
use crate::wake::Stage;

/// How often to ask: `first` after the first answer, then ever more seldom, up
/// to `max`; all of it jittered.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The first interval.
    pub first: Duration,
    /// The longest interval.
    pub max: Duration,
}

impl Transport {
    /// Asks until there is an answer: `ask` is given the time that is left, for
    /// its own call, and answers `None` as long as the work goes on. Faults that
    /// pass are waited out; `what` is for the message when `limit` is over.
    ///
    /// # Errors
    /// Those of `ask` that do not pass; past the limit one that is
    /// `is_timeout()` and `is_outcome_unknown()`: the work may go on.
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
                    log::info!("waiting on for {what}: {error}");
                    (backoff.failed(error.retry_after()), Some(error))
                }
                Err(error) => return Err(error),
            };
            let left = deadline.saturating_duration_since(self.waiter.now());
            if !self.waiter.sleep(wait.min(left), Stage::Stopping) {
                return Err(Error::stopped());
            }
            if wait >= left {
                let asked = format!("{what} at {}", self.base());
                let mut text = format!("not done after {limit:.1?}; it may still go on");
                if let Some(fault) = fault {
                    text.push_str(&format!(" ({fault})"));
                }
                return Err(Error::from_fault(asked, Fault::TimedOut, text));
            }
        }
    }
}
