//! `luml-satellite upgrade FILE`.
//!
//! The command verifies the file and stores it beside the installed binary. A service of its own
//! does the rest, so that it survives the terminal, SIGKILL and a power failure: systemd starts it
//! again until it has ended. Its next step follows from the files alone:
//!
//! | files | step |
//! |---|---|
//! | a result | remove what is left of the upgrade |
//! | a reason for a rollback | restore the previous unit and binary, start the service |
//! | `luml-satellite.new` | replace unit and binary, start the service |
//! | none of them | wait until the service is ready, and stays so |

use std::fs;
use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::files::Files;
use super::options::{Failure, Options};
use super::systemd::{self, ServiceState};
use super::{BINARY_PATH, NAME, Result, UNIT_PATH};

const SERVICE: &str = "luml-satellite-upgrade";
const SERVICE_PATH: &str = "/etc/systemd/system/luml-satellite-upgrade.service";
const SERVICE_WANTED_PATH: &str =
    "/etc/systemd/system/multi-user.target.wants/luml-satellite-upgrade.service";
const NEW_PATH: &str = "/usr/local/bin/luml-satellite.new";
const PREVIOUS_PATH: &str = "/usr/local/bin/luml-satellite.previous";
const NEW_UNIT_PATH: &str = "/etc/systemd/system/luml-satellite.service.new";
const PREVIOUS_UNIT_PATH: &str = "/etc/systemd/system/luml-satellite.service.previous";
/// The program of the service: the one that started the upgrade.
const UPGRADER_PATH: &str = "/usr/local/bin/luml-satellite.upgrader";
/// Why the new binary is not kept.
const REASON_PATH: &str = "/var/lib/luml-satellite-upgrade/reason";
/// The result of the last upgrade.
const RESULT_PATH: &str = "/var/lib/luml-satellite-upgrade/result";
const RESULT_FOLDER: &str = "/var/lib/luml-satellite-upgrade";

/// The files of an upgrade in progress. The first one goes last: while it exists, the service
/// starts with the system.
const TEMPORARY: [&str; 8] = [
    SERVICE_WANTED_PATH,
    SERVICE_PATH,
    NEW_PATH,
    NEW_UNIT_PATH,
    PREVIOUS_PATH,
    PREVIOUS_UNIT_PATH,
    UPGRADER_PATH,
    REASON_PATH,
];

const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// For an answer of the new binary to `--version` and `print-unit`.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A service that restarts as often is not waited for.
const RESTART_LIMIT: u32 = 2;

pub fn upgrade(options: &Options) -> Result<ExitCode> {
    let mut files = Files::new(options)?.quiet();
    if options.resume {
        return resume(&mut files, options);
    }
    let Some(file) = &options.file else {
        return Err(Failure::usage("FILE is required"));
    };
    if !files.exists(BINARY_PATH) || !files.exists(UNIT_PATH) {
        let text = format!("{BINARY_PATH} is not installed: use install");
        return Err(Failure::conflict(text));
    }
    if !files.is_running_system() {
        return Err(Failure::conflict("systemd is not running here"));
    }
    if is_in_progress(&files)? {
        let text = format!("an upgrade is in progress: see journalctl -u {SERVICE}");
        return Err(Failure::conflict(text));
    }

    let candidate = fs::read(file).map_err(|e| Failure::io(file, "read", &e))?;
    let installed = read(&files, BINARY_PATH)?;
    if candidate == installed {
        println!("{file} is installed already");
        return Ok(ExitCode::SUCCESS);
    }
    if options.dry_run {
        println!("would replace {BINARY_PATH}, restart {NAME} and wait until it is ready");
        return Ok(ExitCode::SUCCESS);
    }
    for path in TEMPORARY {
        files.remove(path)?;
    }
    files.remove(RESULT_PATH)?;
    // Asked is the copy that will be installed: nobody can change it in between.
    files.put(NEW_PATH, 0o755, &candidate)?;
    let asked = ask(NEW_PATH, "--version").and_then(|version| {
        let unit = ask(NEW_PATH, "print-unit")?;
        match version.strip_prefix(NAME) {
            Some(_) if unit.contains("[Service]") => Ok((version, unit)),
            _ => Err(format!("it calls itself {:?}", version.trim())),
        }
    });
    let (version, unit) = match asked {
        Ok(answers) => answers,
        Err(reason) => {
            files.remove(NEW_PATH)?;
            let text = format!("{file} is not a luml-satellite for this machine: {reason}");
            return Err(Failure::bad_file(text));
        }
    };
    println!(
        "from luml-satellite {} to {}",
        env!("CARGO_PKG_VERSION"),
        version.trim()
    );

    let was_ready = ServiceState::of(NAME)?.active == "active";
    if !was_ready {
        println!("{NAME} is not ready now, so the new one only has to keep running");
    }
    files.put(NEW_UNIT_PATH, 0o644, unit.as_bytes())?;
    files.put(PREVIOUS_UNIT_PATH, 0o644, &read(&files, UNIT_PATH)?)?;
    files.put(PREVIOUS_PATH, 0o755, &installed)?;
    files.put(UPGRADER_PATH, 0o755, &super::own_program()?)?;
    files.put(SERVICE_PATH, 0o644, service(options, was_ready).as_bytes())?;
    systemd::call(&["daemon-reload"])?;
    // From here on the upgrade continues by itself.
    systemd::call(&["--no-block", "start", SERVICE])?;
    follow(&files, options)
}

fn service(options: &Options, was_ready: bool) -> String {
    format!(
        "# Written by luml-satellite upgrade, which removes it at its end.\n\
         [Unit]\n\
         Description=Upgrade of luml-satellite\n\
         StartLimitIntervalSec=0\n\n\
         [Service]\n\
         Type=exec\n\
         ExecStart={UPGRADER_PATH} upgrade --resume --timeout {} --hold {}{}\n\
         Restart=on-failure\n\
         RestartSec=1\n",
        options.timeout.as_secs(),
        options.hold.as_secs(),
        if was_ready { "" } else { " --was-not-ready" },
    )
}

/// Runs the new binary with one argument, with a timeout and without the environment.
fn ask(program: &str, argument: &str) -> std::result::Result<String, String> {
    let mut child = Command::new(program)
        .arg(argument)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| e.to_string())?;
    let end = Instant::now() + ANSWER_TIMEOUT;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(10)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("no answer to {argument} within {ANSWER_TIMEOUT:?}"));
            }
        }
    };
    if !status.success() {
        return Err(format!("{argument} ended with {status}"));
    }
    let mut text = String::new();
    // Less than a pipe holds: the program has ended.
    match child.stdout.take() {
        Some(stdout) => stdout.take(64 * 1024).read_to_string(&mut text),
        None => Ok(0),
    }
    .map_err(|e| e.to_string())?;
    Ok(text)
}

fn is_in_progress(files: &Files) -> Result<bool> {
    let state = ServiceState::of(SERVICE)?.active;
    Ok(matches!(&*state, "active" | "activating") || files.exists(SERVICE_WANTED_PATH))
}

/// Waits for the result of the service, which does not depend on it, and for its end: after
/// that, another upgrade may begin.
fn follow(files: &Files, options: &Options) -> Result<ExitCode> {
    println!(
        "restarting {NAME}; it has {:?} to become ready",
        options.timeout
    );
    // Two binaries to wait for, and to stop: `TimeoutStopSec` of the unit is 60.
    let end = Instant::now() + 2 * (options.timeout + options.hold) + Duration::from_secs(180);
    while Instant::now() < end {
        match fs::read_to_string(files.place(RESULT_PATH)) {
            Ok(result) if !is_in_progress(files)? => {
                println!("{}", result.trim());
                return Ok(match result.starts_with("upgraded") {
                    true => ExitCode::SUCCESS,
                    false => ExitCode::FAILURE,
                });
            }
            _ => thread::sleep(POLL_INTERVAL),
        }
    }
    let text = format!("the upgrade has not ended: see journalctl -u {SERVICE}");
    Err(Failure::other(text))
}

/// Continues the upgrade where the files say that it is.
fn resume(files: &mut Files, options: &Options) -> Result<ExitCode> {
    if files.exists(RESULT_PATH) {
        return clean_up(files);
    }
    // Before anything changes: after a power failure it starts with the system.
    files.link(SERVICE_PATH, SERVICE_WANTED_PATH)?;
    if files.exists(NEW_PATH) && !files.exists(REASON_PATH) {
        systemd::call(&["stop", NAME])?;
        files.put(UNIT_PATH, 0o644, &read(files, NEW_UNIT_PATH)?)?;
        files.rename(NEW_PATH, BINARY_PATH)?;
        println!("replaced {BINARY_PATH}");
    }
    if !files.exists(REASON_PATH) {
        start()?;
        match wait_until_ready(options) {
            Ok(()) => {
                let version = ask(BINARY_PATH, "--version").unwrap_or_default();
                return end(files, &format!("upgraded to {}", version.trim()));
            }
            Err(reason) => files.put(REASON_PATH, 0o644, reason.as_bytes())?,
        }
    }
    let reason = String::from_utf8_lossy(&read(files, REASON_PATH)?).into_owned();
    println!("restoring the previous binary: {reason}");
    systemd::call(&["stop", NAME])?;
    files.put(UNIT_PATH, 0o644, &read(files, PREVIOUS_UNIT_PATH)?)?;
    files.put(BINARY_PATH, 0o755, &read(files, PREVIOUS_PATH)?)?;
    start()?;
    let restored = match wait_until_ready(options) {
        Ok(()) => format!(
            "rolled back to luml-satellite {}",
            env!("CARGO_PKG_VERSION")
        ),
        Err(also) => format!("rolled back, and the previous binary is not ready either: {also}"),
    };
    end(
        files,
        &format!("{restored}; the new one was rejected: {reason}"),
    )
}

fn start() -> Result<()> {
    systemd::call(&["daemon-reload"])?;
    // A service that failed counts its starts, and is not started without this.
    let _ = systemd::call(&["reset-failed", NAME]);
    systemd::call(&["--no-block", "start", NAME]).map(drop)
}

/// Waits until the service is ready and has stayed so.
fn wait_until_ready(options: &Options) -> std::result::Result<(), String> {
    let end = Instant::now() + options.timeout;
    let mut ready: Option<(u32, Instant)> = None;
    let mut restarts = None;
    loop {
        let state = match ServiceState::of(NAME) {
            Ok(state) => state,
            Err(failure) => return Err(failure.text),
        };
        if state.active == "failed" {
            return Err(format!("it ended: {}", state.ending()));
        }
        let first = restarts.get_or_insert(state.restarts);
        *first = state.restarts.min(*first);
        if state.restarts - *first >= RESTART_LIMIT {
            return Err(format!("it keeps ending: {}", state.ending()));
        }
        let is_ready = state.active == "active"
            || (options.was_not_ready && state.active == "activating" && state.sub == "start");
        ready = match ready {
            _ if !is_ready || state.pid == 0 => None,
            Some((pid, _)) if pid != state.pid => Some((state.pid, Instant::now())),
            None => Some((state.pid, Instant::now())),
            since => since,
        };
        if ready.is_some_and(|(_, since)| since.elapsed() >= options.hold) {
            return Ok(());
        }
        // One that became ready in time may still hold.
        if Instant::now() >= end && ready.is_none() {
            return Err(format!(
                "not ready within {:?}: {} ({}) {}",
                options.timeout, state.active, state.sub, state.text
            ));
        }
        thread::sleep(POLL_INTERVAL);
    }
}

fn end(files: &mut Files, result: &str) -> Result<ExitCode> {
    println!("{result}");
    files.put(RESULT_PATH, 0o644, format!("{result}\n").as_bytes())?;
    clean_up(files)
}

fn clean_up(files: &mut Files) -> Result<ExitCode> {
    for path in TEMPORARY.into_iter().rev() {
        files.remove(path)?;
    }
    systemd::call(&["daemon-reload"])?;
    Ok(ExitCode::SUCCESS)
}

/// Stops an upgrade in progress, if there is one, and removes its files.
pub fn abandon(files: &mut Files) -> Result<()> {
    if files.is_running_system() && !files.is_dry_run() && files.exists(SERVICE_PATH) {
        systemd::call(&["stop", SERVICE])?;
    }
    for path in TEMPORARY {
        files.remove(path)?;
    }
    files.remove_folder(RESULT_FOLDER)
}

/// The result of the last upgrade, or nothing.
pub fn last_result() -> String {
    let result = fs::read_to_string(RESULT_PATH).unwrap_or_default();
    result.trim().into()
}

fn read(files: &Files, path: &str) -> Result<Vec<u8>> {
    fs::read(files.place(path)).map_err(|e| Failure::io(path, "read", &e))
}
