//! `launch FILE PROGRAM ARGUMENT…`: records the time in FILE and executes PROGRAM, so that the
//! overhead of the measuring script is not counted as the program's start.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::{SystemTime, UNIX_EPOCH};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [file, program, rest @ ..] = arguments.as_slice() else {
        eprintln!("usage: launch FILE PROGRAM ARGUMENT…");
        return ExitCode::from(64);
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let text = now.unwrap_or_default().as_nanos().to_string();
    let error = match std::fs::write(file, text) {
        Ok(()) => Command::new(program).args(rest).exec(),
        Err(error) => error,
    };
    eprintln!("launch: {error}");
    ExitCode::FAILURE
}
