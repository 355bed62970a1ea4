//! The one error of this crate.

use std::fmt;
use std::time::Duration;

use crate::http::{Class, Fault, Op, Outcome, Problem, Verdict};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whatever went wrong: opaque, with questions to ask it.
///
/// Its message names what was asked, of whom, and what came back. It never
/// holds a token.
///
/// ```
/// use satellite_core::Variables;
///
/// let mut variables = Variables::from_lookup(|_| Some("ftp://nowhere".into()));
/// variables.url("LUML_PLATFORM_URL", None);
/// let error = variables.finish().unwrap_err();
/// assert!(error.is_settings());
/// assert!(error.to_string().contains("LUML_PLATFORM_URL"));
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    /// `GET /path at http://host`, where a request was made.
    asked: Option<String>,
    /// What the call does at the other end: whether it may be sent again.
    op: Op,
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
    /// The server accepted the work, and it failed there.
    Failed(Problem),
    Answer(String),
    Stopped,
    Unsupported(String),
    Source(Box<dyn std::error::Error + Send + Sync>),
    TooLarge(String),
    Other(String),
}

impl Error {
    /// An error with a message of your own, to return from a handler or a client.
    ///
    /// ```
    /// let error = satellite_core::Error::new("the model is not on this host");
    /// assert_eq!(error.to_string(), "the model is not on this host");
    /// ```
    pub fn new(message: impl fmt::Display) -> Self {
        Self::of(Kind::Other(message.to_string()))
    }

    /// An error that only one product knows. Its text is the message, and
    /// [`source_as`](Self::source_as) finds it again.
    ///
    /// ```
    /// use satellite_core::Error;
    ///
    /// let error = Error::with_source(std::fmt::Error);
    /// assert!(error.source_as::<std::fmt::Error>().is_some());
    /// ```
    pub fn with_source(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::of(Kind::Source(Box::new(source)))
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
    /// neither it nor this client offers such a thing.
    pub fn is_unsupported(&self) -> bool {
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
        matches!(self.0.kind, Kind::Fault(fault, _) if fault.is_timeout())
    }

    /// No connection came about, so nothing was done.
    pub fn is_connect(&self) -> bool {
        matches!(&self.0.kind, Kind::Fault(fault, _) if fault.never_opened())
    }

    /// What was asked for cannot be had at the moment: the cloud or the host has
    /// no machine, GPU or quota left. Another region, or a later time, may do.
    #[doc(alias = "ResourcesUnavailableError")]
    #[doc(alias = "insufficient capacity")]
    pub fn is_out_of_capacity(&self) -> bool {
        self.class() == Some(Class::NoCapacity)
    }

    /// The request may or may not have been carried out: it left, and no
    /// complete answer came back, or, where sending it again would do it twice,
    /// an answer that does not say that nothing was done, such as a gateway's
    /// 502, 503 or 504.
    pub fn is_outcome_unknown(&self) -> bool {
        match &self.0.kind {
            Kind::Fault(fault, _) => !fault.never_opened(),
            _ => self.verdict() == Verdict::Unknown,
        }
    }

    /// The same request may be sent again and succeed: a fault on the way, an
    /// overloaded or failing server. Never true where it may have been carried
    /// out and would then be carried out twice: see
    /// [`is_outcome_unknown`](Self::is_outcome_unknown).
    pub fn is_retryable(&self) -> bool {
        self.verdict() == Verdict::Retry
    }

    fn verdict(&self) -> Verdict {
        let outcome = match &self.0.kind {
            Kind::Fault(fault, _) => Outcome::Fault(*fault),
            Kind::Status {
                status, problem, ..
            } => Outcome::of_status(*status, problem.class, problem.is_own),
            _ => Outcome::Final,
        };
        outcome.verdict(self.0.op)
    }

    /// The worker is stopping, or the call was cancelled, and was given up for
    /// that. With [`is_outcome_unknown`](Self::is_outcome_unknown) it had left by then.
    pub fn is_stopped(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::Stopped | Kind::Fault(Fault::Cancelled, _)
        )
    }

    /// The error that this one was made from by [`with_source`](Self::with_source), if it is of
    /// this type.
    pub fn source_as<T: std::error::Error + 'static>(&self) -> Option<&T> {
        match &self.0.kind {
            Kind::Source(source) => source.downcast_ref(),
            _ => None,
        }
    }

    /// The HTTP status of a refusal, if one came back. Work that the server
    /// accepted and that failed there has none.
    pub fn status(&self) -> Option<u16> {
        match self.0.kind {
            Kind::Status { status, .. } => Some(status),
            _ => None,
        }
    }

    /// The server's own name for what went wrong, where it has one: `ClusterDoesNotExist`.
    pub fn server_type(&self) -> Option<&str> {
        self.problem()?.kind.as_deref()
    }

    /// What the server said, with its line breaks and its lists, up to 4000
    /// characters; without other control characters.
    pub fn server_message(&self) -> Option<&str> {
        Some(&self.problem()?.message)
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
    pub fn is_final(&self) -> bool {
        matches!(
            &self.0.kind,
            Kind::Status { status: 400 | 404 | 409 | 413 | 422, problem, .. } if problem.is_own
        )
    }

    /// The body is more than the platform takes, or somebody on the way to it (413).
    pub fn is_too_large(&self) -> bool {
        if let Kind::TooLarge(_) = self.0.kind {
            return true;
        }
        self.status() == Some(413)
    }

    /// A 403 in the server's own words: not a box on the way that refuses.
    pub fn is_refused_token(&self) -> bool {
        match &self.0.kind {
            Kind::Status { problem, .. } => match problem.class {
                Class::Unauthorized => true,
                Class::Forbidden => problem.is_own && !problem.message.is_empty(),
                _ => false,
            },
            _ => false,
        }
    }

    /// The transport fault, if the request failed without a complete response.
    pub fn fault(&self) -> Option<Fault> {
        match &self.0.kind {
            Kind::Fault(fault, _) => Some(*fault),
            _ => None,
        }
    }

    fn class(&self) -> Option<Class> {
        Some(self.problem()?.class)
    }

    fn problem(&self) -> Option<&Problem> {
        match &self.0.kind {
            Kind::Status { problem, .. } => Some(problem),
            Kind::Failed(problem) => Some(problem),
            _ => None,
        }
    }

    /// An error that lists settings problems; `is_settings()`.
    pub fn settings(problems: Vec<String>) -> Self {
        Self::of(Kind::Settings(problems))
    }

    /// An error for work given up because of a stop; `is_stopped()`.
    pub fn stopped() -> Self {
        Self::of(Kind::Stopped)
    }

    /// The server accepted the work, and it failed there.
    #[allow(dead_code)] // not every server runs work after its answer
    pub fn failed(asked: String, problem: Problem) -> Self {
        Self::of(Kind::Failed(problem)).asked(asked)
    }

    /// What the failed call does at the other end; otherwise it is taken for
    /// one that may be sent again.
    pub fn for_op(mut self, op: Op) -> Self {
        self.0.op = op;
        self
    }

    /// Nothing was sent: no server offers it.
    #[allow(dead_code)] // not every client has such a thing
    pub fn unsupported(text: impl fmt::Display) -> Self {
        Self::of(Kind::Unsupported(text.to_string()))
    }

    /// An error for a value that exceeds a store's limit.
    pub fn too_large(message: impl fmt::Display) -> Self {
        Self::of(Kind::TooLarge(message.to_string()))
    }

    /// An error for a request that got no complete response. `asked` names method, path and server.
    pub fn from_fault(asked: String, fault: Fault, text: String) -> Self {
        Self::of(Kind::Fault(fault, text)).asked(asked)
    }

    /// An error for a response outside 2xx. `asked` names method, path and server.
    pub fn from_status(
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
    pub fn answer(asked: String, text: impl fmt::Display) -> Self {
        Self::of(Kind::Answer(text.to_string())).asked(asked)
    }

    fn of(kind: Kind) -> Self {
        Error(Box::new(Inner {
            asked: None,
            op: Op::Idempotent,
            kind,
        }))
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
                tell(f, problem)?;
                if self.is_unsupported() && !problem.is_own {
                    f.write_str(" (this server does not offer the route)")?;
                }
                Ok(())
            }
            Kind::Failed(problem) => {
                f.write_str("failed")?;
                tell(f, problem)
            }
            Kind::Fault(_, text) | Kind::Answer(text) | Kind::Other(text) => f.write_str(text),
            Kind::Unsupported(text) => f.write_str(text),
            Kind::TooLarge(text) => f.write_str(text),
            Kind::Source(source) => write!(f, "{source}"),
            Kind::Stopped => f.write_str("given up, as it was asked to stop"),
        }
    }
}

/// The server's name for a problem and its message, in one line.
fn tell(f: &mut fmt::Formatter<'_>, problem: &Problem) -> fmt::Result {
    if let Some(kind) = &problem.kind {
        write!(f, " {kind}")?;
    }
    let lines = problem.message.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.is_empty());
    if let Some(line) = lines.next() {
        write!(f, ": {line}")?;
    }
    lines.try_for_each(|line| write!(f, "; {line}"))
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
