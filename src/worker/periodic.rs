//! Periodic jobs, registered with `Builder::every`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::context::Context;
use super::handler::panic_text;
use satellite_core::Failure;

pub(super) type Job = Box<dyn FnMut(&Context) -> Result<(), Failure> + Send>;

pub(super) struct Periodic {
    interval: Duration,
    due: Option<Instant>,
    job: Job,
}

impl Periodic {
    pub(super) fn new(interval: Duration, job: Job) -> Self {
        Periodic {
            interval,
            due: None,
            job,
        }
    }

    /// Runs the job if it is due. The first run is due at once.
    pub(super) fn run_if_due(&mut self, cx: &Context) {
        let now = cx.shared.waiter.now();
        if self.due.is_some_and(|due| now < due) {
            return;
        }
        let end = catch_unwind(AssertUnwindSafe(|| (self.job)(cx)));
        match end {
            Ok(Ok(())) => {}
            // An error during a stop is not a failure.
            Ok(Err(failure)) if cx.is_stopping() => {
                log::debug!("periodic work interrupted by the stop: {}", failure.error());
            }
            Ok(Err(failure)) => log::warn!("periodic work failed: {}", failure.error()),
            Err(panic) => log::error!("periodic work panicked: {}", panic_text(&*panic)),
        }
        // Counted from the end of the run, so that slow work does not run back to back.
        self.due = Some(cx.shared.waiter.now() + self.interval);
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
}
