//! Streams, such as logs, as Python iterates over them.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use satellite_sdk::Result;
use satellite_sdk::compute::Cancel;
use serde_json::Value;

use crate::call::{Call, IdleSessions, Session, notify};
use crate::client::Items;
use crate::{errors, json, pool, waiting};

#[pyclass(frozen, module = "satellite_sdk._native")]
pub struct Stream {
    items: Arc<Mutex<Option<Items>>>,
    cancel: Cancel,
    session: Mutex<Option<Session>>,
    idle: Arc<IdleSessions>,
}

impl Stream {
    pub fn new(items: Items, session: Session, idle: Arc<IdleSessions>) -> Self {
        Stream {
            items: Arc::new(Mutex::new(Some(items))),
            cancel: session.cancel.clone(),
            session: Mutex::new(Some(session)),
            idle,
        }
    }

    fn delivered<'py>(
        &self,
        py: Python<'py>,
        item: Option<Result<Value>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match item {
            Some(Ok(value)) => json::to_py(py, &value).map(Some),
            Some(Err(error)) => Err(errors::to_py(py, &error)),
            None => {
                let session = self
                    .session
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
                if let Some(session) = session {
                    self.idle.put(session);
                }
                Ok(None)
            }
        }
    }
}

#[pymethods]
impl Stream {
    /// The next item, or `None` at the end.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let items = Arc::clone(&self.items);
        let item = waiting::wait(py, &self.cancel, move || next_of(&items))?;
        self.delivered(py, item)
    }

    /// Calls `done(item, error)` on another thread with the next item, or `None` at the end.
    fn submit_next(slf: Py<Self>, done: Py<PyAny>) -> Call {
        let items = Arc::clone(&slf.get().items);
        let cancel = slf.get().cancel.clone();
        pool::run(move || {
            let item = errors::guarded(|| next_of(&items));
            Python::try_attach(|py| {
                let result = match item {
                    Ok(item) => slf.get().delivered(py, item),
                    Err(panic) => Err(errors::panicked(&panic)),
                };
                let none = || py.None().into_bound(py);
                notify(py, &done, result.map(|item| item.unwrap_or_else(none)));
            });
        });
        Call { cancel }
    }

    /// Ends the stream and its connection. A waiting `next` returns.
    fn close(&self, py: Python<'_>) {
        let session = self
            .session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if session.is_none() {
            return; // it is over, and another call may use the connection
        }
        let (cancel, items) = (self.cancel.clone(), Arc::clone(&self.items));
        py.detach(move || {
            cancel.cancel();
            drop(items.lock().unwrap_or_else(PoisonError::into_inner).take());
        });
    }
}

fn next_of(items: &Mutex<Option<Items>>) -> Option<Result<Value>> {
    let mut held = items.lock().unwrap_or_else(PoisonError::into_inner);
    let item = held.as_mut()?.next();
    if !matches!(item, Some(Ok(_))) {
        *held = None;
    }
    item
}
