//! The reason why a unit of work failed.

use std::fmt;

/// Why a task failed: a short reason and the detailed error.
///
/// `?` converts any type that implements `Display`; its text becomes both.
///
/// ```
/// use satellite_core::Failure;
///
/// fn processors() -> Result<usize, Failure> {
///     let text = std::fs::read_to_string("/proc/cpuinfo")?;
///     match text.lines().count() {
///         0 => Err(Failure::new("no processor", "/proc/cpuinfo is empty")),
///         lines => Ok(lines),
///     }
/// }
/// # let _ = processors();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    reason: String,
    error: String,
}

impl Failure {
    /// Creates a failure from a short fixed `reason` and a detailed `error`.
    pub fn new(reason: impl fmt::Display, error: impl fmt::Display) -> Self {
        Failure {
            reason: reason.to_string(),
            error: error.to_string(),
        }
    }

    /// The short reason.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The detailed error.
    pub fn error(&self) -> &str {
        &self.error
    }
}

// `Failure` itself is not `Display`, so that this does not collide with
// `From<Failure> for Failure`.
impl<E: fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        let text = error.to_string();
        Failure {
            reason: text.clone(),
            error: text,
        }
    }
}
