//! The one error of this crate.

use std::fmt;
use std::time::Duration;

use crate::http::{Class, Fault, Problem};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whatever went wrong: opaque, with questions to ask it.
///
/// Its message names what was asked, of whom, and what came back. It never
/// holds a token.
///
/// ```
/// use satellite_sdk::{Builder, Error};
///
/// let error: Error = Builder::new().token("t").platform_url("ftp://nowhere").build().unwrap_err();
/// assert!(error.is_settings());
/// assert!(error.to_string().contains("LUML_PLATFORM_URL"));
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    /// `GET /path at http://host`, where a request was made.
    asked: Option<String>,
    kind: Kind,
}

enum Kind {
    Settings(Vec<String>),
    Status {
        status: u16,
        problem: Problem,
        retry_after: Option<Duration>,
    },
    Fault(Fault, String),
    Answer(String),
    Stopped,
    #[cfg(feature = "compute")]
    Unsupported(String),
    #[cfg(feature = "state")]
    Fenced(String),
    #[cfg(feature = "state")]
    Corrupt(String),
    #[cfg(feature = "state")]
    TooLarge(String),
    Other(String),
}

impl Error {
    /// An error with a message of your own, to return from a handler or a client.
    ///
    /// ```
    /// let error = satellite_sdk::Error::new("the model is not on this host");
    /// assert_eq!(error.to_string(), "the model is not on this host");
    /// ```
    pub fn new(message: impl fmt::Display) -> Self {
        Self::of(Kind::Other(message.to_string()))
    }

    /// The settings are wrong: exit code 78. The message names each of them.
    pub fn is_settings(&self) -> bool {
        matches!(self.0.kind, Kind::Settings(_))
    }

    /// The token was refused (401): exit code 77.
    pub fn is_unauthorized(&self) -> bool {
        self.class() == Some(Class::Unauthorized)
    }

    /// The token is known but not allowed to do this (403).
    pub fn is_forbidden(&self) -> bool {
        self.class() == Some(Class::Forbidden)
    }

    /// The thing asked for does not exist (404 from a route that does).
    pub fn is_not_found(&self) -> bool {
        self.class() == Some(Class::NotFound)
    }

    /// The state of the thing does not allow this (409).
    pub fn is_conflict(&self) -> bool {
        self.class() == Some(Class::Conflict)
    }

    /// The request was understood and refused as unfit (400 or 422).
    pub fn is_invalid(&self) -> bool {
        self.class() == Some(Class::Invalid)
    }

    /// Too many requests (429); [`retry_after`](Self::retry_after) may say when to come again.
    pub fn is_rate_limited(&self) -> bool {
        self.class() == Some(Class::RateLimited)
    }

    /// The server does not know this route, being an older or a newer one, or
    /// offers no such thing.
    pub fn is_unsupported(&self) -> bool {
        #[cfg(feature = "compute")]
        if let Kind::Unsupported(_) = self.0.kind {
            return true;
        }
        self.class() == Some(Class::Unsupported)
    }

    /// Server and client are of versions that do not understand each other.
    pub fn is_version_mismatch(&self) -> bool {
        self.class() == Some(Class::VersionMismatch)
    }

    /// A time limit passed before the answer was there.
    pub fn is_timeout(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::Fault(Fault::TimedOut | Fault::ConnectTimedOut, _)
        )
    }

    /// No connection came about, so nothing was done.
    pub fn is_connect(&self) -> bool {
        matches!(&self.0.kind, Kind::Fault(fault, _) if fault.never_opened())
    }

    /// The request may or may not have been carried out: it left, and no
    /// complete answer came back.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(&self.0.kind, Kind::Fault(fault, _) if !fault.never_opened())
    }

    /// The same request may go well later: a fault on the way, an overloaded
    /// or failing server.
    pub fn is_retryable(&self) -> bool {
        match &self.0.kind {
            Kind::Fault(fault, _) => fault.is_passing(),
            Kind::Status { problem, .. } => problem.class.is_passing(),
            _ => false,
        }
    }

    /// The worker is stopping, or the call was cancelled, and was given up for
    /// that. With [`is_outcome_unknown`](Self::is_outcome_unknown) it had left by then.
    pub fn is_stopped(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::Stopped | Kind::Fault(Fault::Cancelled, _)
        )
    }

    /// Somebody else writes this state now, or took it away: it is theirs, and
    /// nothing may be written over it any more.
    #[cfg(feature = "state")]
    pub fn is_fenced(&self) -> bool {
        matches!(self.0.kind, Kind::Fenced(_))
    }

    /// What is kept is damaged: it was cut short or changed.
    #[cfg(feature = "state")]
    pub fn is_corrupt(&self) -> bool {
        matches!(self.0.kind, Kind::Corrupt(_))
    }

    /// The HTTP status that came back, if one did.
    pub fn status(&self) -> Option<u16> {
        match self.0.kind {
            Kind::Status { status, .. } => Some(status),
            _ => None,
        }
    }

    /// The server's own name for what went wrong, where it has one: `ClusterDoesNotExist`.
    pub fn server_type(&self) -> Option<&str> {
        match &self.0.kind {
            Kind::Status { problem, .. } => problem.kind.as_deref(),
            _ => None,
        }
    }

    /// What the server said, in one line.
    pub fn server_message(&self) -> Option<&str> {
        match &self.0.kind {
            Kind::Status { problem, .. } => Some(&problem.message),
            _ => None,
        }
    }

    /// How long the server asked to be left alone (`Retry-After`).
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.kind {
            Kind::Status { retry_after, .. } => retry_after,
            _ => None,
        }
    }

    /// The platform understood the request and will not take it, now or later.
    /// Anything else may be a box on the way speaking in its place.
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            &self.0.kind,
            Kind::Status { status: 400 | 404 | 409 | 413 | 422, problem, .. } if problem.is_own
        )
    }

    /// The body is more than the platform takes, or somebody on the way to it (413).
    pub(crate) fn is_too_large(&self) -> bool {
        #[cfg(feature = "state")]
        if let Kind::TooLarge(_) = self.0.kind {
            return true;
        }
        self.status() == Some(413)
    }

    /// A 403 in the server's own words: not a box on the way that refuses.
    pub(crate) fn is_refused_token(&self) -> bool {
        match &self.0.kind {
            Kind::Status { problem, .. } => match problem.class {
                Class::Unauthorized => true,
                Class::Forbidden => problem.is_own && !problem.message.is_empty(),
                _ => false,
            },
            _ => false,
        }
    }

    #[cfg(feature = "compute")]
    pub(crate) fn fault(&self) -> Option<Fault> {
        match &self.0.kind {
            Kind::Fault(fault, _) => Some(*fault),
            _ => None,
        }
    }

    fn class(&self) -> Option<Class> {
        match &self.0.kind {
            Kind::Status { problem, .. } => Some(problem.class),
            _ => None,
        }
    }

    pub(crate) fn settings(problems: Vec<String>) -> Self {
        Self::of(Kind::Settings(problems))
    }

    pub(crate) fn stopped() -> Self {
        Self::of(Kind::Stopped)
    }

    /// Nothing was sent: no server offers it.
    #[cfg(feature = "compute")]
    #[allow(dead_code)] // not every client has such a thing
    pub(crate) fn unsupported(text: impl fmt::Display) -> Self {
        Self::of(Kind::Unsupported(text.to_string()))
    }

    #[cfg(feature = "state")]
    pub(crate) fn fenced(message: impl fmt::Display) -> Self {
        Self::of(Kind::Fenced(message.to_string()))
    }

    #[cfg(feature = "state")]
    pub(crate) fn corrupt(message: impl fmt::Display) -> Self {
        Self::of(Kind::Corrupt(message.to_string()))
    }

    #[cfg(feature = "state")]
    pub(crate) fn too_large(message: impl fmt::Display) -> Self {
        Self::of(Kind::TooLarge(message.to_string()))
    }

    pub(crate) fn from_fault(asked: String, fault: Fault, text: String) -> Self {
        Self::of(Kind::Fault(fault, text)).asked(asked)
    }

    pub(crate) fn from_status(
        asked: String,
        status: u16,
        problem: Problem,
        retry_after: Option<Duration>,
    ) -> Self {
        Self::of(Kind::Status {
            status,
            problem,
            retry_after,
        })
        .asked(asked)
    }

    /// The server answered well, but not what was agreed on.
    pub(crate) fn answer(asked: String, text: impl fmt::Display) -> Self {
        Self::of(Kind::Answer(text.to_string())).asked(asked)
    }

    fn of(kind: Kind) -> Self {
        Error(Box::new(Inner { asked: None, kind }))
    }

    fn asked(mut self, asked: String) -> Self {
        self.0.asked = Some(asked);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(asked) = &self.0.asked {
            write!(f, "{asked}: ")?;
        }
        match &self.0.kind {
            Kind::Settings(problems) => {
                match problems.len() {
                    1 => f.write_str("1 setting is wrong:")?,
                    n => write!(f, "{n} settings are wrong:")?,
                }
                problems.iter().try_for_each(|p| write!(f, "\n  {p}"))
            }
            Kind::Status {
                status, problem, ..
            } => {
                write!(f, "answered {status}")?;
                if let Some(kind) = &problem.kind {
                    write!(f, " {kind}")?;
                }
                if !problem.message.is_empty() {
                    write!(f, ": {}", problem.message)?;
                }
                if self.is_unsupported() {
                    f.write_str(" (this server does not offer the route)")?;
                }
                Ok(())
            }
            Kind::Fault(_, text) | Kind::Answer(text) | Kind::Other(text) => f.write_str(text),
            #[cfg(feature = "compute")]
            Kind::Unsupported(text) => f.write_str(text),
            #[cfg(feature = "state")]
            Kind::Fenced(text) | Kind::Corrupt(text) | Kind::TooLarge(text) => f.write_str(text),
            Kind::Stopped => f.write_str("given up, as it was asked to stop"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::new(error)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Error::new(error)
    }
}

impl From<&str> for Error {
    fn from(message: &str) -> Self {
        Error::new(message)
    }
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Error::new(message)
    }
}
