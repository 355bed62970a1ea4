//! Log lines of the kit go to Python's `logging`.

use std::sync::{Mutex, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use satellite_core::escaped_text::Escaped;

struct PythonLogger;

/// Installs the logger, once in a process.
pub fn install() {
    if log::set_logger(&PythonLogger).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// Lines below this level, one of Python's, are dropped before they reach Python.
#[pyfunction]
pub fn set_log_level(level: u32) {
    log::set_max_level(match level {
        0..=9 => LevelFilter::Trace,
        10..=19 => LevelFilter::Debug,
        20..=29 => LevelFilter::Info,
        30..=39 => LevelFilter::Warn,
        40..=50 => LevelFilter::Error,
        _ => LevelFilter::Off,
    });
}

impl Log for PythonLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // A library's own lines below that are of use to its authors only.
        metadata.target().starts_with("satellite") || metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        // Not attached while the interpreter ends: then the line is lost.
        Python::try_attach(|py| {
            // A signal handler may raise here, and the logger of the user may fail.
            let interrupted = PyErr::take(py);
            if let Err(error) = forward(py, record) {
                keep_or_show(py, error);
            }
            if let Some(interrupted) = interrupted {
                interrupted.restore(py);
            }
        });
    }

    fn flush(&self) {}
}

/// What a signal handler raised while the main thread logged a line.
static INTERRUPT: Mutex<Option<PyErr>> = Mutex::new(None);

/// Takes it, so that the caller raises it. The caller holds the GIL.
pub fn take_interrupt() -> Option<PyErr> {
    INTERRUPT
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
}

fn keep_or_show(py: Python<'_>, error: PyErr) {
    if error.is_instance_of::<PyException>(py) {
        return error.write_unraisable(py, None); // the logger of the user failed
    }
    let mut kept = INTERRUPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.get_or_insert(error);
}

fn forward(py: Python<'_>, record: &Record<'_>) -> PyResult<()> {
    let name = name_of(record.target());
    let logger = py.import("logging")?.call_method1("getLogger", (name,))?;
    let level = match record.level() {
        Level::Error => 40,
        Level::Warn => 30,
        Level::Info => 20,
        Level::Debug => 10,
        Level::Trace => 5,
    };
    if !logger.call_method1("isEnabledFor", (level,))?.is_truthy()? {
        return Ok(());
    }
    let text = Escaped(record.args()).to_string();
    let fields = PyDict::new(py);
    fields.set_item("task_id", satellite_sdk::current_task_id())?;
    let module = py.import("satellite_sdk._logs")?;
    module.call_method1("emit", (logger, level, text, fields))?;
    Ok(())
}

/// The name of the Python logger for a Rust module.
fn name_of(target: &str) -> &'static str {
    match target.split("::").next().unwrap_or_default() {
        "satellite_sdk" => "luml_satellite_sdk",
        "satellite_state" => "satellite_sdk.dory",
        "satellite_faas" => "satellite_sdk.faas",
        "satellite_basilica" => "satellite_sdk.basilica",
        "satellite_skypilot" => "satellite_sdk.skypilot",
        _ => "satellite_sdk",
    }
}
