//! Runs Python programs, each with its own packages.

use std::path::PathBuf;
use std::process::Command;

/// Whether these tests are enabled.
pub fn is_enabled() -> bool {
    let is_asked = std::env::var_os("SATELLITE_LIVE").is_some_and(|value| value == "1");
    if !is_asked {
        eprintln!("skipped: SATELLITE_LIVE=1 runs it");
    }
    is_asked
}

/// Runs `tests/live/{script}` with these arguments and its packages from PyPI.
/// Panics with its output if it fails.
pub fn run(script: &str, package: &str, arguments: &[&str]) {
    let name = script.trim_end_matches(".py");
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{name}"));
    let python = folder.join("bin/python");
    if !python.exists() {
        done(Command::new("python3").args(["-m", "venv"]).arg(&folder));
    }
    done(Command::new(&python).args(["-m", "pip", "install", "--quiet", package]));
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after", "5", "120"])
        .arg(python)
        .arg("-I") // the script is no module: it may be named like one
        .arg(root.join("tests/live").join(script))
        .args(arguments)
        // Do not use a proxy for connections to this host.
        .env("NO_PROXY", "*")
        .env("no_proxy", "*");
    done(&mut command);
}

fn done(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
