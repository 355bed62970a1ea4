//! A connection to a server, as Python sees it: operations by name, with JSON arguments. The
//! classes of the Python packages give them their methods and types.

use std::fmt;
use std::sync::{Arc, Mutex};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use satellite_sdk::Result;
use satellite_sdk::compute::Cancel;

use crate::call::{Call, IdleLines, Line, notify};
use crate::face::{Answer, Face};
use crate::stream::Stream;
use crate::{errors, json, pool, waiting};

#[pyclass(frozen, module = "satellite_sdk._native")]
pub struct Connection {
    face: Arc<dyn Face>,
    idle: Arc<IdleLines>,
}

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
