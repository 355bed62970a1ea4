//! The exit code of a worker.

use std::process::{ExitCode, Termination};

use crate::error::Error;
use crate::escaped_text::Escaped;

/// The result of a satellite as a process exit code; `main` may return it.
///
/// | exit code | meaning |
/// |---|---|
/// | 0 | stopped on request |
/// | 77 | the platform rejected the token |
/// | 78 | invalid settings |
/// | 1 | anything else |
///
/// ```no_run
/// use satellite_core::{Exit, Variables};
///
/// fn main() -> Exit {
///     Variables::from_env().finish().into()
/// }
/// ```
#[derive(Debug)]
#[must_use = "return it from main, otherwise the exit code is lost"]
pub struct Exit(Result<(), Error>);

impl Exit {
    /// The exit code.
    ///
    /// ```
    /// use satellite_core::{Exit, Variables};
    ///
    /// let mut variables = Variables::from_env();
    /// variables.problem("PORT", "expected a port");
    /// assert_eq!(Exit::from(variables.finish()).code(), 78);
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

impl<T> From<Result<T, Error>> for Exit {
    /// Logs the error, or prints it to stderr if no logger is installed.
    fn from(end: Result<T, Error>) -> Self {
        if let Err(error) = &end {
            let text = error.to_string();
            // Each invalid setting is on its own line; no other error has several lines.
            let end = if error.is_settings() { '\n' } else { '\0' };
            for line in text.split(end) {
                match log::log_enabled!(log::Level::Error) {
                    true => log::error!("{line}"),
                    false => eprintln!("{}", Escaped(line)),
                }
            }
        }
        Exit(end.map(drop))
    }
}

impl From<Error> for Exit {
    /// Logs the error, or prints it to stderr if no logger is installed.
    fn from(error: Error) -> Self {
        Exit::from(Err::<(), _>(error))
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}
