//! Reads and replaces the state of a processor from outside of it: for tools.

use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use super::document::{Content, Snapshot};
use super::error::is_fenced;
use super::identity;
use super::store::{LeaseValidity, OpenRequest, Opened, Status, Store, Stored};
use satellite_core::wake::Waiter;
use satellite_core::{Error, Result};

/// How long to wait before the next attempt to take a state that is held.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Reads the stored state of a processor, and replaces it under the same rules as another
/// process of this processor: with the lease, and fenced.
///
/// ```
/// use satellite_state::{Content, FileStore, StateEditor, WhenHeld};
/// # let folder = std::env::temp_dir().join(format!("editor-doc-{}", std::process::id()));
///
/// let mut editor = StateEditor::new(FileStore::new(&folder), "default", "orders")?;
/// editor.replace(WhenHeld::Refuse, |stored| {
///     assert!(stored.is_none());
///     Ok(Content { schema: 1, unclean_starts: 0, state: b"{\"count\":17}".to_vec() })
/// })?;
/// let newest = editor.history()?.remove(0).snapshot?;
/// assert_eq!(newest.content.state, b"{\"count\":17}");
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), satellite_state::Error>(())
/// ```
pub struct StateEditor {
    store: Box<dyn Store>,
    namespace: String,
    processor: String,
    holder: String,
}

/// What to do about a state that a process holds, when it is to be replaced.
///
/// ```
/// use satellite_state::WhenHeld;
/// use std::time::Duration;
///
/// let patient = WhenHeld::Ask(Duration::from_secs(60));
/// assert_ne!(patient, WhenHeld::Refuse);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenHeld {
    /// Fail at once, also when the holder has ended without releasing the state.
    Refuse,
    /// Wait this long until the holder ends, or until its lease expires.
    Wait(Duration),
    /// Ask the holder to hand the state over, as a new release does, and wait this long.
    /// The holder stops; its supervisor restarts it, and it takes the state again.
    Ask(Duration),
}

impl StateEditor {
    /// For the state of `processor` in `namespace`, which only a ConfigMap and a bucket use.
    ///
    /// # Errors
    /// When no processor can have this id.
    pub fn new(
        store: impl Store + 'static,
        namespace: impl Into<String>,
        processor: impl Into<String>,
    ) -> Result<Self> {
        let processor = identity::processor_id(Some(processor.into()), "", false);
        Ok(StateEditor {
            store: Box::new(store),
            namespace: namespace.into(),
            processor: processor.map_err(Error::new)?,
            holder: identity::editor(),
        })
    }

    /// All stored generations, the newest first; the holder is not affected.
    ///
    /// # Errors
    /// When the store cannot be read. A generation that is damaged is part of the result.
    pub fn history(&mut self) -> Result<Vec<Stored>> {
        self.store.history(&self.namespace, &self.processor)
    }

    /// Takes the state, stores what `replacement` returns for the stored one, and releases it.
    /// A stored state that is damaged is moved aside. Returns the new generation.
    ///
    /// # Errors
    /// When another process holds the state, see [`WhenHeld`]; an error of `replacement`, and
    /// then nothing has changed; [`is_fenced`] when another process took the state meanwhile.
    pub fn replace(
        &mut self,
        when_held: WhenHeld,
        replacement: impl FnOnce(Option<&Snapshot>) -> Result<Content>,
    ) -> Result<u64> {
        let opened = self.open(when_held)?;
        let replaced = self.replace_opened(&opened, replacement);
        if replaced.as_ref().is_err_and(|e| !is_fenced(e)) {
            if let Err(e) = self.store.release_lease() {
                log::warn!("could not release the state, it is free when the lease expires: {e}");
            }
        }
        replaced
    }

    fn replace_opened(
        &mut self,
        opened: &Opened,
        replacement: impl FnOnce(Option<&Snapshot>) -> Result<Content>,
    ) -> Result<u64> {
        for failure in &opened.failures {
            log::warn!("the stored state: {failure}");
        }
        let content = replacement(opened.snapshot.as_ref())?;
        if opened.snapshot.is_none() && !opened.failures.is_empty() {
            let aside = self.store.move_aside()?;
            log::warn!("the damaged state was moved to {aside}");
        }
        self.store.release(&content)
    }

    fn open(&mut self, when_held: WhenHeld) -> Result<Opened> {
        let (limit, asks) = match when_held {
            WhenHeld::Refuse => (Duration::ZERO, false),
            WhenHeld::Wait(limit) => (limit, false),
            WhenHeld::Ask(limit) => (limit, true),
        };
        let waits = Waits {
            deadline: Instant::now() + limit,
            asks,
            seen: Mutex::default(),
        };
        let (lease_validity, waiter) = (LeaseValidity::default(), Waiter::default());
        loop {
            let request = OpenRequest {
                processor: &self.processor,
                namespace: &self.namespace,
                holder: &self.holder,
                in_cluster: false,
                revision: None,
                lease_validity: &lease_validity,
                waiter: &waiter,
                status: &waits,
            };
            match self.store.open(&request) {
                Err(e) if waits.was_held() => {
                    if Instant::now() >= waits.deadline {
                        return Err(self.held(e, limit));
                    }
                    thread::sleep(POLL_INTERVAL.min(limit));
                }
                opened => return opened,
            }
        }
    }

    fn held(&mut self, error: Error, limit: Duration) -> Error {
        let history = self.history().unwrap_or_default();
        let newest = history.into_iter().find_map(|stored| stored.snapshot.ok());
        let Some(stamp) = newest.map(|snapshot| snapshot.stamp) else {
            return error;
        };
        let waited = match limit.is_zero() {
            true => String::new(),
            false => format!(", also after {limit:.0?}"),
        };
        Error::new(format_args!(
            "{} holds the state of {} (generation {} of {}){waited}: nothing was changed",
            stamp.writer(),
            self.processor,
            stamp.generation,
            stamp.saved_at
        ))
    }
}

impl fmt::Debug for StateEditor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateEditor")
            .field("store", &self.store)
            .field("processor", &self.processor)
            .finish_non_exhaustive()
    }
}

/// How long an editor waits for a state, and whether it asks for it.
#[derive(Debug)]
struct Waits {
    deadline: Instant,
    asks: bool,
    /// The last attempt failed because the state is held.
    seen: Mutex<bool>,
}

impl Waits {
    /// Whether the last attempt failed because the state is held.
    fn was_held(&self) -> bool {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn held(&self, reason: &str) -> Error {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = true;
        Error::new(reason)
    }
}

impl Status for Waits {
    fn waiting(&self, reason: &str) {
        log::debug!("{reason}");
    }

    fn check_prepared(&self) -> Result<()> {
        match self.asks {
            true => Ok(()),
            false => Err(self.held("another process holds the state")),
        }
    }

    fn check_wait(&self, reason: &str) -> Result<()> {
        match Instant::now() < self.deadline {
            true => Ok(()),
            false => Err(self.held(reason)),
        }
    }
}
