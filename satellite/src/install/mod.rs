//! `luml-satellite install`, `uninstall`, `status` and `upgrade`: this binary as a systemd service
//! of the host, without a checkout.

mod files;
mod options;
mod systemd;
mod upgrade;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use files::Files;
pub use options::USAGE;
use options::{Failure, Options};
use systemd::ServiceState;

const NAME: &str = "luml-satellite";
const UNIT: &str = include_str!("../../systemd/luml-satellite.service");
const SETTINGS: &str = include_str!("../../systemd/satellite.env");

/// The files of an installation.
const BINARY_PATH: &str = "/usr/local/bin/luml-satellite";
const UNIT_PATH: &str = "/etc/systemd/system/luml-satellite.service";
const WANTED_PATH: &str = "/etc/systemd/system/multi-user.target.wants/luml-satellite.service";
const SETTINGS_PATH: &str = "/etc/luml/satellite.env";
const TOKEN_PATH: &str = "/etc/luml/satellite.token";
/// Of `cross/install --worker`, which uses the same token.
const WORKER_UNIT_PATH: &str = "/etc/systemd/system/satellite-worker.service";
/// Of the Debian package.
const PACKAGE_UNIT_PATHS: [&str; 2] = [
    "/usr/lib/systemd/system/luml-satellite.service",
    "/lib/systemd/system/luml-satellite.service",
];
const STATE_PATHS: [&str; 2] = ["/var/lib/luml-satellite", "/var/lib/private/luml-satellite"];

/// Longer than any token.
const TOKEN_LIMIT: u64 = 64 * 1024;

type Result<T> = std::result::Result<T, Failure>;

/// Whether it is a command of this module.
pub fn is_command(word: &str) -> bool {
    matches!(
        word,
        "install" | "uninstall" | "status" | "upgrade" | "print-unit"
    )
}

/// Runs the command, such as `install`.
pub fn run(command: &str, arguments: &[String]) -> ExitCode {
    let ended = Options::parse(command, arguments).and_then(|options| match command {
        "install" => install(&options),
        "uninstall" => uninstall(&options),
        "status" => Ok(status()),
        "upgrade" => upgrade::upgrade(&options),
        _ => {
            // What an older binary asks the one that it is upgraded to.
            print!("{UNIT}");
            Ok(ExitCode::SUCCESS)
        }
    });
    ended.unwrap_or_else(|failure| {
        eprintln!("luml-satellite {command}: {}", failure.text);
        ExitCode::from(failure.code)
    })
}

fn install(options: &Options) -> Result<ExitCode> {
    let mut files = Files::new(options)?;
    refuse_other_installations(&files)?;
    let token = match &options.token_file {
        Some(path) => Some(read_token(path)?),
        None if files.exists(TOKEN_PATH) => None,
        None => {
            return Err(Failure::usage(
                "--token-file FILE is required: this host has no token yet",
            ));
        }
    };
    files.put(BINARY_PATH, 0o755, &own_program()?)?;
    files.put(UNIT_PATH, 0o644, UNIT.as_bytes())?;
    if files.exists(SETTINGS_PATH) {
        println!("kept {SETTINGS_PATH}");
    } else {
        files.put(SETTINGS_PATH, 0o644, SETTINGS.as_bytes())?;
    }
    if let Some(token) = token {
        files.put(TOKEN_PATH, 0o600, token.as_bytes())?;
    }
    files.link(UNIT_PATH, WANTED_PATH)?;
    if !files.contains("/etc/group", "\ndocker:") {
        println!(
            "note: the group docker does not exist; the service starts once the engine is installed"
        );
    }
    start_if_changed(&files)
}

/// The bytes of the program that runs.
fn own_program() -> Result<Vec<u8>> {
    let program = std::fs::read("/proc/self/exe");
    program.map_err(|e| Failure::io("this program's own file", "read", &e))
}

fn refuse_other_installations(files: &Files) -> Result<()> {
    if files.exists(WORKER_UNIT_PATH) {
        let text = "satellite-worker is installed, and two processes must not share a token: \
                    uninstall it first";
        return Err(Failure::conflict(text));
    }
    if PACKAGE_UNIT_PATHS.iter().any(|path| files.exists(path)) {
        let text = "luml-satellite is installed as a package: use the package manager";
        return Err(Failure::conflict(text));
    }
    Ok(())
}

/// Reads the token; `-` is the standard input. It is never printed.
fn read_token(path: &str) -> Result<String> {
    let mut text = String::new();
    let read = match path {
        "-" => io::stdin().take(TOKEN_LIMIT).read_to_string(&mut text),
        _ => File::open(path).and_then(|file| file.take(TOKEN_LIMIT).read_to_string(&mut text)),
    };
    read.map_err(|e| Failure::io(path, "read", &e))?;
    let token: String = text.split_whitespace().collect();
    if token.is_empty() {
        return Err(Failure::usage(format_args!("{path} contains no token")));
    }
    Ok(token + "\n")
}

fn start_if_changed(files: &Files) -> Result<ExitCode> {
    if files.is_dry_run() {
        return Ok(ExitCode::SUCCESS);
    }
    if !files.is_running_system() {
        println!("not started: systemd is not running there");
        return Ok(ExitCode::SUCCESS);
    }
    systemd::call(&["daemon-reload"])?;
    let state = ServiceState::of(NAME)?;
    if !files.have_changed() && matches!(state.active.as_str(), "active" | "activating") {
        println!("already running: nothing changed");
        return Ok(ExitCode::SUCCESS);
    }
    // Does not wait: the service is active only after the platform has responded.
    systemd::call(&["--no-block", "restart", NAME])?;
    println!("started; see luml-satellite status");
    Ok(ExitCode::SUCCESS)
}

fn uninstall(options: &Options) -> Result<ExitCode> {
    let mut files = Files::new(options)?;
    let is_live = files.is_running_system() && !files.is_dry_run();
    upgrade::abandon(&mut files)?;
    if is_live && files.exists(UNIT_PATH) {
        systemd::call(&["--quiet", "stop", NAME])?;
        println!("stopped {NAME}");
    }
    for path in [WANTED_PATH, UNIT_PATH, BINARY_PATH] {
        files.remove(path)?;
    }
    if files.exists(WORKER_UNIT_PATH) {
        println!("kept {TOKEN_PATH}: satellite-worker uses it");
    } else {
        files.remove(TOKEN_PATH)?;
    }
    if options.purge {
        files.remove(SETTINGS_PATH)?;
        for path in STATE_PATHS {
            files.remove_folder(path)?;
        }
    }
    if is_live {
        systemd::call(&["daemon-reload"])?;
        let _ = systemd::call(&["--quiet", "reset-failed", NAME]);
    }
    if !options.purge {
        println!("kept settings and state, if there are any; --purge removes them");
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the state of the service. The exit codes are those of an LSB `status`.
fn status() -> ExitCode {
    const NOT_RUNNING: u8 = 3;
    const UNKNOWN: u8 = 4;
    let version = env!("CARGO_PKG_VERSION");
    let state = match ServiceState::of(NAME) {
        Ok(state) if state.load == "loaded" => state,
        Ok(_) => {
            println!("{NAME} {version} is not installed as a service; see {NAME} install --help");
            return ExitCode::from(UNKNOWN);
        }
        Err(failure) => {
            eprintln!("{NAME} status: {}", failure.text);
            return ExitCode::from(UNKNOWN);
        }
    };
    let found = |path| {
        if Path::new(path).exists() {
            path
        } else {
            "none"
        }
    };
    let mut rows = vec![
        ("service", format!("{} ({})", state.active, state.sub)),
        ("since", state.since.clone()),
        ("process", state.pid.to_string()),
        ("restarts", state.restarts.to_string()),
        ("status", state.text.clone()),
        ("binary", state.program.clone()),
        ("settings", found(SETTINGS_PATH).into()),
        ("upgrade", upgrade::last_result()),
    ];
    if state.active == "failed" {
        rows.insert(1, ("ended", state.ending()));
    }
    for (name, value) in rows {
        if !value.is_empty() && value != "0" {
            println!("{name:<10}{value}");
        }
    }
    match state.active.as_str() {
        "active" => ExitCode::SUCCESS,
        _ => ExitCode::from(NOT_RUNNING),
    }
}
