//! Serves FNNX models at the edge: reads an artifact, runs its ONNX operators with tract, and
//! responds over HTTP as the satellite expects of a model server.
//!
//! The program `luml-model-server` is [`run`] with the arguments of its command line.

mod artifact;
mod commands;
mod failure;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod load;
mod onnx;
mod onnx_ml;
mod pipeline;
mod server;
mod settings;
mod tensor;

use std::process::ExitCode;

/// Runs the model server with the arguments of the command line, without the program's name.
///
/// Without arguments it serves the artifact that the environment names, until SIGTERM or SIGINT.
/// The exit codes are 0 and those of `sysexits.h` that `--help` lists.
///
/// ```
/// use std::process::ExitCode;
///
/// let code = luml_model_server::run(vec!["--version".into()]);
/// assert_eq!(code, ExitCode::SUCCESS);
/// ```
pub fn run(arguments: Vec<String>) -> ExitCode {
    commands::run(&arguments)
}
