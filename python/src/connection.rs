//! A connection to a server, as Python sees it: operations by name, with JSON arguments. The
//! classes of the Python packages give them their methods and types.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use satellite_sdk::compute::Cancel;
use satellite_sdk::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::stream::{Items, Stream};
use crate::{errors, json, pool, waiting};

/// A client of the kit, with its operations by name.
pub trait Face: Send + Sync + 'static {
    /// The same client, whose calls `cancel` ends.
    fn cancelled_by(&self, cancel: &Cancel) -> Result<Arc<dyn Face>>;

    /// Performs an operation.
    fn perform(&self, operation: &str, arguments: Value) -> Result<Answer>;

    fn url(&self) -> String;
}

/// What an operation returns.
pub enum Answer {
    Json(Value),
    Stream(Items),
    Http {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
}

/// Reads the arguments of an operation. The Python classes send these, so a mismatch means a wrong
/// type of an argument.
pub fn arguments<T: DeserializeOwned>(arguments: Value) -> Result<T> {
    T::deserialize(arguments).map_err(|e| Error::settings(vec![format!("argument: {e}")]))
}

/// The error for a name that the Python classes do not use.
pub fn unknown(operation: &str) -> Error {
    Error::new(format_args!("unknown operation {operation:?}"))
}

/// A client with its own cancellation. Each call uses one, so that cancelling a call does not end
/// others, and a later call reuses its connections.
pub struct Line {
    face: Arc<dyn Face>,
    pub cancel: Cancel,
}

#[pyclass(frozen, module = "satellite_sdk._native")]
pub struct Connection {
    face: Arc<dyn Face>,
    idle: Arc<IdleLines>,
}

/// Locked only while the GIL is held: see `pool`.
pub struct IdleLines(Mutex<(u32, Vec<Line>, bool)>);

/// More connections than these are closed after their call.
const MAX_IDLE: usize = 16;

impl Connection {
    pub fn new(face: Arc<dyn Face>) -> Self {
        let idle = Mutex::new((std::process::id(), Vec::new(), false));
        Connection {
            face,
            idle: Arc::new(IdleLines(idle)),
        }
    }

    fn line(&self, py: Python<'_>) -> PyResult<Line> {
        let mut idle = self.idle.lock();
        if idle.2 {
            return Err(PyValueError::new_err("the client is closed"));
        }
        if idle.0 != std::process::id() {
            // After a fork these sockets are shared with the parent.
            idle.0 = std::process::id();
            idle.1.drain(..).for_each(std::mem::forget);
        }
        if let Some(line) = idle.1.pop() {
            return Ok(line);
        }
        drop(idle);
        let cancel = Cancel::new();
        let face = py.detach(|| self.face.cancelled_by(&cancel));
        Ok(Line {
            face: face.map_err(|e| errors::to_py(py, &e))?,
            cancel,
        })
    }
}

impl IdleLines {
    fn lock(&self) -> MutexGuard<'_, (u32, Vec<Line>, bool)> {
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

#[pymethods]
impl Connection {
    /// Performs an operation and waits for it.
    fn call<'py>(
        &self,
        py: Python<'py>,
        operation: String,
        arguments: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let arguments = json::from_py(arguments)?;
        let line = self.line(py)?;
        let face = Arc::clone(&line.face);
        let answer = waiting::wait(py, &line.cancel, move || {
            face.perform(&operation, arguments)
        })?;
        delivered(py, answer, line, &self.idle)
    }

    /// Starts an operation. `done(result, error)` is called on another thread.
    fn submit(
        &self,
        py: Python<'_>,
        operation: String,
        arguments: &Bound<'_, PyAny>,
        done: Py<PyAny>,
    ) -> PyResult<Call> {
        let arguments = json::from_py(arguments)?;
        let line = self.line(py)?;
        let (face, cancel) = (Arc::clone(&line.face), line.cancel.clone());
        let idle = Arc::clone(&self.idle);
        pool::run(move || {
            let answer = errors::guarded(|| face.perform(&operation, arguments));
            Python::try_attach(|py| {
                let result = match answer {
                    Ok(answer) => delivered(py, answer, line, &idle),
                    Err(panic) => Err(errors::panicked(&panic)),
                };
                notify(py, &done, result);
            });
        });
        Ok(Call { cancel })
    }

    /// Closes idle connections. Later calls raise `ValueError`.
    fn close(&self, py: Python<'_>) {
        let lines = {
            let mut idle = self.idle.lock();
            idle.2 = true;
            std::mem::take(&mut idle.1)
        };
        py.detach(|| drop(lines));
    }

    #[getter]
    fn url(&self) -> String {
        self.face.url()
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

fn delivered<'py>(
    py: Python<'py>,
    answer: Result<Answer>,
    line: Line,
    idle: &Arc<IdleLines>,
) -> PyResult<Bound<'py, PyAny>> {
    let answer = match answer {
        Ok(Answer::Stream(items)) => {
            let stream = Stream::new(items, line, Arc::clone(idle));
            return Ok(Bound::new(py, stream)?.into_any());
        }
        answer => answer,
    };
    idle.put(line);
    match answer.map_err(|e| errors::to_py(py, &e))? {
        Answer::Json(value) => json::to_py(py, &value),
        Answer::Http {
            status,
            headers,
            body,
        } => Ok((status, headers, PyBytes::new(py, &body))
            .into_pyobject(py)?
            .into_any()),
        Answer::Stream(_) => unreachable!("returned above"),
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.face.url()).finish()
    }
}
