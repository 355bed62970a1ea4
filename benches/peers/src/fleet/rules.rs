//! When a satellite polls again: the SDK's private rules (`crates/core/src/http/retry.rs`, and
//! the interval's jitter in `src/worker/run_loop.rs`), restated in one place. `check.rs`
//! compares them with a real worker at each run.

/// The rules that a fleet follows.
#[derive(Clone, Copy)]
pub struct Rules {
    jitter: bool,
    backoff: bool,
}

impl Rules {
    pub const KIT: Rules = Rules {
        jitter: true,
        backoff: true,
    };
    pub const NO_JITTER: Rules = Rules {
        jitter: false,
        backoff: true,
    };
    /// Neither: always the same interval.
    pub const NO_BACKOFF: Rules = Rules {
        jitter: false,
        backoff: false,
    };

    /// The interval, plus or minus a tenth.
    pub fn after_success(self, interval: f64, random: &mut Random) -> f64 {
        match self.jitter {
            true => interval * (0.9 + random.next() / 5.0),
            false => interval,
        }
    }

    /// 1 s, 2 s, 4 s … to the maximum, minus up to half of it at random; at least the server's
    /// `Retry-After`, up to the maximum.
    pub fn after_failure(
        self,
        failures: u32,
        retry_after: f64,
        max: f64,
        interval: f64,
        random: &mut Random,
    ) -> f64 {
        if !self.backoff {
            return interval;
        }
        let wait = f64::from(1_u32 << (failures - 1).min(16)).min(max);
        let wait = match self.jitter {
            true => wait * (1.0 - random.next() / 2.0),
            false => wait,
        };
        wait.max(retry_after.min(max))
    }
}

/// SplitMix64: the same numbers for the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// From 0 to 1.
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
