//! Why the program ends, with its exit code.

use std::fmt;
use std::process::ExitCode;

/// A failure of the whole program. The codes are those of `sysexits.h`.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    text: String,
}

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command line.
    Usage,
    /// The artifact does not follow its format.
    Invalid,
    /// The artifact cannot be opened.
    Missing,
    /// The artifact is valid, but this server cannot run its model.
    Unsupported,
    /// An internal error.
    Software,
    /// The system: a thread, a socket, the address.
    System,
    /// The output file cannot be written.
    Output,
    /// The download failed; it may succeed later.
    Temporary,
    /// The settings.
    Settings,
}

/// The result of a part of the program.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub fn new(kind: Kind, text: impl fmt::Display) -> Self {
        let text = text.to_string();
        Failure { kind, text }
    }

    /// The artifact does not follow its format.
    pub fn invalid(text: impl fmt::Display) -> Self {
        Failure::new(Kind::Invalid, text)
    }

    /// This server cannot run the model.
    pub fn unsupported(text: impl fmt::Display) -> Self {
        Failure::new(Kind::Unsupported, text)
    }

    /// The artifact cannot be opened.
    pub fn missing(text: impl fmt::Display) -> Self {
        Failure::new(Kind::Missing, text)
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Logs the text and returns the exit code.
    pub fn report(&self) -> ExitCode {
        for line in self.text.lines() {
            log::error!("{line}");
        }
        ExitCode::from(self.code())
    }

    /// Adds where it happened.
    pub fn within(mut self, place: impl fmt::Display) -> Self {
        self.text = format!("{place}: {}", self.text);
        self
    }

    pub fn code(&self) -> u8 {
        match self.kind {
            Kind::Usage => 64,
            Kind::Invalid => 65,
            Kind::Missing => 66,
            Kind::Unsupported => 69,
            Kind::Software => 70,
            Kind::System => 71,
            Kind::Output => 73,
            Kind::Temporary => 75,
            Kind::Settings => 78,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
