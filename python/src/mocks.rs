//! The mock servers of the kit, on loopback, for tests.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use satellite_sdk::compute::basilica::ApiVersion;
use satellite_sdk::testing::{
    FaasKind, Fault, MockBasilica as RustBasilica, MockFaas as RustFaas,
    MockPlatform as RustPlatform, RecordedRequest,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::json as python_json;
use crate::platform::seconds_of;

/// A fault: a status, or one of the names of `Fault`.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Given {
    Status(u16),
    RetryAfter { status: u16, seconds: u64 },
    Reset,
    Drop,
    HalfBody,
    NotJson,
    Empty,
    DoneButNoAnswer,
    Stall(f64),
    SlowAnswer(f64),
    Redirect(String),
}

fn fault(given: &Bound<'_, PyAny>) -> PyResult<Fault> {
    let value = python_json::from_py(given)?;
    let given = Given::deserialize(value)
        .map_err(|e| PyValueError::new_err(format!("not a fault: {e}")))?;
    let wait =
        |seconds| seconds_of("fault", seconds).map_err(|e| PyValueError::new_err(e.to_string()));
    Ok(match given {
        Given::Status(status) => Fault::Status(status),
        Given::RetryAfter { status, seconds } => Fault::RetryAfter { status, seconds },
        Given::Reset => Fault::Reset,
        Given::Drop => Fault::Drop,
        Given::HalfBody => Fault::HalfBody,
        Given::NotJson => Fault::NotJson,
        Given::Empty => Fault::Empty,
        Given::DoneButNoAnswer => Fault::DoneButNoAnswer,
        Given::Stall(seconds) => Fault::Stall(wait(seconds)?),
        Given::SlowAnswer(seconds) => Fault::SlowAnswer(wait(seconds)?),
        Given::Redirect(target) => Fault::Redirect(target),
    })
}

fn requests<'py>(py: Python<'py>, seen: &[RecordedRequest]) -> PyResult<Bound<'py, PyAny>> {
    let seen = seen.iter().map(|one| {
        json!({ "method": one.method, "path": one.path, "status": one.status,
            "authorization": one.authorization,
            "body": String::from_utf8_lossy(&one.body) })
    });
    python_json::to_py(py, &seen.collect())
}

/// Runs a mock's method without the GIL. The mocks panic where a test is wrong, such as for an
/// unknown task: here that is a `KeyError`.
fn without_gil<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    py.detach(|| crate::errors::guarded(work))
        .map_err(PyKeyError::new_err)
}

/// Runs a method without the GIL on a mock that only one thread may use at a time.
fn locked<M: Send, T: Send>(
    py: Python<'_>,
    mock: &Mutex<M>,
    work: impl FnOnce(&M) -> T + Send,
) -> T {
    py.detach(|| work(&mock.lock().unwrap_or_else(PoisonError::into_inner)))
}

#[pyclass(frozen, module = "satellite_sdk._native")]
pub struct MockPlatform(RustPlatform);

#[pymethods]
impl MockPlatform {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        without_gil(py, RustPlatform::start).map(MockPlatform)
    }

    #[getter]
    fn url(&self) -> String {
        self.0.url()
    }

    #[getter]
    fn token(&self, py: Python<'_>) -> String {
        py.detach(|| self.0.token())
    }

    fn add_task(&self, py: Python<'_>, task: &Bound<'_, PyAny>) -> PyResult<String> {
        let task = python_json::from_py(task)?;
        without_gil(py, || self.0.add_task(task))
    }

    fn add_deployment(&self, py: Python<'_>, deployment: &Bound<'_, PyAny>) -> PyResult<String> {
        let deployment = python_json::from_py(deployment)?;
        without_gil(py, || self.0.add_deployment(deployment))
    }

    fn add_secret(&self, py: Python<'_>, id: &str, name: &str, value: &str) {
        py.detach(|| self.0.add_secret(id, name, value));
    }

    fn add_artifact(
        &self,
        py: Python<'_>,
        id: &str,
        artifact: &Bound<'_, PyAny>,
        url: &str,
    ) -> PyResult<()> {
        let artifact = python_json::from_py(artifact)?;
        without_gil(py, || self.0.add_artifact(id, artifact, url))
    }

    fn add_inference_key(&self, py: Python<'_>, key: &str) {
        py.detach(|| self.0.add_inference_key(key));
    }

    fn add_pairing_code(&self, py: Python<'_>, code: &str) {
        py.detach(|| self.0.add_pairing_code(code));
    }

    fn task<'py>(&self, py: Python<'py>, task_id: &str) -> PyResult<Bound<'py, PyAny>> {
        let task = py.detach(|| self.0.task(task_id));
        python_json::to_py(py, &task.unwrap_or_default())
    }

    fn status(&self, py: Python<'_>, task_id: &str) -> PyResult<String> {
        without_gil(py, || self.0.status(task_id))
    }

    fn result<'py>(&self, py: Python<'py>, task_id: &str) -> PyResult<Bound<'py, PyAny>> {
        let result = without_gil(py, || self.0.result(task_id))?;
        python_json::to_py(py, &result)
    }

    fn history(&self, py: Python<'_>, task_id: &str) -> Vec<String> {
        py.detach(|| self.0.history(task_id))
    }

    fn deployment<'py>(&self, py: Python<'py>, id: &str) -> PyResult<Bound<'py, PyAny>> {
        let deployment = py.detach(|| self.0.deployment(id));
        python_json::to_py(py, &deployment.unwrap_or_default())
    }

    fn satellite<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        python_json::to_py(py, &py.detach(|| self.0.satellite()))
    }

    fn requests<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let seen = py.detach(|| self.0.requests());
        requests(py, &seen)
    }

    fn connections(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.0.connections())
    }

    /// Injects a fault into the next `times` matching requests; `None`: into all.
    #[pyo3(signature = (fault, method = "", path = "", times = Some(1)))]
    fn fault(
        &self,
        py: Python<'_>,
        fault: &Bound<'_, PyAny>,
        method: &str,
        path: &str,
        times: Option<u32>,
    ) -> PyResult<()> {
        let fault = self::fault(fault)?;
        py.detach(|| {
            let rule = self.0.fault(fault).on(method, path);
            drop(match times {
                Some(times) => rule.times(times),
                None => rule.forever(),
            });
        });
        Ok(())
    }

    fn clear_faults(&self, py: Python<'_>) {
        py.detach(|| self.0.clear_faults());
    }

    fn revoke(&self, py: Python<'_>) {
        py.detach(|| self.0.revoke());
    }

    fn pause(&self, py: Python<'_>) {
        py.detach(|| self.0.pause());
    }

    fn resume(&self, py: Python<'_>) -> PyResult<()> {
        without_gil(py, || self.0.resume())
    }

    /// Waits until a task has this status, or has had it. Returns false after `seconds`.
    #[pyo3(signature = (task_id, status, seconds = 30.0))]
    fn wait_for(
        &self,
        py: Python<'_>,
        task_id: &str,
        status: &str,
        seconds: f64,
    ) -> PyResult<bool> {
        let limit =
            seconds_of("seconds", seconds).map_err(|e| PyValueError::new_err(e.to_string()))?;
        let since = std::time::Instant::now();
        loop {
            let left = limit.saturating_sub(since.elapsed());
            let slice = left.min(Duration::from_millis(50));
            if py.detach(|| self.0.wait_for(task_id, status, slice)) {
                return Ok(true);
            }
            py.check_signals()?;
            if left.is_zero() {
                return Ok(false);
            }
        }
    }
}

#[pyclass(frozen, module = "satellite_sdk._native")]
pub struct MockFaas(Mutex<RustFaas>, String, String);

#[pymethods]
impl MockFaas {
    #[new]
    #[pyo3(signature = (kind = "contract"))]
    fn new(py: Python<'_>, kind: &str) -> PyResult<Self> {
        let kind = match kind {
            "contract" => FaasKind::Contract,
            "gateway" => FaasKind::Gateway,
            "server" => FaasKind::Server,
            _ => {
                return Err(PyValueError::new_err(
                    "expected contract, gateway or server",
                ));
            }
        };
        let mock = without_gil(py, || RustFaas::of(kind))?;
        let (url, key) = (mock.url(), mock.key().to_owned());
        Ok(MockFaas(Mutex::new(mock), url, key))
    }

    #[getter]
    fn url(&self) -> &str {
        &self.1
    }

    #[getter]
    fn key(&self) -> &str {
        &self.2
    }

    fn add_image(&self, py: Python<'_>, name: &str) {
        locked(py, &self.0, |mock| mock.add_image(name));
    }

    fn executions(&self, py: Python<'_>) -> usize {
        locked(py, &self.0, RustFaas::executions)
    }

    fn most_at_once(&self, py: Python<'_>) -> usize {
        locked(py, &self.0, RustFaas::most_at_once)
    }

    fn cut_stream(&self, py: Python<'_>, bytes: usize) {
        locked(py, &self.0, |mock| mock.cut_stream(bytes));
    }

    fn limit_rate(&self, py: Python<'_>, requests: u32) {
        locked(py, &self.0, |mock| mock.limit_rate(requests));
    }

    #[pyo3(signature = (fault, method = "", path = ""))]
    fn fault(
        &self,
        py: Python<'_>,
        fault: &Bound<'_, PyAny>,
        method: &str,
        path: &str,
    ) -> PyResult<()> {
        let fault = self::fault(fault)?;
        locked(py, &self.0, |mock| mock.fault(method, path, fault));
        Ok(())
    }

    fn requests<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let seen = locked(py, &self.0, RustFaas::requests);
        requests(py, &seen)
    }
}

#[pyclass(frozen, module = "satellite_sdk._native")]
pub struct MockBasilica(Mutex<RustBasilica>, String, String);

#[pymethods]
impl MockBasilica {
    #[new]
    #[pyo3(signature = (api_version = "rentals"))]
    fn new(py: Python<'_>, api_version: &str) -> PyResult<Self> {
        let version = match api_version {
            "rentals" => ApiVersion::Rentals,
            "deployments" => ApiVersion::Deployments,
            _ => return Err(PyValueError::new_err("expected rentals or deployments")),
        };
        let mock = without_gil(py, || RustBasilica::speaking(version))?;
        let (url, key) = (mock.url(), mock.client_key());
        Ok(MockBasilica(Mutex::new(mock), url, key))
    }

    #[getter]
    fn url(&self) -> &str {
        &self.1
    }

    #[getter]
    fn key(&self) -> &str {
        &self.2
    }

    /// The log of every deployment: its lines, `pause` seconds apart, and then its end.
    #[pyo3(signature = (lines, pause = 0.0))]
    fn script(&self, py: Python<'_>, lines: Vec<String>, pause: f64) -> PyResult<()> {
        let pause = seconds_of("pause", pause).map_err(|e| PyValueError::new_err(e.to_string()))?;
        locked(py, &self.0, |mock| {
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            mock.script(&lines, pause);
        });
        Ok(())
    }

    fn print(&self, py: Python<'_>, id: &str, line: &str) {
        locked(py, &self.0, |mock| mock.print(id, line));
    }

    fn finish(&self, py: Python<'_>, id: &str) {
        locked(py, &self.0, |mock| mock.finish(id));
    }

    fn cut_log(&self, py: Python<'_>, bytes: usize) {
        locked(py, &self.0, |mock| mock.cut_log(bytes));
    }

    fn deployed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let deployed = locked(py, &self.0, RustBasilica::deployed);
        python_json::to_py(py, &Value::Array(deployed))
    }

    fn tokens(&self, py: Python<'_>) -> (String, String) {
        locked(py, &self.0, |mock| {
            (mock.access_token(), mock.refresh_token())
        })
    }

    #[pyo3(signature = (fault, method = "", path = ""))]
    fn fault(
        &self,
        py: Python<'_>,
        fault: &Bound<'_, PyAny>,
        method: &str,
        path: &str,
    ) -> PyResult<()> {
        let fault = self::fault(fault)?;
        locked(py, &self.0, |mock| mock.fault(method, path, fault));
        Ok(())
    }

    fn requests<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let seen = locked(py, &self.0, RustBasilica::requests);
        requests(py, &seen)
    }
}
