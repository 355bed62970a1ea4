//! Health endpoints and state for an unmodified application.

#[cfg(target_os = "linux")]
mod app_check;
#[cfg(target_os = "linux")]
mod archive;
#[cfg(target_os = "linux")]
mod checks;
#[cfg(target_os = "linux")]
mod child;
#[cfg(target_os = "linux")]
mod ending;
#[cfg(target_os = "linux")]
mod endpoints;
#[cfg(target_os = "linux")]
mod folder;
#[cfg(target_os = "linux")]
mod lease_guard;
#[cfg(target_os = "linux")]
mod metrics;
#[cfg(target_os = "linux")]
mod no_store;
#[cfg(target_os = "linux")]
mod processor;
#[cfg(target_os = "linux")]
mod settings;
#[cfg(target_os = "linux")]
mod shared;
#[cfg(target_os = "linux")]
mod snapshot;
#[cfg(target_os = "linux")]
mod start;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

#[cfg(target_os = "linux")]
pub use start::unpack;

const EXAMPLES: &str = "\
Examples:
  # As the parent of the application: starts it, stops it, and passes its exit code on.
  satellite sidecar -- ./server --port 8081

  # Keeps the folder /data of the application as its state, in a ConfigMap in a cluster and
  # in ./dory-state elsewhere; a second instance takes it over.
  satellite sidecar --state-dir /data -- ./server

  # Also saves the folder every 30 seconds, with the application paused meanwhile.
  satellite sidecar --state-dir /data --snapshot-every 30 --snapshot-pause -- ./server

  # In a container of its own, beside an application that listens on port 8081.
  DORY_APP_PORT=8081 DORY_READY_REQUIRES_APP=true satellite sidecar

Endpoints, at DORY_HEALTH_HOST and DORY_HEALTH_PORT (8080):
  /healthz         fails when the application, started by this process, fails at
                   DORY_APP_HEALTH_PATH after it has succeeded once
  /ready           with DORY_READY_REQUIRES_APP, fails when the application does not answer
  /prestop         calls DORY_APP_PRESTOP_PATH
  /metrics         for Prometheus
  /restored        fails until the folder is restored, and when this process lost the state
  POST /snapshot   saves the folder now; SIGUSR1 does the same. From this host, or with
                   DORY_STATE_TOKEN

Variables:
  DORY_APP_PORT, DORY_APP_HOST (127.0.0.1)    where the application listens
  DORY_APP_HEALTH_PATH, DORY_APP_READY_PATH   checked every second, else the port is
  DORY_APP_PRESTOP_PATH                       called before the application is stopped
  DORY_READY_REQUIRES_APP (false)             /ready depends on the application
  DORY_APP_CHECK_TIMEOUT (2)                  seconds for a check
  DORY_PRESTOP_TIMEOUT (25)                   seconds for the preStop path
  DORY_SHUTDOWN_TIMEOUT_SEC (30)              from the stop request to the end of the last
                                              save; the application gets 2/3 of it
  DORY_STATE_BACKEND, DORY_PROCESSOR_ID, …    as for processors

Exit codes: that of the application, or 128 and the number of the signal that ended it; 0
after a handover; 1 when the state was not saved or another process took it; 78 for wrong
settings; 126 or 127 when the application cannot be started.";

/// Runs an unmodified application with health endpoints, and keeps a folder of it as its state
///
/// With a command, starts it as a child: forwards signals, reaps orphans, stops it within the
/// shutdown timeout, and passes its exit code on. Without a command, runs beside an
/// application in another container of the same pod.
///
/// With --state-dir, the folder is restored before the application starts, saved when it
/// has stopped, and handed over in a rolling update, by the same rules as the state of a
/// processor: only one process holds it, and an application whose sidecar has lost it is
/// killed. The application is stopped with SIGSTOP while its lease cannot be renewed.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub struct Sidecar {
    /// Keep this folder of the application as its state [env: DORY_APP_STATE_DIR]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// Save the folder this often while the application runs, if it tolerates a restart from
    /// any moment in which it writes nothing
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    snapshot_every: Option<f64>,

    /// Pause the application with SIGSTOP while its folder is read
    #[arg(long)]
    snapshot_pause: bool,

    /// The maximum size of all files in the folder, with an optional Ki or Mi. The store may
    /// hold less: a ConfigMap 1 MiB after compression, an object in a bucket 32 MiB
    #[arg(long, value_name = "BYTES", default_value = "64Mi", value_parser = bytes)]
    state_limit: u64,

    /// Leave out this file or folder directly in DIR, such as a cache; can be repeated
    #[arg(long, value_name = "NAME")]
    exclude: Vec<PathBuf>,

    /// The signal that stops the application, instead of the one that was received
    #[arg(long, value_name = "SIGNAL", value_parser = stop_signal)]
    stop_signal: Option<StopSignal>,

    /// Becomes the application; used by the sidecar itself
    #[arg(long, hide = true, value_name = "PID")]
    exec_child_of: Option<u32>,

    /// The application and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The number of a signal.
pub type StopSignal = i32;

impl Sidecar {
    /// Runs until the application ends.
    pub fn run(self) -> ExitCode {
        #[cfg(target_os = "linux")]
        return start::run(self);
        #[cfg(not(target_os = "linux"))]
        {
            eprintln!("satellite sidecar runs on Linux only");
            ExitCode::FAILURE
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok();
    let seconds = seconds.filter(|seconds| (0.1..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| "expected 0.1 to 86400 seconds".to_owned())
}

fn bytes(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text {
        text if text.ends_with("Ki") => (&text[..text.len() - 2], 1024),
        text if text.ends_with("Mi") => (&text[..text.len() - 2], 1024 * 1024),
        text => (text, 1),
    };
    let bytes = digits.parse::<u64>().ok();
    let bytes = bytes.and_then(|bytes| bytes.checked_mul(factor));
    let most = 1024 * 1024 * 1024;
    let bytes = bytes.filter(|bytes| (1..=most).contains(bytes));
    bytes.ok_or_else(|| "expected 1 to 1024Mi".to_owned())
}

fn stop_signal(text: &str) -> Result<StopSignal, String> {
    let upper = text.to_ascii_uppercase();
    match upper.strip_prefix("SIG").unwrap_or(&upper) {
        "HUP" => Ok(1),
        "INT" => Ok(2),
        "QUIT" => Ok(3),
        "KILL" => Ok(9),
        "USR1" => Ok(10),
        "USR2" => Ok(12),
        "TERM" => Ok(15),
        _ => Err("expected TERM, INT, QUIT, HUP, USR1, USR2 or KILL".to_owned()),
    }
}
