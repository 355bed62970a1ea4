//! The state in memory: shared between the user's code and whoever saves it,
//! changed whole or not at all.

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

/// What a processor remembers: anything that serde can write and read, with
/// a beginning.
pub trait State: Serialize + DeserializeOwned + Default + Send + 'static {}

impl<S: Serialize + DeserializeOwned + Default + Send + 'static> State for S {}

/// How long an onlooker waits for a state that is being worked on.
const REPLACE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the processor lets waiting_readers go before.
const YIELD_LIMIT: Duration = Duration::from_millis(10);

pub(super) struct Memory<S> {
    held: Mutex<Held<S>>,
    /// The thread whose guard is alive: a second one would wait for itself.
    owner: Mutex<Option<ThreadId>>,
    /// Those who want the state but for a moment, to save or to show it.
    waiting_readers: AtomicUsize,
}

struct Held<S> {
    state: S,
    /// What the stored state had and `S` does not know.
    unknown: Unknown,
    /// Counts what may have been changes.
    changes: u64,
    /// `changes` as of the last save.
    saved: Option<u64>,
}

/// A state as bytes, and which of its changes they hold.
pub(super) struct Serialized {
    pub(super) json: Vec<u8>,
    pub(super) change: u64,
}

/// The state, whatever its type: for those who keep it and those who show it.
pub(super) trait StateAccess: Send + Sync {
    /// The state as JSON, once nobody works on it; `None` when `only_changed`
    /// and nothing has changed since the last save.
    fn take(&self, only_changed: bool) -> Result<Option<Serialized>>;

    /// The state as JSON, for the last save: waits no longer than this.
    fn take_within(&self, timeout: Duration) -> Result<Serialized>;

    /// The state as JSON, to be shown: waits no longer than this.
    fn peek(&self, timeout: Duration) -> Result<Serialized>;

    /// What was serialized with this change is safe now.
    fn saved(&self, change: u64);

    /// Replaces the state by `json`, read whole before it is swapped. Keys that
    /// the type does not know are kept, or refused where `strict`.
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

    /// The state, to read and to change.
    pub(super) fn guard(&self) -> StateGuard<'_, S> {
        let me = thread::current().id();
        assert!(
            *self.owner() != Some(me),
            "this thread holds the state already: drop the first guard before asking for another"
        );
        // A loop that takes the state again at once would let nobody else have it.
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
        let begun = Instant::now();
        loop {
            match self.held.try_lock() {
                Ok(held) => return Ok(held),
                Err(TryLockError::Poisoned(_)) => return Err(poisoned()),
                Err(TryLockError::WouldBlock) if begun.elapsed() >= timeout => {
                    return Err(Error::new(format_args!(
                        "the state has been worked on for {timeout:.1?} without a break"
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
            log::info!("keys that this program does not know: {unknown}");
        }
        // Dropped after the lock is released: dropping may take long.
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
    /// Refuses to keep what could not be read back: a NaN becomes `null`, and
    /// whoever finds that out after the restart finds it out too late.
    fn readable<S: State>(self) -> Result<Self> {
        match serde_json::from_slice::<S>(&self.json) {
            Ok(_) => Ok(self),
            Err(e) => Err(Error::new(format_args!(
                "the state could not be read back once written: {e}"
            ))),
        }
    }
}

fn poisoned() -> Error {
    Error::new("a panic left the state half changed; it is not saved")
}

/// The state in the hands of the user's code. It is saved as it is between two
/// guards, never in the middle of one: hold it for a step, not for the run.
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
