//! Opens the clients by their names.

use std::sync::Arc;

use pyo3::prelude::*;
use satellite_sdk::{Error, Result};
use serde_json::Value;

use crate::client::{Client, arguments};
use crate::connection::Connection;
use crate::{basilica, errors, faas, json, skypilot, worker};

/// Opens a client: `faas`, `basilica`, `skypilot` or `platform`.
#[pyfunction]
pub fn connect(py: Python<'_>, kind: String, options: &Bound<'_, PyAny>) -> PyResult<Connection> {
    let options = json::from_py(options)?;
    let opened = py.detach(move || errors::guarded(|| open(&kind, options)));
    let client = opened.map_err(|panic| errors::panicked(&panic))?;
    Ok(Connection::new(client.map_err(|e| errors::to_py(py, &e))?))
}

fn open(kind: &str, options: Value) -> Result<Arc<dyn Client>> {
    match kind {
        "faas" => faas::open(arguments(options)?),
        "basilica" => basilica::open(arguments(options)?),
        "skypilot" => skypilot::open(arguments(options)?),
        "platform" => worker::open_platform(options),
        _ => Err(Error::new(format_args!("unknown client {kind:?}"))),
    }
}
