//! A call in progress, and the connections that calls use one after the other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use satellite_sdk::compute::Cancel;

use crate::client::Client;

/// A client with its own cancellation. Each call uses one, so that cancelling a call does not end
/// others, and a later call reuses its connections.
pub struct Session {
    pub client: Arc<dyn Client>,
    pub cancel: Cancel,
}

/// The sessions that no call uses. Locked only while the GIL is held: see `pool`.
pub struct IdleSessions(Mutex<Idle>);

pub struct Idle {
    /// The process that opened them.
    pub pid: u32,
    pub sessions: Vec<Session>,
    pub is_closed: bool,
}

/// More connections than these are closed after their call.
const MAX_IDLE: usize = 16;

impl IdleSessions {
    pub fn new() -> Self {
        IdleSessions(Mutex::new(Idle {
            pid: std::process::id(),
            sessions: Vec::new(),
            is_closed: false,
        }))
    }

    pub fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a session for the next call. The caller holds the GIL.
    pub fn put(&self, session: Session) {
        let mut idle = self.lock();
        if !idle.is_closed && idle.sessions.len() < MAX_IDLE && !session.cancel.is_cancelled() {
            idle.sessions.push(session);
        }
    }
}

/// A running operation.
#[pyclass(frozen, module = "satellite_sdk._native")]
pub struct Call {
    pub cancel: Cancel,
}

#[pymethods]
impl Call {
    fn cancel(&self, py: Python<'_>) {
        let cancel = self.cancel.clone();
        py.detach(move || cancel.cancel());
    }
}

/// Calls `done(result, error)`.
pub fn notify(py: Python<'_>, done: &Py<PyAny>, result: PyResult<Bound<'_, PyAny>>) {
    let called = match result {
        Ok(result) => done.call1(py, (result, py.None())),
        Err(error) => done.call1(py, (py.None(), error.value(py))),
    };
    if let Err(error) = called {
        error.write_unraisable(py, None); // the event loop has been closed
    }
}
