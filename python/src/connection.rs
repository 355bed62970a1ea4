//! A connection to a server, as Python sees it: operations by name, with JSON arguments. The
//! classes of the Python packages give them their methods and types.

use std::fmt;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use satellite_sdk::Result;
use satellite_sdk::compute::Cancel;

use crate::call::{Call, IdleSessions, Session, notify};
use crate::client::{Answer, Client};
use crate::stream::Stream;
use crate::{errors, json, pool, waiting};

#[pyclass(frozen, module = "satellite_sdk._native")]
pub struct Connection {
    client: Arc<dyn Client>,
    idle: Arc<IdleSessions>,
}

impl Connection {
    pub fn new(client: Arc<dyn Client>) -> Self {
        Connection {
            client,
            idle: Arc::new(IdleSessions::new()),
        }
    }

    fn session(&self, py: Python<'_>) -> PyResult<Session> {
        let mut idle = self.idle.lock();
        if idle.is_closed {
            return Err(PyValueError::new_err("the client is closed"));
        }
        if idle.pid != std::process::id() {
            // After a fork these sockets are shared with the parent.
            idle.pid = std::process::id();
            idle.sessions.drain(..).for_each(std::mem::forget);
        }
        if let Some(session) = idle.sessions.pop() {
            return Ok(session);
        }
        drop(idle);
        let cancel = Cancel::new();
        let client = py.detach(|| self.client.cancelled_by(&cancel));
        Ok(Session {
            client: client.map_err(|e| errors::to_py(py, &e))?,
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
        let session = self.session(py)?;
        let client = Arc::clone(&session.client);
        let answer = waiting::wait(py, &session.cancel, move || {
            client.perform(&operation, arguments)
        })?;
        delivered(py, answer, session, &self.idle)
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
        let session = self.session(py)?;
        let (client, cancel) = (Arc::clone(&session.client), session.cancel.clone());
        let idle = Arc::clone(&self.idle);
        pool::run(move || {
            let answer = errors::guarded(|| client.perform(&operation, arguments));
            Python::try_attach(|py| {
                let result = match answer {
                    Ok(answer) => delivered(py, answer, session, &idle),
                    Err(panic) => Err(errors::panicked(&panic)),
                };
                notify(py, &done, result);
            });
        });
        Ok(Call { cancel })
    }

    /// Closes idle connections. Later calls raise `ValueError`.
    fn close(&self, py: Python<'_>) {
        let sessions = {
            let mut idle = self.idle.lock();
            idle.is_closed = true;
            std::mem::take(&mut idle.sessions)
        };
        py.detach(|| drop(sessions));
    }

    #[getter]
    fn url(&self) -> String {
        self.client.url()
    }
}

fn delivered<'py>(
    py: Python<'py>,
    answer: Result<Answer>,
    session: Session,
    idle: &Arc<IdleSessions>,
) -> PyResult<Bound<'py, PyAny>> {
    let answer = match answer {
        Ok(Answer::Stream(items)) => {
            let stream = Stream::new(items, session, Arc::clone(idle));
            return Ok(Bound::new(py, stream)?.into_any());
        }
        answer => answer,
    };
    idle.put(session);
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
        f.debug_tuple("Connection")
            .field(&self.client.url())
            .finish()
    }
}
