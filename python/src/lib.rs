//! The native module of the Python package `satellite-sdk`: thin bindings of the Rust crates. The
//! public names, with their types, are in the Python packages beside it.

mod basilica;
mod call;
mod client;
mod connect;
mod connection;
mod errors;
mod extras;
mod faas;
mod json;
mod logs;
mod mocks;
mod options;
mod platform;
mod pool;
mod processor;
mod signals;
mod skypilot;
mod stream;
mod waiting;
mod worker;

use pyo3::prelude::*;

#[pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::call::Call;
    #[pymodule_export]
    use crate::connect::connect;
    #[pymodule_export]
    use crate::connection::Connection;
    #[pymodule_export]
    use crate::extras::download;
    #[pymodule_export]
    use crate::logs::set_log_level;
    #[pymodule_export]
    use crate::mocks::{MockBasilica, MockFaas, MockPlatform};
    #[pymodule_export]
    use crate::processor::{ProcessorContext, run_processor};
    #[pymodule_export]
    use crate::stream::Stream;
    #[pymodule_export]
    use crate::worker::{Worker, WorkerContext, read_settings};

    #[pymodule_export]
    use super::after_fork;

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::logs::install();
        Ok(())
    }
}

/// For `os.register_at_fork`.
#[pyfunction]
fn after_fork() {
    pool::after_fork();
}
