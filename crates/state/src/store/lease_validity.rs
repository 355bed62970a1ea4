//! Until when this process may act on its state.
//!
//! A holder renews its lease, and other processes may take the state when they have seen
//! no renewal for the whole lease duration, measured with their own clocks. The holder
//! has to stop earlier than that. With a lease duration D:
//!
//! - the holder counts from the moment *before* it sent the last renewal that
//!   succeeded, and stops acting after 8/10 D;
//! - others count from the moment when they first saw that renewal, which is later,
//!   and wait for 11/10 D.
//!
//! The two cannot overlap as long as no clock runs more than 15 % faster or slower
//! than another: 0.8 × 1.15 < 1.1 × 0.85. The remaining difference is the margin for a
//! turn that is running when the lease lapses.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A monotonic clock that includes the time when the machine is suspended.
pub(crate) type LeaseClock = Arc<dyn Fn() -> Duration + Send + Sync>;

const UNLIMITED: u64 = u64::MAX;

/// Shared by the store, which extends it, and by callers that check it before acting, so
/// that they need not wait for a busy store.
#[derive(Clone)]
pub(crate) struct LeaseValidity {
    clock: LeaseClock,
    /// Nanoseconds of `clock`.
    until: Arc<AtomicU64>,
}

impl LeaseValidity {
    pub(crate) fn new(clock: LeaseClock) -> Self {
        LeaseValidity {
            clock,
            until: Arc::default(),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        (self.clock)()
    }

    pub(crate) fn is_valid(&self) -> bool {
        let until = self.until.load(Ordering::SeqCst);
        until == UNLIMITED || self.now() < Duration::from_nanos(until)
    }

    /// Never expires: a lock of the operating system excludes other processes.
    pub(crate) fn unlimited(&self) {
        self.until.store(UNLIMITED, Ordering::SeqCst);
    }

    /// A renewal that was sent at `sent` has succeeded.
    pub(crate) fn renewed(&self, sent: Duration, lease: Duration) {
        let until = (sent + holder_limit(lease)).as_nanos();
        let until = u64::try_from(until).unwrap_or(UNLIMITED - 1);
        self.until.store(until, Ordering::SeqCst);
    }

    pub(crate) fn end(&self) {
        self.until.store(0, Ordering::SeqCst);
    }
}

impl Default for LeaseValidity {
    fn default() -> Self {
        LeaseValidity::new(Arc::new(since_boot))
    }
}

impl fmt::Debug for LeaseValidity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LeaseValidity")
            .field(&self.is_valid())
            .finish()
    }
}

/// How long a holder may act after a renewal.
pub(super) fn holder_limit(lease: Duration) -> Duration {
    lease * 8 / 10
}

/// How long others wait, without having seen a renewal.
pub(super) fn others_limit(lease: Duration) -> Duration {
    lease * 11 / 10
}

/// Unlike `Instant`, this clock also counts the time when the machine is suspended.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or_default(),
        u32::try_from(now.tv_nsec).unwrap_or_default(),
    )
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn since_boot() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;

    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
