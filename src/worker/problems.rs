//! The names under which the worker reports problems and warnings to its health state.

/// The last poll failed, or there was none yet.
pub(super) const PLATFORM: &str = "platform";

/// The journal cannot be written.
pub(super) const JOURNAL: &str = "journal";

/// The satellite is not registered.
pub(super) const REGISTRATION: &str = "registration";
