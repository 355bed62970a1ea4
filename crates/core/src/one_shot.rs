//! Hands one value from one thread to another.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Holds at most one value. Clones share it.
///
/// The channels of the standard library do the same in ten times the code, which would be a
/// hundredth of a small worker.
///
/// ```
/// use satellite_core::one_shot::OneShot;
/// use std::time::Duration;
///
/// let answer = OneShot::default();
/// let sender = answer.clone();
/// std::thread::spawn(move || sender.put(42));
/// assert_eq!(answer.take_within(Duration::from_secs(10)), Some(42));
/// assert_eq!(answer.take_within(Duration::ZERO), None);
/// ```
#[derive(Debug)]
pub struct OneShot<T>(Arc<(Mutex<Option<T>>, Condvar)>);

impl<T> OneShot<T> {
    /// Stores the value and wakes the thread that waits for it.
    pub fn put(&self, value: T) {
        let (slot, filled) = &*self.0;
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        filled.notify_all();
    }

    /// Takes the value out; waits for it for at most `limit`.
    pub fn take_within(&self, limit: Duration) -> Option<T> {
        let (slot, filled) = &*self.0;
        let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        filled
            .wait_timeout_while(slot, limit, |slot| slot.is_none())
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .take()
    }
}

impl<T> Clone for OneShot<T> {
    fn clone(&self) -> Self {
        OneShot(Arc::clone(&self.0))
    }
}

impl<T> Default for OneShot<T> {
    fn default() -> Self {
        OneShot(Arc::default())
    }
}
