//! The worker: its loop runs on the calling thread, without the GIL except in handlers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use satellite_sdk::{
    Builder, Context, Error, Failure, OnOrphan, OnStop, Result, Satellite, StopHandle, Task,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Client, arguments};
use crate::connection::Connection;
use crate::options::positive;
use crate::platform::Platform;
use crate::signals::WakeUp;
use crate::{errors, json as python_json, logs};

/// The settings of the Python side; times in seconds. `None` means: from the environment.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    satellite_token: Option<String>,
    platform_url: Option<String>,
    poll_interval_sec: Option<f64>,
    max_backoff_sec: Option<f64>,
    supported_task_types: Option<Vec<String>>,
    health_host: Option<String>,
    health_port: Option<u16>,
    health_enabled: Option<bool>,
    base_url: Option<String>,
    ca_file: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    allow_plain_http: Option<bool>,
    capabilities: BTreeMap<String, Value>,
    slug: Option<String>,
    drain: Option<f64>,
    on_orphan: Option<String>,
}

fn builder(settings: Settings) -> Result<Builder> {
    let mut builder = Builder::new().no_signals();
    macro_rules! set {
        ($($field:ident as $method:ident)*) => {$(
            if let Some(value) = settings.$field {
                builder = builder.$method(value);
            }
        )*};
    }
    set!(satellite_token as token platform_url as platform_url
        supported_task_types as supported_task_types base_url as base_url
        ca_file as ca_file state_dir as state_dir slug as slug);
    if let Some(seconds) = settings.poll_interval_sec {
        builder = builder.poll_interval(positive("poll_interval_sec", seconds)?);
    }
    if let Some(seconds) = settings.max_backoff_sec {
        builder = builder.max_backoff(positive("max_backoff_sec", seconds)?);
    }
    if settings.allow_plain_http == Some(true) {
        builder = builder.allow_plain_http();
    }
    if let Some(seconds) = settings.drain {
        builder = builder.on_stop(OnStop::Drain(positive("drain", seconds)?));
    }
    builder = match settings.on_orphan.as_deref() {
        None | Some("leave") => builder,
        Some("fail") => builder.on_orphan(OnOrphan::Fail),
        Some("rerun") => builder.on_orphan(OnOrphan::Rerun),
        Some(other) => {
            let text = format!("on_orphan: expected leave, fail or rerun, found {other:?}");
            return Err(Error::settings(vec![text]));
        }
    };
    builder = match (
        settings.health_enabled,
        settings.health_host,
        settings.health_port,
    ) {
        (Some(false), ..) => builder.no_health(),
        (enabled, None, None) if enabled.is_none() => builder,
        (_, host, port) => {
            let host = host.or_else(|| std::env::var("LUML_HEALTH_HOST").ok());
            let host = host.unwrap_or_else(|| "127.0.0.1".to_owned());
            let host = host.trim().replace("localhost", "127.0.0.1").parse();
            let host = host.map_err(|e| Error::settings(vec![format!("health_host: {e}")]))?;
            let named = std::env::var("LUML_HEALTH_PORT").ok();
            let named = named.and_then(|text| text.trim().parse().ok());
            builder.health(host, port.or(named).unwrap_or(8080))
        }
    };
    let capabilities = settings.capabilities.into_iter();
    Ok(capabilities.fold(builder, |builder, (name, details)| {
        builder.capability(name, details)
    }))
}

/// The platform's client alone.
pub fn open_platform(options: Value) -> Result<Arc<dyn Client>> {
    let client = builder(arguments(options)?)?.platform()?;
    Ok(Arc::new(Platform(client)))
}

/// The settings as they are in effect, for `SatelliteSDKSettings`.
#[pyfunction]
pub fn read_settings<'py>(
    py: Python<'py>,
    options: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let options = python_json::from_py(options)?;
    let read = || -> Result<Value> {
        let settings = builder(arguments(options)?)?.settings()?;
        Ok(json!({
            "satellite_token": settings.token.expose(),
            "platform_url": settings.platform_url,
            "poll_interval_sec": settings.poll_interval.as_secs_f64(),
            "max_backoff_sec": settings.max_backoff.as_secs_f64(),
            "supported_task_types": settings.supported_task_types,
            "health_enabled": settings.health.is_some(),
            "health_host": settings.health.map(|address| address.ip().to_string()),
            "health_port": settings.health.map(|address| address.port()),
            "base_url": settings.base_url,
            "state_dir": settings.state_dir,
            "ca_file": settings.ca_file,
        }))
    };
    let settings = py.detach(read).map_err(|e| errors::to_py(py, &e))?;
    python_json::to_py(py, &settings)
}

/// A worker that is ready to run.
#[pyclass(frozen, module = "satellite_sdk._native")]
pub struct Worker {
    satellite: Mutex<Option<Satellite>>,
    stop: StopHandle,
    context: Context,
    interrupted: Arc<Mutex<Option<PyErr>>>,
    drain: Option<f64>,
    wake_up: Mutex<Option<WakeUp>>,
    health: Option<String>,
}

#[pymethods]
impl Worker {
    /// `handlers`: `(task_type, handler(task, context))`, which returns `("done", result)` or
    /// `("failed", reason, error)`, and raises what is to end the worker.
    #[new]
    fn new(
        py: Python<'_>,
        settings: &Bound<'_, PyAny>,
        handlers: Vec<(String, Py<PyAny>)>,
    ) -> PyResult<Self> {
        let settings = python_json::from_py(settings)?;
        let interrupted = Arc::new(Mutex::new(None));
        let stop = Arc::new(Mutex::new(None));
        let drain = settings["drain"].as_f64();
        let (held, stopping) = (Arc::clone(&interrupted), Arc::clone(&stop));
        let build = move || -> Result<Satellite> {
            let mut builder = builder(arguments(settings)?)?;
            for (task_type, handler) in handlers {
                let handler = Handler {
                    handler,
                    interrupted: Arc::clone(&held),
                    stop: Arc::clone(&stopping),
                };
                builder = builder.handler(task_type, move |task: Task, cx: &Context| {
                    handler.run(&task, cx)
                });
            }
            builder.build()
        };
        let built = py.detach(|| errors::guarded(build));
        let built = built.map_err(|panic| errors::panicked(&panic))?;
        let satellite = built.map_err(|e| errors::to_py(py, &e))?;
        let handle = satellite.stop_handle();
        *stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle.clone());
        Ok(Worker {
            stop: handle,
            context: satellite.context(),
            health: satellite
                .health_address()
                .map(|address| address.to_string()),
            satellite: Mutex::new(Some(satellite)),
            interrupted,
            drain,
            wake_up: Mutex::new(None),
        })
    }

    /// Runs until a stop or, with `until_idle`, until there is no task left.
    #[pyo3(signature = (until_idle = false))]
    fn run(&self, py: Python<'_>, until_idle: bool) -> PyResult<(u64, u64, u64)> {
        let held = self
            .satellite
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut satellite) = held else {
            return Err(PyRuntimeError::new_err(
                "this worker is running, or has run",
            ));
        };
        let ended = py.detach(|| {
            let ended = errors::guarded(|| match until_idle {
                true => satellite.run_until_idle(),
                false => satellite.run(),
            });
            drop(satellite);
            ended
        });
        *self.wake_up.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let interrupted = self
            .interrupted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(interrupted) = interrupted {
            return Err(interrupted);
        }
        // The stop may have been a signal.
        logs::take_interrupt().map_or(Ok(()), Err)?;
        py.check_signals()?;
        let ended = ended.map_err(|panic| errors::panicked(&panic))?;
        let stopped = ended.map_err(|e| errors::to_py(py, &e))?;
        Ok((stopped.done, stopped.failed, stopped.undelivered))
    }

    /// Ends `run`, from any thread.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.stop.stop());
    }

    /// The file descriptor for `signal.set_wakeup_fd`: SIGINT and SIGTERM end `run`.
    fn wakeup_fd(&self) -> PyResult<i32> {
        let (wake_up, fd) = WakeUp::start(self.stop.clone(), self.drain)?;
        *self.wake_up.lock().unwrap_or_else(PoisonError::into_inner) = Some(wake_up);
        Ok(fd)
    }

    /// The platform's client of this worker.
    fn connection(&self) -> Connection {
        Connection::new(Arc::new(Platform(self.context.platform().clone())))
    }

    #[getter]
    fn health_address(&self) -> Option<String> {
        self.health.clone()
    }
}

struct Handler {
    handler: Py<PyAny>,
    interrupted: Arc<Mutex<Option<PyErr>>>,
    stop: Arc<Mutex<Option<StopHandle>>>,
}

impl Handler {
    fn run(&self, task: &Task, cx: &Context) -> Result<Value, Failure> {
        let document = json!(task);
        let result = Python::attach(|py| self.call(py, &document, cx));
        result.unwrap_or_else(|interrupted| {
            // The task stays `running`: whether its work was done is unknown.
            if let Some(later) = cx.later() {
                later.leave_running();
            }
            let mut held = self
                .interrupted
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *held = Some(interrupted);
            let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(stop) = stop.as_ref() {
                stop.stop();
            }
            Ok(Value::Null)
        })
    }

    fn call(&self, py: Python<'_>, task: &Value, cx: &Context) -> PyResult<Result<Value, Failure>> {
        let context = Bound::new(py, WorkerContext(cx.clone()))?;
        let arguments = (python_json::to_py(py, task)?, context);
        let outcome = self.handler.call1(py, arguments)?;
        let (word, first, second): (String, Bound<'_, PyAny>, String) = outcome.extract(py)?;
        if word != "done" {
            return Ok(Err(Failure::new(first.str()?.to_string_lossy(), second)));
        }
        Ok(python_json::from_py(&first)
            .map_err(|error| Failure::new("the result is not JSON", error.value(py))))
    }
}

/// What a handler can ask its worker.
#[pyclass(frozen, module = "satellite_sdk._native", name = "Context")]
pub struct WorkerContext(Context);

#[pymethods]
impl WorkerContext {
    #[getter]
    fn task_id(&self) -> Option<&str> {
        self.0.task_id()
    }

    #[getter]
    fn state_dir(&self) -> Option<PathBuf> {
        self.0.state_dir().map(Into::into)
    }

    fn is_stopping(&self) -> bool {
        self.0.is_stopping()
    }

    /// Sleeps until the time is over or the worker stops. Returns whether it goes on.
    fn sleep(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        let duration = crate::platform::seconds_of("seconds", seconds);
        let duration = duration.map_err(|e| errors::to_py(py, &e))?;
        let goes_on = py.detach(|| self.0.sleep(duration));
        py.check_signals()?;
        Ok(goes_on)
    }
}
