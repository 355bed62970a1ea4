//! The state in memory: shared between the user's code and the threads that save it,
//! replaced entirely or not at all.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::unknown::Unknown;
use satellite_core::{Error, Result};

/// The state of a processor: any type that serde can serialize and deserialize, with a
/// default value.
pub trait State: Serialize + DeserializeOwned + Default + Send + 'static {}

impl<S: Serialize + DeserializeOwned + Default + Send + 'static> State for S {}

/// How long to wait for the state before it is replaced.
const REPLACE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the processor yields to waiting readers.
const YIELD_LIMIT: Duration = Duration::from_millis(10);

pub(super) struct Memory<S> {
    held: Mutex<Held<S>>,
    /// The thread that holds a guard: a second guard on it would be a deadlock.
    owner: Mutex<Option<ThreadId>>,
    /// The number of threads that wait to serialize the state or to replace it.
    waiting_readers: AtomicUsize,
}

struct Held<S> {
    state: S,
    /// Keys of the stored state that `S` does not know.
    unknown: Unknown,
    /// Counts possible changes: mutable accesses and replacements.
    changes: u64,
    /// The value of `changes` at the last save.
    saved: Option<u64>,
}

/// A serialized state, and the number of the last change that it includes.
pub(super) struct Serialized {
    pub(super) json: Vec<u8>,
    pub(super) change: u64,
}

/// Type-erased access to the state, to save it and to serve it.
pub(super) trait StateAccess: Send + Sync {
    /// The state as JSON, once it is not locked; `None` when `only_changed` and nothing
    /// has changed since the last save.
    fn take(&self, only_changed: bool) -> Result<Option<Serialized>>;

    /// The state as JSON, for the last save: waits at most `timeout`.
    fn take_within(&self, timeout: Duration) -> Result<Serialized>;

    /// The state as JSON, to be displayed: waits at most `timeout`.
    fn peek(&self, timeout: Duration) -> Result<Serialized>;

    /// Marks the state up to this change as saved.
    fn saved(&self, change: u64);

    /// Replaces the state with `json`, which is parsed completely first. Keys that the
    /// type does not know are kept, or rejected if `strict`.
    fn replace(&self, json: &[u8], strict: bool) -> Result<()>;
}

impl<S: State> Memory<S> {
    pub(super) fn new() -> Self {
        Memory {
            held: Mutex::new(Held {
                state: S::default(),
                unknown: Unknown::default(),
                changes: 0,
                saved: None,
            }),
            owner: Mutex::new(None),
            waiting_readers: AtomicUsize::new(0),
        }
    }

    /// Locks the state for reading and changing.
    pub(super) fn guard(&self) -> StateGuard<'_, S> {
        let me = thread::current().id();
        assert!(
            *self.owner() != Some(me),
            "this thread holds the state already: drop the first guard before taking another"
        );
        // Without this, a loop that locks the state again immediately would starve others.
        let since = Instant::now();
        while self.waiting_readers.load(Ordering::SeqCst) > 0 && since.elapsed() < YIELD_LIMIT {
            thread::sleep(Duration::from_micros(50));
        }
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        *self.owner() = Some(me);
        StateGuard { memory: self, held }
    }

    fn owner(&self) -> MutexGuard<'_, Option<ThreadId>> {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> Result<MutexGuard<'_, Held<S>>> {
        self.check_not_held_by_this_thread()?;
        let _waiting = WaitingReader::begin(&self.waiting_readers);
        self.held.lock().map_err(|_| poisoned())
    }

    fn lock_within(&self, timeout: Duration) -> Result<MutexGuard<'_, Held<S>>> {
        let _waiting = WaitingReader::begin(&self.waiting_readers);
        let started_at = Instant::now();
        loop {
            match self.held.try_lock() {
                Ok(held) => return Ok(held),
                Err(TryLockError::Poisoned(_)) => return Err(poisoned()),
                Err(TryLockError::WouldBlock) if started_at.elapsed() >= timeout => {
                    return Err(Error::new(format_args!(
                        "could not lock the state within {timeout:.1?}"
                    )));
                }
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_micros(200)),
            }
        }
    }

    fn check_not_held_by_this_thread(&self) -> Result<()> {
        match *self.owner() == Some(thread::current().id()) {
            true => Err(Error::new(
                "this thread holds the state: drop its guard before saving",
            )),
            false => Ok(()),
        }
    }
}

struct WaitingReader<'a>(&'a AtomicUsize);

impl<'a> WaitingReader<'a> {
    fn begin(waiting_readers: &'a AtomicUsize) -> Self {
        waiting_readers.fetch_add(1, Ordering::SeqCst);
        WaitingReader(waiting_readers)
    }
}

impl Drop for WaitingReader<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<S: State> StateAccess for Memory<S> {
    fn take(&self, only_changed: bool) -> Result<Option<Serialized>> {
        let held = self.lock()?;
        if only_changed && held.saved == Some(held.changes) {
            return Ok(None);
        }
        let serialized = held.take()?;
        drop(held);
        serialized.readable::<S>().map(Some)
    }

    fn take_within(&self, timeout: Duration) -> Result<Serialized> {
        self.peek(timeout)?.readable::<S>()
    }

    fn peek(&self, timeout: Duration) -> Result<Serialized> {
        self.check_not_held_by_this_thread()?;
        self.lock_within(timeout)?.take()
    }

    fn saved(&self, change: u64) {
        if let Ok(mut held) = self.held.lock() {
            held.saved = Some(change);
        }
    }

    fn replace(&self, json: &[u8], strict: bool) -> Result<()> {
        let (state, unknown) = Unknown::read::<S>(json)?;
        if strict && !unknown.is_empty() {
            return Err(Error::new(format_args!(
                "unknown keys, nothing was changed: {unknown}"
            )));
        }
        if !unknown.is_empty() {
            log::info!("unknown keys in the state are kept: {unknown}");
        }
        // The old state is dropped after the lock is released: dropping may take long.
        let _before = {
            let mut held = self.lock_within(REPLACE_TIMEOUT)?;
            held.changes += 1;
            held.unknown = unknown;
            std::mem::replace(&mut held.state, state)
        };
        Ok(())
    }
}

impl<S: State> Held<S> {
    fn take(&self) -> Result<Serialized> {
        let json = self
            .unknown
            .write_with(&self.state)
            .map_err(|e| Error::new(format_args!("the state cannot be written as JSON: {e}")))?;
        Ok(Serialized {
            json,
            change: self.changes,
        })
    }
}

impl Serialized {
    /// Rejects a state that could not be read back, such as a NaN, which becomes `null`:
    /// detecting that only after a restart would be too late.
    fn readable<S: State>(self) -> Result<Self> {
        match serde_json::from_slice::<S>(&self.json) {
            Ok(_) => Ok(self),
            Err(e) => Err(Error::new(format_args!(
                "the serialized state could not be read back: {e}"
            ))),
        }
    }
}

fn poisoned() -> Error {
    Error::new("a panic may have left the state partly changed; it is not saved")
}

/// Exclusive access to the state. The state is saved only while no guard exists: hold it
/// for one step, not for the whole run.
pub struct StateGuard<'a, S> {
    memory: &'a Memory<S>,
    held: MutexGuard<'a, Held<S>>,
}

impl<S> Deref for StateGuard<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.held.state
    }
}

impl<S> DerefMut for StateGuard<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        self.held.changes += 1;
        &mut self.held.state
    }
}

impl<S> Drop for StateGuard<'_, S> {
    fn drop(&mut self) {
        let mut owner = self.memory.owner.lock();
        if let Ok(owner) = &mut owner {
            **owner = None;
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for StateGuard<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.held.state.fmt(f)
    }
}
