//! Who may ask: the platform knows, and is not asked each time.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use satellite_sdk::PlatformClient;
use satellite_sdk::serve::{Request, Response};

use super::refusal;

const YES_LASTS: Duration = Duration::from_secs(60);

/// Short, so that a key works soon after it was made.
const NO_LASTS: Duration = Duration::from_secs(5);

/// Beyond this many, all but the good keys are forgotten.
const MOST: usize = 10_000;

/// The platform takes no longer ones.
const LONGEST_KEY: usize = 255;

pub struct Access {
    platform: PlatformClient,
    /// Two keyed hashes stand for each key: what is not kept cannot leak.
    hashers: [RandomState; 2],
    known: Mutex<HashMap<[u64; 2], (bool, Instant)>>,
}

impl Access {
    pub fn new(platform: PlatformClient) -> Self {
        Access {
            platform,
            hashers: [RandomState::new(), RandomState::new()],
            known: Mutex::default(),
        }
    }

    /// No bearer: 403; one that may not: 401; a platform that is away: 502.
    pub fn check(&self, request: &Request<'_>) -> Result<(), Response> {
        let key = request
            .header("authorization")
            .and_then(bearer)
            .ok_or_else(|| refusal(403, "Not authenticated"))?;
        match self.is_authorized(key)? {
            true => Ok(()),
            false => Err(refusal(401, "Invalid API key").header("www-authenticate", "Bearer")),
        }
    }

    pub fn is_authorized(&self, key: &str) -> Result<bool, Response> {
        if key.is_empty() || key.len() > LONGEST_KEY {
            return Ok(false);
        }
        let hash = [0, 1].map(|n: usize| self.hashers[n].hash_one(key));
        if let Some(answer) = self.known(&hash) {
            return Ok(answer);
        }
        let answer = self.platform.authorize_inference(key).map_err(|error| {
            log::warn!("a key cannot be checked: {error}");
            refusal(502, "Authorization check failed")
        })?;
        let until = Instant::now() + if answer { YES_LASTS } else { NO_LASTS };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            // Somebody is trying keys: those that are good stay.
            let now = Instant::now();
            known.retain(|_, (answer, until)| *answer && now < *until);
        }
        known.insert(hash, (answer, until));
        Ok(answer)
    }

    fn known(&self, hash: &[u64; 2]) -> Option<bool> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, until) = known.get(hash)?;
        (Instant::now() < *until).then_some(*answer)
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, key) = header.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}
