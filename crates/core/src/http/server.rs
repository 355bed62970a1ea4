//! Which server a transport talks to, and how.

use std::time::Duration;

use super::credentials::Credentials;
use super::dialect::Dialect;
use super::retry::Retries;
use super::trust::Trust;

/// A server and how to connect to it.
#[derive(Clone)]
pub struct Server {
    /// A checked URL without a trailing slash.
    pub base: String,
    /// The server's conventions.
    pub dialect: &'static Dialect,
    /// How the caller authenticates.
    pub credentials: Credentials,
    /// The trusted certificate authorities.
    pub trust: Trust,
    /// How often, and after which delays, calls are retried.
    pub retries: Retries,
    /// The connect timeout.
    pub connect: Duration,
}

#[cfg(fuzzing)]
impl Server {
    /// The server of a response that was built from its parts.
    pub(super) fn made(dialect: &'static Dialect) -> Self {
        Server {
            base: "http://localhost".into(),
            dialect,
            credentials: Credentials::Token("".into()),
            trust: Trust::default(),
            retries: Retries::up_to(Duration::ZERO),
            connect: Duration::ZERO,
        }
    }
}
