//! Stores for states.

mod candidates;
mod claims;
mod config_map_object;
mod configmap;
mod fence;
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
mod rights;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "s3")]
mod s3_object;

pub use configmap::ConfigMapStore;
pub use file::FileStore;
pub use rights::{Review, Right};
#[cfg(feature = "s3")]
pub use s3::S3Store;

use std::fmt;
use std::time::Duration;

pub(super) use lease_validity::LeaseValidity;

use super::identity;
use super::snapshot::{Content, Snapshot, Stamp};
use satellite_core::wake::{Stage, Waiter};
use satellite_core::{Error, Result};

/// Stores the state of a processor, for one writer at a time.
///
/// A store is used from several threads, one at a time. It never overwrites what
/// another process has written: it returns an error for which
/// [`is_fenced`](crate::is_fenced) is true instead.
pub trait Store: Send + fmt::Debug {
    /// A copy of the stored state, if this process would have to ask another one for it;
    /// `None` if it should [`open`](Self::open) the store immediately. Announces to the
    /// holder that this process is preparing to take over, and is called again at
    /// intervals until it takes over. Does not change the stored state.
    ///
    /// # Errors
    /// When the stored state cannot be read.
    fn peek(&mut self, request: &OpenRequest<'_>) -> Result<Option<Opened>> {
        let _ = request;
        Ok(None)
    }

    /// Reports to the holder that this process does not take over, after a
    /// [`peek`](Self::peek), and why.
    ///
    /// # Errors
    /// When the holder cannot be notified.
    fn give_up(&mut self, request: &OpenRequest<'_>, why: &str) -> Result<()> {
        let _ = (request, why);
        Ok(())
    }

    /// Becomes the only writer, after waiting until the current holder has handed the
    /// state over or has ended, and reads the stored state.
    ///
    /// # Errors
    /// `is_stopped()` when a stop ended the wait; [`is_corrupt`](crate::is_corrupt) when
    /// no stored state can be read.
    fn open(&mut self, request: &OpenRequest<'_>) -> Result<Opened>;

    /// Reads all stored generations of the state of `processor` in `namespace`, the newest
    /// first, without taking the state: its holder is not affected. A store that keeps only
    /// the newest generation returns at most one.
    ///
    /// # Errors
    /// When the store cannot be read. A generation that is damaged is part of the result.
    fn history(&mut self, namespace: &str, processor: &str) -> Result<Vec<Stored>> {
        let _ = (namespace, processor);
        Err(Error::new("this store can only be read by a processor"))
    }

    /// Whether `content` is small enough to be saved. Writes nothing.
    ///
    /// # Errors
    /// `is_too_large()`, with its size and the limit.
    fn check_size(&self, content: &Content) -> Result<()> {
        let _ = content;
        Ok(())
    }

    /// Stores `content`, durably once this returns. Returns its generation.
    ///
    /// # Errors
    /// [`is_fenced`](crate::is_fenced) when another process holds the state now. After any other
    /// error the previously stored state is unchanged.
    fn save(&mut self, content: &Content) -> Result<u64>;

    /// Stores `last`, and releases the state: a waiting process may take it.
    ///
    /// # Errors
    /// As for [`save`](Self::save).
    fn release(&mut self, last: &Content) -> Result<u64>;

    /// Releases the state as it was saved last: for a process that ends without a last
    /// save. Does nothing if this process does not hold it.
    ///
    /// # Errors
    /// When the release cannot be written; other processes wait until the lease expires.
    fn release_lease(&mut self) -> Result<()> {
        Ok(())
    }

    /// After [`open`](Self::open): renews the lease from a separate thread, so that a
    /// slow save does not delay a renewal. `None`: [`renew`](Self::renew) is used
    /// instead.
    fn lease_renewer(&mut self) -> Option<Box<dyn LeaseRenewer>> {
        None
    }

    /// Renews the lease of this writer, and checks whether another process asks for the
    /// state. Called every [`renew_interval`](Self::renew_interval).
    ///
    /// # Errors
    /// [`is_fenced`](crate::is_fenced) when another process holds the state now.
    fn renew(&mut self) -> Result<Option<Claim>> {
        Ok(None)
    }

    /// How often to [`renew`](Self::renew): every second by default.
    fn renew_interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Moves a stored state that cannot be used to another name, which is returned, so
    /// that a new state can be saved.
    ///
    /// # Errors
    /// On an error nothing is changed.
    fn move_aside(&mut self) -> Result<String>;

    /// Reads the state that dory-sdk, the original Python implementation, stored for the
    /// processor `id` in `namespace`, if dory-sdk stores states in this kind of store.
    /// Called after the store was opened.
    ///
    /// # Errors
    /// When a state exists but cannot be read.
    fn read_original(&mut self, namespace: &str, id: &str) -> Result<Option<Original>> {
        let _ = (namespace, id);
        Ok(None)
    }

    /// After [`release`](Self::release): whether no process holds the state.
    ///
    /// # Errors
    /// When that cannot be determined.
    fn is_free(&mut self) -> Result<bool> {
        Ok(false)
    }
}

/// Renews the lease for a writer: see [`Store::lease_renewer`].
pub trait LeaseRenewer: Send + fmt::Debug {
    /// As for [`Store::renew`].
    ///
    /// # Errors
    /// [`is_fenced`](crate::is_fenced) when another process holds the state now.
    fn renew(&mut self) -> Result<Option<Claim>>;
}

/// A request of another process for the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The holder name of the requesting process.
    pub by: String,
}

/// A state of dory-sdk, the original Python implementation, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// Its location, for the log.
    pub place: String,
    /// Its bytes.
    pub document: Vec<u8>,
}

/// One stored generation of a state: see [`Store::history`].
#[derive(Debug)]
pub struct Stored {
    /// Where it is stored: a file, an object of a bucket, or a ConfigMap.
    pub place: String,
    /// The size of the stored document in bytes, uncompressed.
    pub bytes: u64,
    /// What it holds; [`is_corrupt`](crate::is_corrupt) when its checksum does not match.
    pub snapshot: Result<Snapshot>,
}

impl Stored {
    fn read(place: String, document: &[u8]) -> Self {
        Stored {
            place,
            bytes: document.len() as u64,
            snapshot: Snapshot::from_document(document),
        }
    }
}

/// The result of opening a store.
#[derive(Debug, Default)]
pub struct Opened {
    /// The newest state that can be read; `None` if nothing was ever stored.
    pub snapshot: Option<Snapshot>,
    /// Newer states that could not be read, and what was done with them.
    pub failures: Vec<Error>,
}

/// Which process opens a store, and how the store may wait.
#[derive(Debug)]
pub struct OpenRequest<'a> {
    pub(crate) processor: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) holder: &'a str,
    pub(crate) in_cluster: bool,
    /// The revision of this process, if it is configured.
    pub(crate) revision: Option<u64>,
    pub(crate) lease_validity: &'a LeaseValidity,
    pub(crate) waiter: &'a Waiter,
    pub(crate) status: &'a dyn Status,
}

/// The process that opens a store.
pub(crate) trait Status: fmt::Debug {
    /// Reports why the process is not ready yet.
    fn waiting(&self, reason: &str);

    /// Fails when the process has to prepare before it asks another one for the state.
    fn check_prepared(&self) -> Result<()> {
        Ok(())
    }

    /// Fails when the process does not wait any longer.
    fn check_wait(&self, reason: &str) -> Result<()> {
        let _ = reason;
        Ok(())
    }
}

impl OpenRequest<'_> {
    /// The processor's id: states of different ids are independent.
    pub fn processor(&self) -> &str {
        self.processor
    }

    /// The namespace of the processor's pod.
    pub fn namespace(&self) -> &str {
        self.namespace
    }

    /// The name of the process that is to hold the state, unique for each process: the
    /// name of the pod or host, a space, and a unique suffix.
    pub fn holder(&self) -> &str {
        self.holder
    }

    /// This process and its release, for the log.
    fn candidate(&self) -> String {
        identity::release_of(self.holder, self.revision)
    }

    /// Whether the process of this holder has certainly ended.
    fn is_gone(&self, holder: &str) -> bool {
        identity::is_gone(holder, self.holder, self.in_cluster)
    }

    fn check_prepared(&self) -> Result<()> {
        self.status.check_prepared()
    }

    /// Waits; `/ready` reports the reason.
    ///
    /// # Errors
    /// `is_stopped()`, immediately, when the processor is to stop.
    pub fn wait(&self, duration: Duration, reason: &str) -> Result<()> {
        self.status.waiting(reason);
        self.status.check_wait(reason)?;
        match self.waiter.sleep(duration, Stage::Draining) {
            true => Ok(()),
            false => Err(Error::stopped()),
        }
    }
}

/// Rejects a state that belongs to another processor.
fn check_owner(stamp: &Stamp, processor: &str) -> Result<()> {
    match stamp.processor == processor || stamp.processor.is_empty() {
        true => Ok(()),
        false => Err(Error::new(format_args!(
            "this is the state of processor {:?}, not of {processor:?}",
            stamp.processor
        ))),
    }
}
