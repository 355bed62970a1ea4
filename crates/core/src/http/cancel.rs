//! Cancellation from another thread.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::transport::Transport;
use crate::error::Result;
use crate::wake::{Stage, Waiter, Wake};

/// Cancels the calls, streams and waits of a client from another thread, also in
/// the middle of a read. Clones share one state.
///
/// Attach it to a client with `cancelled_by`. A cancelled call returns an error
/// that is `is_stopped()`, and also `is_outcome_unknown()` if the request had
/// been sent; work on the server continues.
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
    /// Creates a handle that is not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels everything, permanently.
    pub fn cancel(&self) {
        self.0.wake.stop(Stage::Stopping);
        for transport in self.transports().drain(..) {
            if let Some(transport) = transport.upgrade() {
                transport.abort();
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
    /// A transport to the same server with its own connections, which `cancel` closes.
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
            transport.abort();
        }
        Ok(transport)
    }

    /// Aborts all calls, permanently.
    fn abort(&self) {
        self.is_cancelled.store(true, Ordering::SeqCst);
        self.shut_down();
    }
}
