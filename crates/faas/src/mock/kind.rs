//! The kinds of server that the mock simulates.

/// The kind of server that a [`MockFaas`](crate::MockFaas) simulates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaasKind {
    /// A server that implements the whole contract.
    Contract,
    /// The real gateway: exit codes are 0, both output streams are merged, time limits
    /// and working directories are ignored, checkpointed executions get a response but
    /// are not run, half of the routes are missing.
    Gateway,
    /// The second server: the contract in the other dialect, and every error response is
    /// a 400.
    Server,
}
