//! Waiting without the GIL, in a way that signals end.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use satellite_sdk::compute::Cancel;

use crate::{errors, pool};

/// How soon a signal is seen. A wait costs a few microseconds of CPU in each of these.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(20);

struct Slot<T> {
    result: Mutex<Option<T>>,
    ready: Condvar,
}

/// Runs `work` without the GIL. On the main thread, a Python signal handler that raises, such as
/// that of Ctrl-C, cancels it.
pub fn wait<T: Send + 'static>(
    py: Python<'_>,
    cancel: &Cancel,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    if !is_main_thread(py)? {
        return py
            .detach(|| errors::guarded(work))
            .map_err(|panic| errors::panicked(&panic));
    }
    let slot = Arc::new(Slot {
        result: Mutex::new(None),
        ready: Condvar::new(),
    });
    let filled = Arc::clone(&slot);
    pool::run(move || {
        let result = errors::guarded(work);
        let mut held = filled.result.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some(result);
        filled.ready.notify_one();
    });
    loop {
        let result = py.detach(|| {
            let held = slot.result.lock().unwrap_or_else(PoisonError::into_inner);
            let (mut held, _) = slot
                .ready
                .wait_timeout_while(held, SIGNAL_INTERVAL, |result| result.is_none())
                .unwrap_or_else(PoisonError::into_inner);
            held.take()
        });
        if let Some(result) = result {
            return result.map_err(|panic| errors::panicked(&panic));
        }
        if let Err(interrupted) = py.check_signals() {
            let cancel = cancel.clone();
            py.detach(move || cancel.cancel());
            return Err(interrupted);
        }
    }
}

/// Only the main thread runs Python signal handlers.
fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    threading.call_method0("get_ident")?.eq(main)
}
