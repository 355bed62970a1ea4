//! How long a holder considers a claim: a process that was killed while it waited cannot
//! withdraw its claim, and must not get the state.

use std::time::Duration;

use super::Claim;

/// The claim that was seen last, and since when.
#[derive(Debug, Default)]
pub(super) struct Claims(Option<(String, Duration)>);

impl Claims {
    /// The claim of `by`, empty if there is none. `None` also when it is older than `limit`: it
    /// is then to be removed, and a process that still waits claims again.
    pub(super) fn current(&mut self, by: &str, now: Duration, limit: Duration) -> Option<Claim> {
        let before = self.0.take();
        if by.is_empty() {
            return None;
        }
        let since = match before {
            Some((known, since)) if known == by => since,
            _ => now,
        };
        if now.saturating_sub(since) >= limit {
            return None;
        }
        self.0 = Some((by.to_owned(), since));
        Some(Claim { by: by.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_that_is_not_repeated_expires() {
        let mut claims = Claims::default();
        let mut at = |by: &str, seconds| {
            let limit = Duration::from_secs(10);
            claims.current(by, Duration::from_secs(seconds), limit)
        };
        assert!(at("a", 0).is_some() && at("a", 9).is_some());
        assert_eq!(at("a", 10), None);
        assert!(at("a", 11).is_some(), "it was removed and made again");
        assert!(at("b", 20).is_some() && at("b", 29).is_some());
        assert_eq!(at("", 30), None);
        assert!(at("b", 31).is_some() && at("b", 40).is_some());
    }
}
