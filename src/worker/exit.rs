//! How a worker ends.

use std::process::{ExitCode, Termination};

use crate::error::Error;

/// How a satellite ended, as its exit code says it; `main` may return it.
///
/// | exit code | meaning |
/// |---|---|
/// | 0 | stopped, because it was asked to |
/// | 77 | the platform refused the token |
/// | 78 | the settings are wrong |
/// | 1 | anything else |
///
/// ```no_run
/// use satellite_sdk::{Builder, Exit, Task, done};
///
/// fn main() -> Exit {
///     Builder::new().handler("echo", |task: Task| done(task.payload)).run()
/// }
/// ```
#[derive(Debug)]
#[must_use = "return it from main, or the exit code is lost"]
pub struct Exit(Result<Stopped, Error>);

/// A worker that ended because it was asked to, and what it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// Tasks reported done.
    pub done: u64,
    /// Tasks reported failed.
    pub failed: u64,
    /// Results that could not be delivered before the end.
    pub undelivered: u64,
}

impl Exit {
    /// The exit code.
    ///
    /// ```
    /// use satellite_sdk::Builder;
    ///
    /// let exit = Builder::new().platform_url("nonsense").run();
    /// assert_eq!(exit.code(), 78);
    /// ```
    pub fn code(&self) -> u8 {
        match &self.0 {
            Ok(_) => 0,
            Err(e) if e.is_settings() => 78,
            Err(e) if e.is_refused_token() => 77,
            Err(_) => 1,
        }
    }
}

impl From<Result<Stopped, Error>> for Exit {
    /// Says on the log, or on stderr where nobody logs, why it ended badly.
    fn from(end: Result<Stopped, Error>) -> Self {
        if let Err(error) = &end {
            match log::log_enabled!(log::Level::Error) {
                true => log::error!("{error}"),
                false => eprintln!("{error}"),
            }
        }
        Exit(end)
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}
