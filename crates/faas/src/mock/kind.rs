//! The servers that the mock imitates.

/// Which server of the family a [`MockFaas`](crate::MockFaas) is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaasKind {
    /// One that keeps to the contract: every route, each with what it promises.
    Contract,
    /// The real gateway: exit codes are 0, output and errors are merged, time
    /// limits and folders are ignored, checkpointed executions are answered and not
    /// run, half of the routes are not there.
    Gateway,
    /// The second server: the contract in the other dialect, and every refusal
    /// a 400.
    Server,
}
