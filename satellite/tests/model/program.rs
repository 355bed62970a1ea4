//! A model server for the tests, which injects faults.

mod server;

use std::process::ExitCode;

fn main() -> ExitCode {
    server::serve()
}
