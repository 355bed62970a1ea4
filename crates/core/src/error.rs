//! The error type of this crate.

use std::fmt;
use std::time::Duration;

use crate::error_kind::Kind;
use crate::http::{Class, Fault, Op, Outcome, Problem, Verdict};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An opaque error with predicates that classify it.
///
/// Its message names the request, the server and the response. It never
/// contains a token.
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
    /// `GET /path at http://host`, if a request was made.
    request: Option<String>,
    /// The effect of the call on the server: decides whether it may be retried.
    op: Op,
    kind: Kind,
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

    /// Wraps an error of another type. Its text is the message, and
    /// [`source_as`](Self::source_as) returns the wrapped error.
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

    /// Settings are invalid: exit code 78. The message names each of them.
    pub fn is_settings(&self) -> bool {
        matches!(self.0.kind, Kind::Settings(_))
    }

    /// The server rejected the token (401): exit code 77.
    pub fn is_unauthorized(&self) -> bool {
        self.class() == Some(Class::Unauthorized)
    }

    /// The token is valid but not allowed to do this (403).
    pub fn is_forbidden(&self) -> bool {
        self.class() == Some(Class::Forbidden)
    }

    /// The requested object does not exist (404 from an existing route).
    pub fn is_not_found(&self) -> bool {
        self.class() == Some(Class::NotFound)
    }

    /// The state of the object does not allow this (409).
    pub fn is_conflict(&self) -> bool {
        self.class() == Some(Class::Conflict)
    }

    /// The server rejected the request as invalid (400 or 422).
    pub fn is_invalid(&self) -> bool {
        self.class() == Some(Class::Invalid)
    }

    /// Too many requests (429); [`retry_after`](Self::retry_after) may say when to retry.
    pub fn is_rate_limited(&self) -> bool {
        self.class() == Some(Class::RateLimited)
    }

    /// The server does not have this route, because it is older or newer, or
    /// the client does not support the operation.
    pub fn is_unsupported(&self) -> bool {
        if let Kind::Unsupported(_) = self.0.kind {
            return true;
        }
        self.class() == Some(Class::Unsupported)
    }

    /// The versions of server and client are incompatible.
    pub fn is_version_mismatch(&self) -> bool {
        self.class() == Some(Class::VersionMismatch)
    }

    /// A time limit expired before the response was complete.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, Kind::Fault(fault, _) if fault.is_timeout())
    }

    /// No connection could be opened, so the request had no effect.
    pub fn is_connect(&self) -> bool {
        matches!(&self.0.kind, Kind::Fault(fault, _) if fault.never_opened())
    }

    /// The requested resources are not available at the moment: the cloud or the
    /// host has no machine, GPU or quota left. Another region or a later attempt
    /// may succeed.
    #[doc(alias = "ResourcesUnavailableError")]
    #[doc(alias = "insufficient capacity")]
    pub fn is_out_of_capacity(&self) -> bool {
        self.class() == Some(Class::NoCapacity)
    }

    /// The request may or may not have been carried out: it was sent, and no
    /// complete response arrived. For a request that is not idempotent this also
    /// covers a response that does not rule out an effect, such as a gateway's
    /// 502, 503 or 504.
    pub fn is_outcome_unknown(&self) -> bool {
        match &self.0.kind {
            Kind::Fault(fault, _) => !fault.never_opened(),
            _ => self.verdict() == Verdict::Unknown,
        }
    }

    /// The same request may succeed when retried: a network fault, an overloaded
    /// or failing server. Never true if a retry could carry the request out a
    /// second time: see
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

    /// The call was aborted because the worker is stopping or the call was
    /// cancelled. If [`is_outcome_unknown`](Self::is_outcome_unknown) is also
    /// true, the request had already been sent.
    pub fn is_stopped(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::Stopped | Kind::Fault(Fault::Cancelled, _)
        )
    }

    /// The error wrapped by [`with_source`](Self::with_source), if it has this type.
    pub fn source_as<T: std::error::Error + 'static>(&self) -> Option<&T> {
        match &self.0.kind {
            Kind::Source(source) => source.downcast_ref(),
            _ => None,
        }
    }

    /// The HTTP status of an error response, if there was one. Work that the
    /// server accepted and that failed later has none.
    pub fn status(&self) -> Option<u16> {
        match self.0.kind {
            Kind::Status { status, .. } => Some(status),
            _ => None,
        }
    }

    /// The server's own name for the problem, if it has one: `ClusterDoesNotExist`.
    pub fn server_type(&self) -> Option<&str> {
        self.0.kind.problem()?.kind.as_deref()
    }

    /// The server's message with its line breaks and lists, up to 4000
    /// characters; without other control characters.
    pub fn server_message(&self) -> Option<&str> {
        Some(&self.0.kind.problem()?.message)
    }

    /// How long the server request the client to wait (`Retry-After`).
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.kind {
            Kind::Status { retry_after, .. } => retry_after,
            _ => None,
        }
    }

    /// The platform understood the request and rejects it permanently.
    /// Any other error may come from a proxy in between.
    pub fn is_final(&self) -> bool {
        matches!(
            &self.0.kind,
            Kind::Status { status: 400 | 404 | 409 | 413 | 422, problem, .. } if problem.is_own
        )
    }

    /// The body exceeds the limit of the platform or of a proxy in between (413).
    pub fn is_too_large(&self) -> bool {
        if let Kind::TooLarge(_) = self.0.kind {
            return true;
        }
        self.status() == Some(413)
    }

    /// The server rejected the token: a 401, or a 403 with a message in the
    /// server's own format, which does not come from a proxy.
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
        Some(self.0.kind.problem()?.class)
    }

    /// An error that lists settings problems; `is_settings()`.
    pub fn settings(problems: Vec<String>) -> Self {
        Self::of(Kind::Settings(problems))
    }

    /// An error for work aborted because of a stop; `is_stopped()`.
    pub fn stopped() -> Self {
        Self::of(Kind::Stopped)
    }

    /// An error for work that the server accepted and that failed there.
    #[allow(dead_code)] // not every server runs work after its response
    pub fn failed(request: String, problem: Problem) -> Self {
        Self::of(Kind::Failed(problem)).of_request(request)
    }

    /// Sets the effect of the failed call on the server. The default is a call
    /// that may be retried.
    pub fn for_op(mut self, op: Op) -> Self {
        self.0.op = op;
        self
    }

    /// An error for an operation that no server supports; nothing was sent.
    #[allow(dead_code)] // not every client has such operations
    pub fn unsupported(text: impl fmt::Display) -> Self {
        Self::of(Kind::Unsupported(text.to_string()))
    }

    /// An error for a value that exceeds a store's limit.
    pub fn too_large(message: impl fmt::Display) -> Self {
        Self::of(Kind::TooLarge(message.to_string()))
    }

    /// An error for a request that got no complete response. `request` names method, path and server.
    pub fn from_fault(request: String, fault: Fault, text: String) -> Self {
        Self::of(Kind::Fault(fault, text)).of_request(request)
    }

    /// An error for a response outside 2xx. `request` names method, path and server.
    pub fn from_status(
        request: String,
        status: u16,
        problem: Problem,
        retry_after: Option<Duration>,
    ) -> Self {
        Self::of(Kind::Status {
            status,
            problem,
            retry_after,
        })
        .of_request(request)
    }

    /// An error for a successful response whose content is not as specified.
    pub fn answer(request: String, text: impl fmt::Display) -> Self {
        Self::of(Kind::Answer(text.to_string())).of_request(request)
    }

    fn of(kind: Kind) -> Self {
        Error(Box::new(Inner {
            request: None,
            op: Op::Idempotent,
            kind,
        }))
    }

    fn of_request(mut self, request: String) -> Self {
        self.0.request = Some(request);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(request) = &self.0.request {
            write!(f, "{request}: ")?;
        }
        self.0.kind.fmt(f)
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
