//! Calls that brought no complete answer.

use std::io::ErrorKind;
use std::time::Duration;

/// Why no complete answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The name has no address, at the moment or at all.
    Unresolved,
    /// Nobody takes the connection.
    Refused,
    /// No connection within its time limit.
    ConnectTimedOut,
    /// No trust: certificate, name or protocol of TLS, or no TLS at all.
    Tls,
    /// The request was sent; the answer did not come in time.
    TimedOut,
    /// The connection broke before the answer was whole.
    Broken,
    /// The answer is larger than the bound.
    TooLarge,
    /// What came back is not HTTP.
    Malformed,
    /// It was broken off from this side.
    Cancelled,
    /// Work at the other end did not end within its time limit, and may go on.
    WorkTimedOut,
}

impl Fault {
    /// Nothing was sent, so nothing was done.
    pub fn never_opened(self) -> bool {
        matches!(
            self,
            Fault::Unresolved | Fault::Refused | Fault::ConnectTimedOut | Fault::Tls
        )
    }

    /// The same call may go well later.
    pub fn is_transient(self) -> bool {
        if self == Fault::WorkTimedOut {
            return false;
        }
        !matches!(self, Fault::TooLarge | Fault::Tls | Fault::Cancelled)
    }

    /// A time limit passed.
    pub fn is_timeout(self) -> bool {
        if self == Fault::WorkTimedOut {
            return true;
        }
        matches!(self, Fault::TimedOut | Fault::ConnectTimedOut)
    }
}

/// A fault, and what to say of it.
pub(super) struct Failure {
    pub(super) fault: Fault,
    pub(super) text: String,
}

impl Failure {
    /// `base` is the URL of the server that was asked.
    pub(super) fn new(error: ureq::Error, base: &str, after: Duration, limit: u64) -> Self {
        let fault = classify(&error);
        let text = match fault {
            Fault::Unresolved => "the name has no address".to_owned(),
            Fault::ConnectTimedOut => format!("no connection within {after:.1?}"),
            Fault::TimedOut => format!("no complete answer within {after:.1?}"),
            Fault::TooLarge => format!("the answer is larger than {} MiB", limit >> 20),
            Fault::Refused => format!("no connection: {error}"),
            Fault::Tls if is_plain(&error) => no_tls_at(base),
            Fault::Tls => format!("no trusted connection: {error}"),
            Fault::Broken => format!("the connection broke: {error}"),
            Fault::Malformed => format!("the answer is not HTTP: {error}"),
            _ => error.to_string(),
        };
        Failure { fault, text }
    }

    /// It was broken off from this side.
    pub(super) fn cancelled(&mut self) {
        self.fault = Fault::Cancelled;
        self.text = "broken off, as it was asked to stop".to_owned();
    }
}

/// https was spoken, and what came back is no TLS: the server speaks plain HTTP there,
/// or something else.
#[cfg(feature = "tls")]
pub(super) fn is_plain(error: &ureq::Error) -> bool {
    use rustls::{Error, InvalidMessage};
    let cause = match error {
        ureq::Error::Rustls(cause) => Some(cause),
        ureq::Error::Io(e) => e.get_ref().and_then(|inner| inner.downcast_ref::<Error>()),
        _ => None,
    };
    matches!(
        cause,
        Some(Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion
        ))
    )
}

#[cfg(not(feature = "tls"))]
pub(super) fn is_plain(_: &ureq::Error) -> bool {
    false
}

pub(super) fn no_tls_at(url: &str) -> String {
    let uri = url.parse::<ureq::http::Uri>().unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(443);
    format!("the server at {host}:{port} does not speak TLS; use http:// or another port")
}

pub(super) fn classify(error: &ureq::Error) -> Fault {
    use ureq::{Error, Timeout};
    match error {
        Error::HostNotFound => Fault::Unresolved,
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => Fault::ConnectTimedOut,
        Error::Timeout(_) => Fault::TimedOut,
        Error::ConnectionFailed | Error::ConnectProxyFailed(_) => Fault::Refused,
        Error::Io(e) => match e.kind() {
            ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::AddrNotAvailable
            | ErrorKind::NotConnected => Fault::Refused,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Fault::TimedOut,
            ErrorKind::InvalidData => Fault::Tls,
            _ => Fault::Broken,
        },
        #[cfg(feature = "tls")]
        Error::Rustls(_) => Fault::Tls,
        Error::Tls(_) | Error::TlsRequired => Fault::Tls,
        Error::BodyExceedsLimit(_) => Fault::TooLarge,
        Error::BodyStalled => Fault::Broken,
        _ => Fault::Malformed,
    }
}
