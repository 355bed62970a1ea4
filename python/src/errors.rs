//! Raises errors of the kit as the Python exceptions of `satellite_sdk.errors`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use satellite_sdk::Error;

/// The exception for an error. Its class is chosen in Python, by the answers.
pub fn to_py(py: Python<'_>, error: &Error) -> PyErr {
    exception(py, error).unwrap_or_else(|failure| failure)
}

fn exception(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let fields = PyDict::new(py);
    let answers = [
        ("is_settings", error.is_settings()),
        ("is_unauthorized", error.is_unauthorized()),
        ("is_forbidden", error.is_forbidden()),
        ("is_not_found", error.is_not_found()),
        ("is_conflict", error.is_conflict()),
        ("is_invalid", error.is_invalid()),
        ("is_rate_limited", error.is_rate_limited()),
        ("is_unsupported", error.is_unsupported()),
        ("is_version_mismatch", error.is_version_mismatch()),
        ("is_timeout", error.is_timeout()),
        ("is_connect", error.is_connect()),
        ("is_out_of_capacity", error.is_out_of_capacity()),
        ("is_outcome_unknown", error.is_outcome_unknown()),
        ("is_retryable", error.is_retryable()),
        ("is_cancelled", error.is_stopped()),
        ("is_too_large", error.is_too_large()),
        ("is_refused_token", error.is_refused_token()),
    ];
    for (name, answer) in answers {
        if answer {
            fields.set_item(name, true)?;
        }
    }
    fields.set_item("status", error.status())?;
    fields.set_item("server_type", error.server_type())?;
    fields.set_item("server_message", error.server_message())?;
    let after = error.retry_after().map(|after| after.as_secs_f64());
    fields.set_item("retry_after", after)?;
    let module = py.import("satellite_sdk.errors")?;
    let exception = module.call_method1("_of_native", (error.to_string(), fields))?;
    Ok(PyErr::from_value(exception))
}

/// Runs Rust code that must not panic into Python: a panic becomes a `RuntimeError`.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| text_of(&*panic))
}

/// The exception for a caught panic.
pub fn panicked(text: &str) -> PyErr {
    PyRuntimeError::new_err(format!("a bug in satellite-sdk: panicked: {text}"))
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}
