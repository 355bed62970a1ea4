//! Transport faults: calls without a complete response.

use std::io::ErrorKind;
use std::time::Duration;

/// Why there was no complete response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The host name could not be resolved.
    Unresolved,
    /// The connection was refused.
    Refused,
    /// The connection could not be opened within the time limit.
    ConnectTimedOut,
    /// TLS failed: an untrusted certificate, a wrong name or protocol, or no TLS at all.
    Tls,
    /// The request was sent; the response did not arrive in time.
    TimedOut,
    /// The connection was lost before the response was complete.
    Broken,
    /// The response exceeds the size limit.
    TooLarge,
    /// The response is not HTTP.
    Malformed,
    /// The call was cancelled by the client.
    Cancelled,
    /// Work on the server did not finish within its time limit and may still be running.
    WorkTimedOut,
}

impl Fault {
    /// Whether the connection was never opened, so that the request had no effect.
    pub fn never_opened(self) -> bool {
        matches!(
            self,
            Fault::Unresolved | Fault::Refused | Fault::ConnectTimedOut | Fault::Tls
        )
    }

    /// Whether the same call may succeed later.
    pub fn is_transient(self) -> bool {
        if self == Fault::WorkTimedOut {
            return false;
        }
        !matches!(self, Fault::TooLarge | Fault::Tls | Fault::Cancelled)
    }

    /// Whether a time limit expired.
    pub fn is_timeout(self) -> bool {
        if self == Fault::WorkTimedOut {
            return true;
        }
        matches!(self, Fault::TimedOut | Fault::ConnectTimedOut)
    }
}

/// A fault and its message.
pub(super) struct Failure {
    pub(super) fault: Fault,
    pub(super) text: String,
}

impl Failure {
    /// `base` is the URL of the server.
    pub(super) fn new(error: ureq::Error, base: &str, after: Duration, limit: u64) -> Self {
        let fault = classify(&error);
        let text = match fault {
            Fault::Unresolved => "cannot resolve the host name".to_owned(),
            Fault::ConnectTimedOut => format!("no connection within {after:.1?}"),
            Fault::TimedOut => format!("no complete response within {after:.1?}"),
            Fault::TooLarge => format!("the response is larger than {} MiB", limit >> 20),
            Fault::Refused => format!("cannot connect: {error}"),
            Fault::Tls if is_plain(&error) => no_tls_at(base),
            Fault::Tls => format!("no trusted connection: {error}"),
            Fault::Broken => format!("the connection was lost: {error}"),
            Fault::Malformed => format!("the response is not HTTP: {error}"),
            _ => error.to_string(),
        };
        Failure { fault, text }
    }

    /// Marks the call as cancelled by the client.
    pub(super) fn cancelled(&mut self) {
        self.fault = Fault::Cancelled;
        self.text = "aborted by a stop request".to_owned();
    }
}

/// Whether the response to a TLS handshake is not TLS: the server speaks plain HTTP
/// or another protocol on that port.
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
