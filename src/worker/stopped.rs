//! What a worker did before it stopped.

/// A worker that ended because it was asked to, and what it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// Tasks reported done.
    pub done: u64,
    /// Tasks reported failed.
    pub failed: u64,
    /// Results that could not be delivered before the end.
    pub undelivered: u64,
}
