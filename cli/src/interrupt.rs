//! Ctrl-C while a command waits: the wait ends, the work elsewhere goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use satellite_sdk::Error;
use satellite_sdk::compute::Cancel;

use crate::output::Problem;

/// Turns the first SIGINT or SIGTERM into a cancellation. The second one ends the process.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    cancel: Cancel,
    /// The exit code of the signal; 0 before it.
    code: Arc<AtomicU8>,
}

impl Interrupt {
    /// Starts to watch for signals. Ask questions before: a signal has to end them.
    pub fn watch() -> Result<Self, Problem> {
        let interrupt = Interrupt::default();
        interrupt.clone().listen()?;
        Ok(interrupt)
    }

    /// Cancels the calls of a client that is `cancelled_by` it.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Whether a signal has arrived.
    pub fn is_raised(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// The problem for an error: after a signal, what `goes_on` says, with the exit code of
    /// the signal.
    pub fn explain(&self, error: Error, goes_on: impl FnOnce() -> String) -> Problem {
        match self.is_raised() && error.is_stopped() {
            true => self.stopped(goes_on()),
            false => error.into(),
        }
    }

    /// The problem after a signal: `goes_on` says what continues.
    pub fn stopped(&self, goes_on: String) -> Problem {
        Problem::interrupted(goes_on, self.code.load(Ordering::SeqCst))
    }

    #[cfg(unix)]
    fn listen(self) -> Result<(), Problem> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        use signal_hook::iterator::Signals;

        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        std::thread::Builder::new().spawn(move || {
            for signal in signals.forever() {
                self.raise(u8::try_from(128 + signal).unwrap_or(1));
            }
        })?;
        Ok(())
    }

    #[cfg(not(unix))]
    fn listen(self) -> Result<(), Problem> {
        let raised = ctrlc::set_handler(move || self.raise(130));
        raised.map_err(|error| Problem::new(format_args!("cannot watch for Ctrl-C: {error}")))
    }

    fn raise(&self, code: u8) {
        if self.is_raised() {
            std::process::exit(i32::from(code));
        }
        self.code.store(code, Ordering::SeqCst);
        self.cancel.cancel();
    }
}
