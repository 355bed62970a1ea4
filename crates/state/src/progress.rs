//! How far a processor has got: its last save, why it stops, and how it ended.

use std::time::Instant;

#[derive(Default)]
pub(super) struct Progress {
    pub(super) stop_reason: Option<StopReason>,
    pub(super) stopping_since: Option<Instant>,
    pub(super) announced: Option<Instant>,
    pub(super) migrated_from: Option<String>,
    /// The result of the last save; also `Ok` when there was nothing to save.
    pub(super) end: Option<Result<(), String>>,
}

/// Why a processor stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StopReason {
    /// A signal, or a call of the program.
    Requested,
    /// Kubernetes' hook.
    PreStop,
    /// `run` returned.
    Returned,
    /// Another process requested the state.
    HandOver(String),
    /// Another process took the state.
    Fenced(String),
}

#[derive(Default)]
pub(super) struct LastSave {
    /// A hash of its bytes: the state may be accessed mutably without changing.
    pub(super) sum: Option<u64>,
    pub(super) generation: u64,
}
