//! Breaking off from another thread.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::transport::Transport;
use crate::error::Result;
use crate::wake::{Stage, Waiter, Wake};

/// Ends what a client does, from another thread: calls and streams in the middle
/// of a read, and all waiting. Clones are one and the same.
///
/// A client is told of it by its `cancelled_by`. What it broke off answers
/// `is_stopped()`, and `is_outcome_unknown()` where the request had left; the
/// work at the other end goes on.
///
/// ```
/// use satellite_core::client::Cancel;
///
/// let cancel = Cancel::new();
/// let other = cancel.clone();
/// std::thread::spawn(move || other.cancel()).join().unwrap();
/// assert!(cancel.is_cancelled());
/// ```
#[derive(Clone, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Default)]
struct Inner {
    wake: Wake,
    transports: Mutex<Vec<Weak<Transport>>>,
}

impl Cancel {
    /// One that has cancelled nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends everything, now and for good.
    pub fn cancel(&self) {
        self.0.wake.stop(Stage::Stopping);
        for transport in self.transports().drain(..) {
            if let Some(transport) = transport.upgrade() {
                transport.cut();
            }
        }
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.wake.stage() == Stage::Stopping
    }

    fn transports(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Transport>>> {
        let transports = self.0.transports.lock();
        transports.unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_cancelled()).finish()
    }
}

impl Transport {
    /// The same server through connections of its own, which `cancel` ends.
    pub fn cancelled_by(&self, cancel: &Cancel) -> Result<Arc<Self>> {
        let waiter = Waiter {
            clock: Arc::clone(&self.waiter.clock),
            wake: cancel.0.wake.clone(),
        };
        let transport = Self::with_resolver(self.server.clone(), waiter, self.resolver.clone())?;
        let transport = Arc::new(transport);
        let mut transports = cancel.transports();
        transports.retain(|known| known.strong_count() > 0);
        transports.push(Arc::downgrade(&transport));
        drop(transports);
        if cancel.is_cancelled() {
            transport.cut();
        }
        Ok(transport)
    }

    /// Breaks off everything, for good.
    fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        self.shut_down();
    }
}
