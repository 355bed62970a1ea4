//! Retries with backoff.

use std::fmt;
use std::time::Duration;

use crate::worker::Context;
use satellite_core::http::Backoff;

/// Runs `work` until it succeeds, at most `attempts` times, with delays of 1 s, 2 s,
/// 4 s … up to a minute with jitter. Returns the last error; if the worker is
/// stopping, it returns at once without a further attempt.
///
/// ```
/// use satellite_sdk::extras::retry;
/// use satellite_sdk::{Builder, Context, Task};
///
/// Builder::new().handler("read", |_: Task, cx: &Context| {
///     retry(cx, 5, || std::fs::read_to_string("/proc/loadavg"))
/// });
/// ```
///
/// # Errors
/// The last error of `work`.
pub fn retry<T, E: fmt::Display>(
    cx: &Context,
    attempts: u32,
    mut work: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut backoff = Backoff::new(Duration::from_secs(60));
    for attempt in 1.. {
        match work() {
            Err(error) if attempt < attempts => {
                let wait = backoff.failed(None);
                log::info!(
                    "attempt {attempt} of {attempts} failed: {error}; retrying in {wait:.1?}"
                );
                if !cx.sleep(wait) {
                    return Err(error);
                }
            }
            end => return end,
        }
    }
    unreachable!("the last attempt returns")
}
