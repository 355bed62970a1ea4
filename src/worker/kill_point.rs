//! Fault injection for tests: kills this process between two relevant steps.

/// With `SATELLITE_KILL_AT=name#n`, the process kills itself with SIGKILL when it
/// reaches the kill point of this name for the nth time.
#[cfg(all(feature = "testing", unix))]
pub(super) fn kill_point(name: &str) {
    use std::sync::atomic::{AtomicI64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    static PASSED: AtomicI64 = AtomicI64::new(0);
    let Ok(wanted) = std::env::var("SATELLITE_KILL_AT") else {
        return;
    };
    let (at, times) = wanted.split_once('#').unwrap_or((&wanted, "1"));
    let times: i64 = times.parse().unwrap_or(1);
    if at == name && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == times {
        let _ = kill_process(getpid(), Signal::KILL);
    }
}

#[cfg(not(all(feature = "testing", unix)))]
pub(super) fn kill_point(_: &str) {}
