//! The task counts of a worker that has stopped.

/// The task counts of a worker that has stopped on request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// Tasks reported done.
    pub done: u64,
    /// Tasks reported failed.
    pub failed: u64,
    /// Results that could not be delivered before the worker stopped.
    pub undelivered: u64,
}
