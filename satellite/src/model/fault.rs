//! Why a call to a model server failed.

use std::fmt;
use std::io;

/// Why a model server gave no response.
#[derive(Debug)]
pub enum Fault {
    /// Nothing listens on the port.
    Refused,
    /// The caller disconnected, or its body could not be read: not the model's fault.
    Caller(io::Error),
    Model(io::Error),
}

impl Fault {
    /// Whether the model did not respond in time.
    pub fn is_timeout(&self) -> bool {
        let kinds = [io::ErrorKind::TimedOut, io::ErrorKind::WouldBlock];
        matches!(self, Fault::Model(error) if kinds.contains(&error.kind()))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Refused => f.write_str("nothing listens on its port"),
            Fault::Caller(error) => write!(f, "the client's body: {error}"),
            Fault::Model(error) => error.fmt(f),
        }
    }
}
