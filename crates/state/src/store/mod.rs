//! Where states are kept.

mod candidates;
mod configmap;
mod fenced;
#[cfg(test)]
mod fenced_model;
mod file;
mod folder_lock;
mod generations;
mod kubernetes;
mod lease;
mod lease_manager;
mod lease_validity;
mod lock;
mod register;
#[cfg(feature = "s3")]
mod s3;

pub use configmap::ConfigMapStore;
pub use file::FileStore;
#[cfg(feature = "s3")]
pub use s3::S3Store;

use std::fmt;
use std::time::Duration;

pub(super) use lease_validity::LeaseValidity;

use super::document::{Content, Snapshot, Stamp};
use super::identity;
use satellite_core::wake::{Stage, Waiter};
use satellite_core::{Error, Result};

/// Where a processor's state is kept, by one writer at a time.
///
/// A store is asked from several threads, one after the other. It never writes
/// over what somebody else has written: it answers with an error whose
/// [`is_fenced`](crate::is_fenced) is true instead.
pub trait Store: Send + fmt::Debug {
    /// A copy of what is kept, where this process would have to ask another one for
    /// it; `None` where it is to [`open`](Self::open) the store at once. Tells the
    /// holder that this process prepares to take over, and is called again from
    /// time to time until it does. Nothing that is kept changes.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    fn peek(&mut self, request: &OpenRequest<'_>) -> Result<Option<Opened>> {
        let _ = request;
        Ok(None)
    }

    /// Tells the holder that this process does not take over, after a
    /// [`peek`](Self::peek), and why.
    ///
    /// # Errors
    /// When it cannot be told.
    fn give_up(&mut self, request: &OpenRequest<'_>, why: &str) -> Result<()> {
        let _ = (request, why);
        Ok(())
    }

    /// Becomes the only writer, waiting until whoever holds the state has handed
    /// it over or is gone, and reads what is kept.
    ///
    /// # Errors
    /// `is_stopped()` when the wait was given up for a stop; [`is_corrupt`](crate::is_corrupt) when
    /// nothing that is kept can be read.
    fn open(&mut self, request: &OpenRequest<'_>) -> Result<Opened>;

    /// Keeps `content`, for good once this returns. Returns its generation.
    ///
    /// # Errors
    /// [`is_fenced`](crate::is_fenced) when somebody else holds the state by now. After any other
    /// error what was kept before is kept still.
    fn save(&mut self, content: &Content) -> Result<u64>;

    /// Keeps `last`, and lets go of the state: whoever waits for it may have it.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    fn release(&mut self, last: &Content) -> Result<u64>;

    /// Lets go of the state as it was saved last: for a process that ends without a
    /// last save. Does nothing where it is not held.
    ///
    /// # Errors
    /// When others cannot be told; they wait until it expires.
    fn release_lease(&mut self) -> Result<()> {
        Ok(())
    }

    /// After [`open`](Self::open): what keeps hold of the state from a thread of its
    /// own, so that a save that takes long holds up no renewal. `None`: that is what
    /// [`renew`](Self::renew) is for.
    fn lease_renewer(&mut self) -> Option<Box<dyn LeaseRenewer>> {
        None
    }

    /// Tells that this writer is alive, and hears whether another asks for the
    /// state. Called every [`renew_interval`](Self::renew_interval).
    ///
    /// # Errors
    /// [`is_fenced`](crate::is_fenced) when somebody else holds the state by now.
    fn renew(&mut self) -> Result<Option<Claim>> {
        Ok(None)
    }

    /// How often to [`renew`](Self::renew): each second unless told otherwise.
    fn renew_interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Puts what is kept and cannot be used out of the way, under the name that
    /// is returned, so that a fresh state may be saved.
    ///
    /// # Errors
    /// When that fails, nothing is changed.
    fn move_aside(&mut self) -> Result<String>;

    /// Reads what dory-sdk, the Python original, kept for the processor `id` in
    /// `namespace`, if this store is a place where dory-sdk keeps states. The
    /// store was opened before.
    ///
    /// # Errors
    /// When there is something that cannot be read.
    fn read_original(&mut self, namespace: &str, id: &str) -> Result<Option<Original>> {
        let _ = (namespace, id);
        Ok(None)
    }

    /// After [`release`](Self::release): whether nobody holds the state.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn is_free(&mut self) -> Result<bool> {
        Ok(false)
    }
}

/// Keeps hold of a state for its writer: see [`Store::lease_renewer`].
pub trait LeaseRenewer: Send + fmt::Debug {
    /// As [`Store::renew`].
    ///
    /// # Errors
    /// [`is_fenced`](crate::is_fenced) when somebody else holds the state by now.
    fn renew(&mut self) -> Result<Option<Claim>>;
}

/// Another process asks for the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who asks.
    pub by: String,
}

/// A state of dory-sdk, the Python original, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// Where it is, for the log.
    pub place: String,
    /// Its bytes.
    pub document: Vec<u8>,
}

/// What was found when a store was opened.
#[derive(Debug, Default)]
pub struct Opened {
    /// The newest state that can be read; `None` where nothing was ever kept.
    pub snapshot: Option<Snapshot>,
    /// What could not be read on the way to it, and what became of that.
    pub failures: Vec<Error>,
}

/// For whom a store is opened, and how it may wait.
#[derive(Debug)]
pub struct OpenRequest<'a> {
    pub(crate) processor: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) holder: &'a str,
    pub(crate) in_cluster: bool,
    /// The release of this process, where it was told.
    pub(crate) revision: Option<u64>,
    pub(crate) lease_validity: &'a LeaseValidity,
    pub(crate) waiter: &'a Waiter,
    pub(crate) status: &'a dyn Status,
}

/// The process that opens a store.
pub(crate) trait Status: fmt::Debug {
    /// Told why it is not ready yet.
    fn waiting(&self, reason: &str);

    /// Fails when it has to prepare before it asks another process for the state.
    fn check_prepared(&self) -> Result<()> {
        Ok(())
    }
}

impl OpenRequest<'_> {
    /// The processor's id: states of different ids have nothing in common.
    pub fn processor(&self) -> &str {
        self.processor
    }

    /// The namespace of the processor's pod.
    pub fn namespace(&self) -> &str {
        self.namespace
    }

    /// Who is to hold the state: one name for each process, a pod's name or a
    /// host's first, a blank, and what makes it unique.
    pub fn holder(&self) -> &str {
        self.holder
    }

    /// This process by its release: for people.
    fn candidate(&self) -> String {
        identity::release_of(self.holder, self.revision)
    }

    /// This holder's process is gone for certain.
    fn is_gone(&self, holder: &str) -> bool {
        identity::is_gone(holder, self.holder, self.in_cluster)
    }

    fn check_prepared(&self) -> Result<()> {
        self.status.check_prepared()
    }

    /// Waits; the reason is told by `/ready`.
    ///
    /// # Errors
    /// `is_stopped()`, at once, when the processor is to stop.
    pub fn wait(&self, duration: Duration, reason: &str) -> Result<()> {
        self.status.waiting(reason);
        match self.waiter.sleep(duration, Stage::Draining) {
            true => Ok(()),
            false => Err(Error::stopped()),
        }
    }
}

/// Refuses a state that is another processor's.
fn check_owner(stamp: &Stamp, processor: &str) -> Result<()> {
    match stamp.processor == processor || stamp.processor.is_empty() {
        true => Ok(()),
        false => Err(Error::new(format_args!(
            "this is the state of processor {:?}, not of {processor:?}",
            stamp.processor
        ))),
    }
}
