//! A call in progress, and the connections that calls use one after the other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use satellite_sdk::compute::Cancel;

use crate::face::Face;

/// A client with its own cancellation. Each call uses one, so that cancelling a call does not end
/// others, and a later call reuses its connections.
pub struct Line {
    pub face: Arc<dyn Face>,
    pub cancel: Cancel,
}

/// Locked only while the GIL is held: see `pool`.
pub struct IdleLines(pub Mutex<(u32, Vec<Line>, bool)>);

/// More connections than these are closed after their call.
const MAX_IDLE: usize = 16;

impl IdleLines {
    pub fn lock(&self) -> MutexGuard<'_, (u32, Vec<Line>, bool)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line back for the next call. The caller holds the GIL.
    pub fn put(&self, line: Line) {
        let mut idle = self.lock();
        if !idle.2 && idle.1.len() < MAX_IDLE && !line.cancel.is_cancelled() {
            idle.1.push(line);
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
