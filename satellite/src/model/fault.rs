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

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Refused => f.write_str("nothing listens on its port"),
            Fault::Caller(error) => write!(f, "the client's body: {error}"),
            Fault::Model(error) => error.fmt(f),
        }
    }
}
