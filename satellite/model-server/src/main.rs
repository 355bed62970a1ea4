//! The program `luml-model-server`.

use std::process::ExitCode;

fn main() -> ExitCode {
    luml_model_server::run(std::env::args().skip(1).collect())
}
