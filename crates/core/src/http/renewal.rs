//! Tokens that end: renewed before they do and when the server refuses them, by
//! one thread for all that wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::secret::Secret;
use crate::error::Result;

/// A token is renewed when it has no longer than this to live.
const EARLY: Duration = Duration::from_secs(60);

/// A token, and what it is renewed with.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The access token.
    pub token: Secret,
    /// What is shown to have another one; a renewal may replace it too.
    pub refresh: Secret,
    /// When the access token expires, if known.
    pub expires: Option<Instant>,
}

/// From a grant to the next, within a time.
type Renew = dyn Fn(&Grant, Duration) -> Result<Grant> + Send + Sync;

/// A grant that is renewed.
pub struct Renewal {
    grant: Mutex<Grant>,
    renew: Box<Renew>,
    /// How often that was tried.
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

    /// The token to show now, renewed if it is about to end. One that could not
    /// be renewed is shown all the same: the server may still take it.
    pub(super) fn token(&self, now: Instant, within: Duration) -> Secret {
        let mut grant = self.lock();
        if grant.expires.is_some_and(|at| at <= now + EARLY) {
            if let Err(error) = self.renew(&mut grant, within) {
                log::warn!("the token is about to end and was not renewed: {error}");
            }
        }
        grant.token.clone()
    }

    /// Another token in place of the one that the server refused; `None` where
    /// one thread has just tried for all and had none.
    ///
    /// # Errors
    /// Those of the renewal.
    pub(super) fn instead_of(&self, refused: &Secret, within: Duration) -> Result<Option<Secret>> {
        let tries = self.tries.load(Ordering::SeqCst);
        let mut grant = self.lock();
        if grant.token == *refused {
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
