//! A sidecar as a real process, and what the tests know about it.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{Satellite, start};

pub const TIMEOUT: Duration = Duration::from_secs(30);

/// `satellite sidecar`, not yet with arguments, with a port of the system's choice.
pub fn sidecar() -> Command {
    let mut command = crate::program::satellite();
    command
        .arg("sidecar")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .env("DORY_HEALTH_PORT", "0")
        .env("DORY_LOG_FORMAT", "text")
        .env("DORY_TAKEOVER_READY_SEC", "0.1")
        .env("DORY_SHUTDOWN_TIMEOUT_SEC", "20")
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// One place where the application runs, such as a pod: its folder and its output.
pub struct Host {
    folder: TempDir,
}

impl Host {
    pub fn new() -> Self {
        Host {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder that is kept as the state.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Starts it; the output of the application goes to a file.
    pub fn start(&self, mut command: Command) -> Satellite {
        let options = File::options()
            .create(true)
            .append(true)
            .open(self.path("output"));
        start({
            command.stdout(options.unwrap());
            command
        })
    }

    /// What the application printed.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.path("output")).unwrap_or_default()
    }

    /// Waits until the application has printed this.
    pub fn printed(&self, text: &str) {
        eventually(text, || self.output().contains(text).then_some(()));
    }

    /// The numbers after this word at the beginning of a line.
    pub fn numbers(&self, word: &str) -> Vec<u64> {
        let output = self.output();
        let lines = output.lines();
        lines
            .filter_map(|line| line.strip_prefix(word)?.trim().parse().ok())
            .collect()
    }
}

/// A sidecar of a processor whose state is stored in `store`.
pub fn with_folder(store: &Path, data: &Path) -> Command {
    let mut command = sidecar();
    command
        .arg("--state-dir")
        .arg(data)
        .env("DORY_STATE_BACKEND", "local")
        .env("DORY_STATE_DIR", store)
        .env("DORY_PROCESSOR_ID", "app")
        .env("DORY_CHECKPOINT_SEC", "0.1");
    command
}

/// A script for `/bin/sh` as the application.
pub fn shell(mut command: Command, script: &str) -> Command {
    command.args(["--", "/bin/sh", "-c", script]);
    command
}

/// The address of the endpoints of a process, from its log.
pub fn address(process: &mut Satellite) -> String {
    let line = process.line("endpoints: http://");
    line.rsplit("http://").next().unwrap().to_owned()
}

pub fn get(address: &str, path: &str) -> (u16, String) {
    request(address, "GET", path, "")
}

/// The status and body of a response.
pub fn request(address: &str, method: &str, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(90)))
        .unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}");
    write!(stream, "{head}Content-Length: 0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.get(9..12).and_then(|text| text.parse().ok());
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned());
    (
        status.unwrap_or_else(|| panic!("{answer:?}")),
        body.unwrap(),
    )
}

/// Waits until the response has this status; returns its body.
pub fn status_becomes(address: &str, path: &str, wanted: u16) -> String {
    eventually(path, || {
        let (status, body) = get(address, path);
        (status == wanted).then_some(body)
    })
}

/// Waits until a snapshot is saved that began after this call.
pub fn snapshots_follow(address: &str) {
    let saved = || {
        let metrics = get(address, "/metrics").1;
        let line = metrics.lines().find_map(|line| {
            line.strip_prefix("dory_app_snapshots_total{outcome=\"ok\"} ")?
                .parse()
                .ok()
        });
        line.unwrap_or(0_u64)
    };
    let before = saved();
    eventually("two snapshots", || (saved() >= before + 2).then_some(()));
}

/// Waits until `found` returns a value.
pub fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + TIMEOUT;
    loop {
        if let Some(it) = found() {
            return it;
        }
        assert!(Instant::now() < end, "timed out: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process with this id exists and has not ended.
pub fn is_running(pid: u32) -> bool {
    state_of(pid).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// The state of a process as in `ps`: `T` is stopped.
pub fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')? + 1..].trim_start().chars().next()
}
