//! Errors that are specific to stored states.

use std::fmt;

use satellite_core::Error;

/// Why a state cannot be used or written. An [`Error`] is made from it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateError {
    /// Another process owns the state now; this one must not write it anymore.
    Fenced(String),
    /// Another process holds the state, and a tool may not take it.
    Held(String),
    /// The stored document is damaged: it was truncated or changed.
    Corrupt(String),
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StateError::Fenced(text) | StateError::Held(text) | StateError::Corrupt(text) => {
                f.write_str(text)
            }
        }
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

/// Whether another process holds the state, which a tool could not take for that reason.
///
/// ```
/// use satellite_state::{Error, is_held};
///
/// assert!(!is_held(&Error::new("no such folder")));
/// ```
pub fn is_held(error: &Error) -> bool {
    matches!(error.source_as(), Some(StateError::Held(_)))
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
