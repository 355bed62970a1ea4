//! Text that must not be printed.

use std::fmt;

use zeroize::Zeroizing;

/// A token or another secret: never printed, wiped from memory when dropped.
///
/// ```
/// use satellite_core::Secret;
///
/// let secret = Secret::new("dfssat_1234");
/// assert_eq!(format!("{secret:?}"), "Secret(***)");
/// assert_eq!(secret.expose(), "dfssat_1234");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(Zeroizing::new(text.into()))
    }

    /// The text itself. The caller must not log it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is this text. Takes the same time wherever they differ, so that the time
    /// reveals nothing about the secret.
    ///
    /// ```
    /// assert!(satellite_core::Secret::new("hush").is("hush"));
    /// ```
    pub fn is(&self, text: &str) -> bool {
        let pairs = self.0.bytes().zip(text.bytes());
        let differences = pairs.fold(0, |all, (a, b)| all | (a ^ b));
        self.0.len() == text.len() && differences == 0
    }

    /// Replaces this secret in `text`.
    pub fn redact(&self, text: &str) -> String {
        // A shorter text is not secret and would match parts of ordinary words.
        if self.0.len() < 6 {
            return text.to_owned();
        }
        text.replace(self.expose(), "***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret::new(text)
    }
}

impl From<&String> for Secret {
    fn from(text: &String) -> Self {
        Secret::new(text)
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_compared_completely() {
        let secret = Secret::new("abc");
        assert!(secret.is("abc"));
        for other in ["", "ab", "abcd", "abd"] {
            assert!(!secret.is(other), "{other:?}");
        }
    }
}
