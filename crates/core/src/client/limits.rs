//! The four time limits of every compute client.

use std::time::Duration;

use crate::http::DEADLINE;

/// The time limits of a compute client, each for a different phase.
///
/// ```
/// use std::time::Duration;
/// use satellite_core::client::TimeLimits;
///
/// let mut limits = TimeLimits::default();
/// limits.work = Duration::from_secs(3600);
/// assert_eq!(limits.connect, Duration::from_secs(10));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeLimits {
    /// To open a connection. Default: 10 s.
    pub connect: Duration,
    /// For one call including its response and retries. Default: 2 min.
    pub request: Duration,
    /// Without data on a stream. Default: 2 min.
    pub idle: Duration,
    /// For work on the server while the client waits for it. When it expires,
    /// the error says that the work may still be running. Default: 1 h.
    pub work: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        TimeLimits {
            connect: Duration::from_secs(10),
            request: DEADLINE,
            idle: Duration::from_secs(120),
            work: Duration::from_secs(3600),
        }
    }
}
