//! Processors: the lifecycle is that of `satellite-state`; the driver, written in Python, runs the
//! user's coroutines on its event loop.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use satellite_sdk::serve::{Request, Response};
use satellite_sdk::state::{App, ExecutionContext, Outcome, Processor, Remedy};
use satellite_sdk::{Error, Failure};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{errors, json, logs};

/// The state in memory, as the driver last gave it, or as it was restored or replaced.
#[derive(Default)]
pub struct State {
    fields: Map<String, Value>,
    /// The user's object has these fields: they came from it, or it has been given them.
    is_known: bool,
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.fields.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(State {
            fields: Map::deserialize(deserializer)?,
            is_known: false,
        })
    }
}

type Cx = ExecutionContext<State>;

/// The driver of the processor of this process, for the hook that has no `self`.
static DRIVER: Mutex<Option<Py<PyAny>>> = Mutex::new(None);

struct Driven {
    driver: Py<PyAny>,
}

impl Driven {
    /// Calls a method of the driver. An exception becomes the failure, and the driver logs it.
    fn call(&self, method: &str, cx: &Cx) -> Outcome {
        Python::attach(|py| {
            let context = Bound::new(py, ProcessorContext(cx.clone()))?;
            self.driver.call_method1(py, method, (context,)).map(drop)
        })
        .map_err(failure)
    }

    fn ask(&self, method: &str, cx: &Cx, argument: impl FnOnce(Python<'_>) -> Py<PyAny>) -> Remedy {
        let answer = Python::attach(|py| {
            let context = Bound::new(py, ProcessorContext(cx.clone()))?;
            let answer = self
                .driver
                .call_method1(py, method, (context, argument(py)))?;
            answer.extract::<bool>(py)
        });
        match answer {
            Ok(true) => Remedy::StartFresh,
            Ok(false) => Remedy::KeepState,
            Err(error) => {
                log::error!("{method} failed: {error}");
                Remedy::KeepState
            }
        }
    }
}

fn failure(error: PyErr) -> Failure {
    Python::attach(|py| {
        let kind = error.get_type(py);
        let kind = kind.name().map(|name| name.to_string()).unwrap_or_default();
        format!("{kind}: {}", error.value(py)).into()
    })
}

impl Processor for Driven {
    type State = State;

    fn startup(&mut self, cx: &Cx) -> Outcome {
        self.call("startup", cx)
    }

    fn restored(&mut self, cx: &Cx) -> Outcome {
        self.call("restored", cx)
    }

    fn run(&mut self, cx: &Cx) -> Outcome {
        self.call("run", cx)
    }

    fn shutdown(&mut self, cx: &Cx) -> Outcome {
        self.call("shutdown", cx)
    }

    fn on_state_restore_failed(&mut self, cx: &Cx, error: &Error) -> Remedy {
        let exception = |py: Python<'_>| errors::to_py(py, error).into_value(py).into_any();
        self.ask("on_state_restore_failed", cx, exception)
    }

    fn on_rapid_restart_detected(&mut self, cx: &Cx, count: u32) -> Remedy {
        self.ask("on_rapid_restart_detected", cx, |py| {
            let number = count.into_pyobject(py);
            number.map_or_else(|_| py.None(), |number| number.into_any().unbind())
        })
    }

    fn on_health_check_failed(cx: &Cx, error: &Error) {
        Python::attach(|py| {
            let driver = DRIVER.lock().unwrap_or_else(PoisonError::into_inner);
            let driver = driver.as_ref().map(|driver| driver.clone_ref(py));
            let Some(driver) = driver else { return };
            let called = Bound::new(py, ProcessorContext(cx.clone())).and_then(|context| {
                let exception = errors::to_py(py, error).into_value(py);
                driver.call_method1(py, "on_health_check_failed", (context, exception))
            });
            if let Err(error) = called {
                error.write_unraisable(py, None);
            }
        });
    }

    fn reset_caches(&mut self, cx: &Cx) {
        if let Err(error) = self.call("reset_caches", cx) {
            log::error!("reset_caches failed: {}", error.error());
        }
    }
}

/// How long `GET /state` waits for the user's object. If its loop is blocked, the last known state
/// is shown.
const REFRESH_LIMIT: Duration = Duration::from_secs(2);

/// Runs a processor until it ends. The driver has the methods of `Driven`, and `refresh(done)`,
/// which is called on another thread and has to call `done()` once the state is up to date.
#[pyfunction]
#[pyo3(signature = (driver, endpoints = None))]
pub fn run_processor(py: Python<'_>, driver: Py<PyAny>, endpoints: Option<String>) -> PyResult<()> {
    let refreshing = driver.clone_ref(py);
    *DRIVER.lock().unwrap_or_else(PoisonError::into_inner) = Some(driver.clone_ref(py));
    let ended = py.detach(move || {
        errors::guarded(move || -> satellite_sdk::Result<()> {
            let mut app = App::new().intercept(move |request, is_trusted| {
                refresh(&refreshing, request, is_trusted);
                None
            });
            if let Some(address) = endpoints {
                let address: SocketAddr = address
                    .parse()
                    .map_err(|e| Error::settings(vec![format!("endpoints: {e}")]))?;
                app = app.endpoints(address);
            }
            app.build(Driven { driver })?.run()
        })
    });
    DRIVER.lock().unwrap_or_else(PoisonError::into_inner).take();
    logs::take_interrupt().map_or(Ok(()), Err)?;
    let ended = ended.map_err(|panic| errors::panicked(&panic))?;
    ended.map_err(|e| errors::to_py(py, &e))
}

fn refresh(driver: &Py<PyAny>, request: &Request<'_>, is_trusted: bool) -> Option<Response> {
    let is_read = request.method() == "GET" && is_trusted;
    if !(is_read && request.path() == "/state" || request.path() == "/prestop") {
        return None;
    }
    let done = Arc::new((Mutex::new(false), std::sync::Condvar::new()));
    let asked = Python::attach(|py| {
        let done = Bound::new(py, Done(Arc::clone(&done)))?;
        driver.call_method1(py, "refresh", (done,)).map(drop)
    });
    if asked.is_ok() {
        let since = Instant::now();
        let mut is_done = done.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_done && since.elapsed() < REFRESH_LIMIT {
            let left = REFRESH_LIMIT.saturating_sub(since.elapsed());
            let waited = done.1.wait_timeout(is_done, left);
            is_done = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
    None
}

#[pyclass(frozen)]
struct Done(Arc<(Mutex<bool>, std::sync::Condvar)>);

#[pymethods]
impl Done {
    fn __call__(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }
}

/// What the driver can ask.
#[pyclass(frozen, module = "satellite_sdk._native")]
pub struct ProcessorContext(Cx);

#[pymethods]
impl ProcessorContext {
    #[getter]
    fn pod_name(&self) -> &str {
        self.0.pod_name()
    }

    #[getter]
    fn pod_namespace(&self) -> &str {
        self.0.pod_namespace()
    }

    #[getter]
    fn processor_id(&self) -> &str {
        self.0.processor_id()
    }

    #[getter]
    fn attempt_number(&self) -> u32 {
        self.0.attempt_number()
    }

    #[getter]
    fn is_migrating(&self) -> bool {
        self.0.is_migrating()
    }

    #[getter]
    fn migrated_from(&self) -> Option<String> {
        self.0.migrated_from()
    }

    fn is_shutdown_requested(&self) -> bool {
        self.0.is_shutdown_requested()
    }

    fn is_migration_imminent(&self) -> bool {
        self.0.is_migration_imminent()
    }

    fn may_act(&self, py: Python<'_>) -> bool {
        py.detach(|| self.0.may_act())
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.0.stop());
    }

    /// Seconds from now until the process is ended, once it is stopping.
    fn seconds_left(&self) -> Option<f64> {
        let deadline = self.0.stop_deadline()?;
        let left = deadline.saturating_duration_since(Instant::now());
        Some(left.as_secs_f64())
    }

    fn begin_turn(&self, py: Python<'_>) {
        py.detach(|| self.0.heartbeat());
    }

    fn end_turn(&self, py: Python<'_>) {
        // Dropping a loop ends its turn.
        py.detach(|| drop(self.0.run_loop(Duration::ZERO)));
    }

    /// Calls `wake()` when the stop begins, from another thread.
    fn on_stop(&self, py: Python<'_>, wake: Py<PyAny>) {
        py.detach(|| {
            self.0.on_stop(move || {
                Python::try_attach(|py| {
                    if let Err(error) = wake.call0(py) {
                        error.write_unraisable(py, None);
                    }
                });
            });
        });
    }

    /// The state that the user's object does not have: restored, or replaced by `POST /state`.
    fn take_replaced<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let fields = py.detach(|| {
            if self.0.state().is_known {
                return None;
            }
            let mut state = self.0.state();
            state.is_known = true;
            Some(state.fields.clone())
        });
        match fields {
            Some(fields) => json::to_py(py, &Value::Object(fields)).map(Some),
            None => Ok(None),
        }
    }

    /// Gives the state of the user's object. It is saved within the interval of checkpoints.
    /// Returns false, and takes nothing, if the state was replaced in the meantime.
    fn give_state(&self, py: Python<'_>, state: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Value::Object(fields) = json::from_py(state)? else {
            let text = "get_state() did not return a dict";
            return Err(pyo3::exceptions::PyTypeError::new_err(text));
        };
        Ok(py.detach(|| {
            {
                let held = self.0.state();
                if !held.is_known {
                    return false;
                }
                if held.fields == fields {
                    return true; // a mutable access would count as a change
                }
            }
            let mut held = self.0.state();
            if held.is_known {
                held.fields = fields;
            }
            held.is_known
        }))
    }

    /// Saves what was given.
    fn checkpoint(&self, py: Python<'_>) -> PyResult<()> {
        let saved = py.detach(|| self.0.checkpoint());
        saved.map_err(|e| errors::to_py(py, &e))
    }

    /// Moves the stored state aside. Returns where it is.
    fn move_aside(&self, py: Python<'_>) -> PyResult<String> {
        let moved = py.detach(|| {
            let aside = self.0.start_fresh()?;
            self.0.state().is_known = true;
            Ok(aside)
        });
        moved.map_err(|e: Error| errors::to_py(py, &e))
    }

    /// Makes the process not ready, with a reason; `None`: ready again.
    #[pyo3(signature = (name, problem))]
    fn set_problem(&self, py: Python<'_>, name: &str, problem: Option<&str>) {
        py.detach(|| match problem {
            Some(problem) => self.0.health().set_problem(name, problem),
            None => self.0.health().clear(name),
        });
    }
}
