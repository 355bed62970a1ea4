//! Who may ask: the platform knows, and is not asked each time.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use satellite_sdk::PlatformClient;
use satellite_sdk::serve::{Request, Response};

use super::{refusal, retry_later};

const YES_LASTS: Duration = Duration::from_secs(60);

/// Short, so that a key works soon after it was made.
const NO_LASTS: Duration = Duration::from_secs(5);

/// Beyond this many, all but the good keys are forgotten.
const MOST: usize = 10_000;

/// Unknown keys that the platform is asked about at once, and in a second: whoever tries keys
/// must not make this satellite a nuisance to its platform.
const BURST: f64 = 20.0;
const PER_SECOND: f64 = 5.0;

/// A key that was good within this time is asked about again whatever the rate.
const GOOD_IS_KNOWN: Duration = Duration::from_secs(24 * 3600);

/// The platform takes no longer ones.
const LONGEST_KEY: usize = 255;

pub struct Access {
    platform: PlatformClient,
    /// Two keyed hashes stand for each key: what is not kept cannot leak.
    hashers: [RandomState; 2],
    known: Mutex<HashMap<[u64; 2], (bool, Instant)>>,
    questions: Mutex<Bucket>,
}

/// What the platform has said of a key.
enum Known {
    /// Fresh enough to stand.
    Answer(bool),
    /// It was good when it was last asked about.
    WasGood,
    Nothing,
}

impl Access {
    pub fn new(platform: PlatformClient) -> Self {
        Access {
            platform,
            hashers: [RandomState::new(), RandomState::new()],
            known: Mutex::default(),
            questions: Mutex::new(Bucket::full(Instant::now())),
        }
    }

    /// No bearer: 403; one that may not: 401; too many unknown ones: 429; a platform that is
    /// away: 502.
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
        match self.known(&hash) {
            Known::Answer(answer) => return Ok(answer),
            // Once a minute for a key that works: the others cannot keep it out.
            Known::WasGood => {}
            Known::Nothing => {
                let mut questions = self
                    .questions
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                if !questions.take(Instant::now()) {
                    return Err(retry_later(429, "Too many unknown API keys"));
                }
            }
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
            known.retain(|_, (answer, until)| *answer && now < *until + GOOD_IS_KNOWN);
        }
        known.insert(hash, (answer, until));
        Ok(answer)
    }

    fn known(&self, hash: &[u64; 2]) -> Known {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(hash) {
            Some((answer, until)) if Instant::now() < *until => Known::Answer(*answer),
            Some((true, _)) => Known::WasGood,
            _ => Known::Nothing,
        }
    }
}

/// So many at once, and so many in a second after that.
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(now: Instant) -> Self {
        Bucket {
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
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let begun = Instant::now();
        let mut bucket = Bucket::full(begun);
        let mut taken = |after: Duration| (0..1000).filter(|_| bucket.take(begun + after)).count();
        assert_eq!(taken(Duration::ZERO), 20);
        assert_eq!(taken(Duration::from_millis(100)), 0);
        assert_eq!(taken(Duration::from_secs(1)), 5);
        assert_eq!(taken(Duration::from_secs(3600)), 20);
    }
}
