//! Errors that are specific to stored states.

use std::fmt;

use satellite_core::Error;

/// Why a state cannot be used or written. An [`Error`] is made from it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateError {
    /// Another process owns the state now; this one must not write it anymore.
    Fenced(String),
    /// The stored document is damaged: it was truncated or changed.
    Corrupt(String),
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (StateError::Fenced(text) | StateError::Corrupt(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for StateError {}

/// Whether another process owns the state now.
///
/// ```
/// use satellite_state::{Error, StateError, is_fenced};
///
/// let error = Error::with_source(StateError::Fenced("pod-2 holds it".into()));
/// assert!(is_fenced(&error));
/// ```
pub fn is_fenced(error: &Error) -> bool {
    matches!(error.source_as(), Some(StateError::Fenced(_)))
}

/// Whether the stored document is damaged.
///
/// ```
/// use satellite_state::{Error, is_corrupt};
///
/// assert!(!is_corrupt(&Error::new("no such folder")));
/// ```
pub fn is_corrupt(error: &Error) -> bool {
    matches!(error.source_as(), Some(StateError::Corrupt(_)))
}

pub(crate) fn fenced(message: impl fmt::Display) -> Error {
    Error::with_source(StateError::Fenced(message.to_string()))
}

pub(crate) fn corrupt(message: impl fmt::Display) -> Error {
    Error::with_source(StateError::Corrupt(message.to_string()))
}
