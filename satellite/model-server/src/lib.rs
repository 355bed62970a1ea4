//! Serves FNNX models at the edge.

mod onnx_ml;

use std::process::ExitCode;

/// Runs the model server with the arguments of the command line, without the program's name.
pub fn run(_arguments: Vec<String>) -> ExitCode {
    ExitCode::SUCCESS
}
