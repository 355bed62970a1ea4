//! Downloads.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use satellite_sdk::compute::Cancel;
use satellite_sdk::extras::{Download, Progress};
use serde::Deserialize;

use crate::client::arguments;
use crate::options::positive;
use crate::{errors, json, waiting};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    url: String,
    path: PathBuf,
    sha256: Option<String>,
    attempts: Option<u32>,
    max_wait: Option<f64>,
    max_bytes: Option<u64>,
    mode: Option<u32>,
    resume_in: Option<PathBuf>,
}

/// Between two calls of the progress callback.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Downloads a file. Returns its size and SHA-256. `progress(bytes, total)` may raise to end it.
#[pyfunction]
#[pyo3(signature = (options, progress = None))]
pub fn download(
    py: Python<'_>,
    options: &Bound<'_, PyAny>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(u64, String)> {
    let given: Given = arguments(json::from_py(options)?).map_err(|e| errors::to_py(py, &e))?;
    let max_wait = given.max_wait.map(|seconds| positive("max_wait", seconds));
    let max_wait = max_wait.transpose().map_err(|e| errors::to_py(py, &e))?;
    let raised = Arc::new(Mutex::new(None));
    let (cancel, held) = (Cancel::new(), Arc::clone(&raised));
    let cancelled = cancel.clone();
    let downloaded = waiting::wait(py, &cancel, move || {
        let mut last: Option<std::time::Instant> = None;
        let mut download = Download::new(&given.url)
            .cancelled_by(&cancelled)
            .on_progress(|done: Progress| {
                let Some(progress) = &progress else { return };
                let is_last = Some(done.bytes) == done.total;
                if !is_last && last.is_some_and(|last| last.elapsed() < PROGRESS_INTERVAL) {
                    return;
                }
                last = Some(std::time::Instant::now());
                let called =
                    Python::attach(|py| progress.call1(py, (done.bytes, done.total)).map(drop));
                if let Err(error) = called {
                    *held.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    cancelled.cancel();
                }
            })
            .resume_in(given.resume_in.as_deref());
        if let Some(digits) = given.sha256 {
            download = download.sha256(digits);
        }
        if let Some(attempts) = given.attempts {
            download = download.attempts(attempts);
        }
        if let Some(max) = max_wait {
            download = download.max_wait(max);
        }
        if let Some(limit) = given.max_bytes {
            download = download.max_bytes(limit);
        }
        if let Some(mode) = given.mode {
            download = download.mode(mode);
        }
        download.to(&given.path)
    })?;
    if let Some(error) = raised.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error);
    }
    let downloaded = downloaded.map_err(|e| errors::to_py(py, &e))?;
    Ok((downloaded.bytes, downloaded.sha256))
}
