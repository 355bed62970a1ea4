//! Authorization of API keys by the platform, with a cache.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use satellite_sdk::PlatformClient;
use satellite_sdk::serve::{Request, Response};

use super::{error_response, retry_later};

const POSITIVE_TTL: Duration = Duration::from_secs(60);

/// Short, so that a new key works soon after it was created.
const NEGATIVE_TTL: Duration = Duration::from_secs(5);

/// Beyond this many cached keys, all but the authorized ones are evicted.
const MAX_CACHED_KEYS: usize = 10_000;

/// Rate limit of platform requests for unknown keys: an attacker who guesses keys must not
/// make this satellite overload the platform.
const BURST: f64 = 20.0;
const PER_SECOND: f64 = 5.0;

/// A key that was authorized within this time is checked again without the rate limit.
const GOOD_KEY_TTL: Duration = Duration::from_secs(24 * 3600);

/// The platform accepts no longer keys.
const MAX_KEY_BYTES: usize = 255;

pub struct Access {
    platform: PlatformClient,
    /// Keys are cached as two keyed hashes each, so the cache cannot leak a key.
    hashers: [RandomState; 2],
    cached: Mutex<HashMap<[u64; 2], (bool, Instant)>>,
    rate_limit: Mutex<TokenBucket>,
}

/// The cached authorization of a key.
enum Cached {
    /// Not expired; `None`: not authorized.
    Valid(Option<Instant>),
    /// Expired; it was authorized when it was last checked.
    WasAuthorized,
    Unknown,
}

impl Access {
    pub fn new(platform: PlatformClient) -> Self {
        Access {
            platform,
            hashers: [RandomState::new(), RandomState::new()],
            cached: Mutex::default(),
            rate_limit: Mutex::new(TokenBucket::full(Instant::now())),
        }
    }

    /// Returns when the request was authorized. Without a bearer token: 403; not authorized: 401;
    /// too many unknown keys: 429; the platform is unavailable: 502.
    pub fn check(&self, request: &Request<'_>) -> Result<Instant, Response> {
        let key = request
            .header("authorization")
            .and_then(bearer)
            .ok_or_else(|| error_response(403, "Not authenticated"))?;
        self.authorized(key)?.ok_or_else(|| {
            error_response(401, "Invalid API key").header("www-authenticate", "Bearer")
        })
    }

    /// When the key was authorized: now; `None` if it is not.
    pub fn authorized(&self, key: &str) -> Result<Option<Instant>, Response> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Ok(None);
        }
        let hash = [0, 1].map(|n: usize| self.hashers[n].hash_one(key));
        match self.cached(&hash) {
            Cached::Valid(authorized) => return Ok(authorized),
            // Once a minute for a valid key: invalid keys cannot use up its rate.
            Cached::WasAuthorized => {}
            Cached::Unknown => {
                let mut rate_limit = self
                    .rate_limit
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                if !rate_limit.take(Instant::now()) {
                    return Err(retry_later(429, "Too many unknown API keys"));
                }
            }
        }
        let authorized = self.platform.authorize_inference(key).map_err(|error| {
            log::warn!("cannot check an API key: {error}");
            error_response(502, "Authorization check failed")
        })?;
        let now = Instant::now();
        let until = now
            + if authorized {
                POSITIVE_TTL
            } else {
                NEGATIVE_TTL
            };
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.len() >= MAX_CACHED_KEYS {
            // Probably someone is guessing keys: keep only the authorized ones.
            cached.retain(|_, (authorized, until)| *authorized && now < *until + GOOD_KEY_TTL);
        }
        cached.insert(hash, (authorized, until));
        Ok(authorized.then_some(now))
    }

    fn cached(&self, hash: &[u64; 2]) -> Cached {
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match cached.get(hash) {
            Some((authorized, until)) if now < *until => Cached::Valid(authorized.then_some(now)),
            Some((true, _)) => Cached::WasAuthorized,
            _ => Cached::Unknown,
        }
    }
}

/// A token bucket: [`BURST`] requests at once, then [`PER_SECOND`].
struct TokenBucket {
    left: f64,
    at: Instant,
}

impl TokenBucket {
    fn full(now: Instant) -> Self {
        TokenBucket {
            left: BURST,
            at: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * PER_SECOND).min(BURST);
        self.at = now;
        let is_left = self.left >= 1.0;
        if is_left {
            self.left -= 1.0;
        }
        is_left
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, key) = header.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_bucket_allows_a_burst_and_then_a_rate() {
        let begun = Instant::now();
        let mut bucket = TokenBucket::full(begun);
        let mut taken = |after: Duration| (0..1000).filter(|_| bucket.take(begun + after)).count();
        assert_eq!(taken(Duration::ZERO), 20);
        assert_eq!(taken(Duration::from_millis(100)), 0);
        assert_eq!(taken(Duration::from_secs(1)), 5);
        assert_eq!(taken(Duration::from_secs(3600)), 20);
    }
}
