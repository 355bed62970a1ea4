//! The four time limits of every compute client.

use std::time::Duration;

use crate::http::DEADLINE;

/// How long a compute client waits, each limit for a thing of its own.
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
    /// For a connection to come about. Default: 10 s.
    pub connect: Duration,
    /// For one call with its answer, resends included. Default: 2 min.
    pub request: Duration,
    /// For a stream to say something. Default: 2 min.
    pub idle: Duration,
    /// For work at the other end, while this side waits for it. Past it the
    /// error says that the work may go on. Default: 1 h.
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
