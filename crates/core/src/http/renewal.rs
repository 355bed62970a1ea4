//! Tokens that expire: one thread renews them for all waiting threads, before they
//! expire and when the server rejects them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::secret::Secret;
use crate::error::Result;

/// A token is renewed this long before it expires.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// An access token and its refresh token.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The access token.
    pub token: Secret,
    /// The refresh token; a renewal may replace it too.
    pub refresh: Secret,
    /// When the access token expires, if known.
    pub expires: Option<Instant>,
}

/// Obtains the next grant within the given time.
type Renew = dyn Fn(&Grant, Duration) -> Result<Grant> + Send + Sync;

/// A grant that is renewed when it expires.
pub struct Renewal {
    grant: Mutex<Grant>,
    renew: Box<Renew>,
    /// The number of attempted renewals.
    tries: AtomicU64,
}

impl Renewal {
    /// Starts with `grant`; `renew` obtains the next one within the given time.
    pub fn new(
        grant: Grant,
        renew: impl Fn(&Grant, Duration) -> Result<Grant> + Send + Sync + 'static,
    ) -> Self {
        Renewal {
            grant: Mutex::new(grant),
            renew: Box::new(renew),
            tries: AtomicU64::new(0),
        }
    }

    /// The current token, renewed if it is about to expire. If the renewal fails,
    /// the old token is returned: the server may still accept it.
    pub(super) fn token(&self, now: Instant, within: Duration) -> Secret {
        let mut grant = self.lock();
        if grant.expires.is_some_and(|at| at <= now + RENEW_BEFORE) {
            if let Err(error) = self.renew(&mut grant, within) {
                log::warn!("cannot renew the token, which is about to expire: {error}");
            }
        }
        grant.token.clone()
    }

    /// Replaces the token that the server rejected. `None` if another thread has
    /// just tried to renew it and failed.
    ///
    /// # Errors
    /// Those of the renewal.
    pub(super) fn replace(&self, rejected: &Secret, within: Duration) -> Result<Option<Secret>> {
        let tries = self.tries.load(Ordering::SeqCst);
        let mut grant = self.lock();
        if grant.token == *rejected {
            if self.tries.load(Ordering::SeqCst) != tries {
                return Ok(None);
            }
            self.renew(&mut grant, within)?;
        }
        Ok(Some(grant.token.clone()))
    }

    pub(super) fn redact(&self, text: &str) -> String {
        let grant = self.lock();
        grant.refresh.redact(&grant.token.redact(text))
    }

    fn renew(&self, grant: &mut Grant, within: Duration) -> Result<()> {
        let result = (self.renew)(grant, within);
        self.tries.fetch_add(1, Ordering::SeqCst);
        *grant = result?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Grant> {
        self.grant.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
