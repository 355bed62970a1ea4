//! A real processor in a separate process: this test binary, started again.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use satellite_core::{Error, Failure};
use satellite_state::{App, ConfigMapStore, ExecutionContext, Outcome, Processor, Remedy};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::process::{Satellite, start};

pub const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    pub count: u64,
    pub by_number: HashMap<u32, String>,
    pub seen: HashSet<i64>,
    pub filling: String,
}

/// Counts, and behaves as `CHILD_DOES` configures.
struct Counting {
    does: String,
    interval: Duration,
}

impl Counting {
    fn does(&self, what: &str) -> bool {
        self.does == what
    }
}

impl Processor for Counting {
    type State = Counts;
    const SCHEMA: u32 = 2;

    fn startup(&mut self, cx: &ExecutionContext<Counts>) -> Outcome {
        eprintln!(
            "startup with {}, attempt {}",
            cx.state().count,
            cx.attempt_number()
        );
        match self.does.as_str() {
            "fail in startup" => return Err("on purpose".into()),
            "panic in startup" => panic!("on purpose"),
            "exit in startup" => std::process::exit(3),
            "never ready" => cx.health().problem("engine", "it does not answer"),
            "change the state in startup" => cx.state().count += 1000,
            "save in startup" => {
                assert!(!cx.may_act(), "another process holds the state");
                let error = cx.checkpoint().unwrap_err();
                eprintln!("not saved: {error}");
            }
            _ => {}
        }
        if self.does("start slowly") {
            cx.sleep(Duration::from_secs(600));
        }
        if self.does("block in startup") {
            thread::sleep(Duration::from_secs(600));
        }
        Ok(())
    }

    fn restored(&mut self, cx: &ExecutionContext<Counts>) -> Outcome {
        eprintln!("restored with {}", cx.state().count);
        if self.does("fail in restored") {
            return Err("on purpose".into());
        }
        Ok(())
    }

    fn run(&mut self, cx: &ExecutionContext<Counts>) -> Outcome {
        if self.does("block") {
            cx.state().count += 1;
            eprintln!("blocking");
            thread::sleep(Duration::from_secs(600));
        }
        for _ in cx.run_loop(self.interval) {
            let begun = monotonic_ns();
            let count = {
                let mut state = cx.state();
                state.count += 1;
                let number = state.count as u32 % 10;
                state.by_number.insert(number, format!("{number}"));
                state.seen.insert(-i64::from(number));
                if self.does("grow") {
                    state.filling.push_str(&"x".repeat(50_000));
                }
                if self.does("grow at random") {
                    state.filling.push_str(&noise(300_000));
                }
                state.count
            };
            eprintln!("count {count}");
            match self.does.as_str() {
                "print turns" => {
                    thread::sleep(Duration::from_millis(5));
                    eprintln!("turn {begun} {}", monotonic_ns());
                }
                "check before acting" | "check late in a turn" => {
                    if self.does("check late in a turn") {
                        thread::sleep(Duration::from_millis(100));
                    }
                    if cx.may_act() {
                        eprintln!("acted {}", monotonic_ns());
                    }
                }
                "return" => return Ok(()),
                "fail" => return Err("on purpose".into()),
                "panic" => panic!("on purpose"),
                "panic with the state" => {
                    let mut state = cx.state();
                    state.count = 1_000_000;
                    panic!("on purpose");
                }
                "stall" => thread::sleep(Duration::from_secs(600)),
                _ => {}
            }
        }
        if self.does("work after the stop") {
            cx.state().count += 1000;
        }
        Ok(())
    }

    fn shutdown(&mut self, cx: &ExecutionContext<Counts>) -> Outcome {
        eprintln!("shutdown with {}", cx.state().count);
        if self.does("count in shutdown") {
            cx.state().count += 100;
        }
        Ok(())
    }

    fn migrate(from: u32, mut state: Value) -> Result<Value, Failure> {
        if from == 1 {
            state["count"] = state["counter"].take();
        }
        Ok(state)
    }

    fn on_state_restore_failed(&mut self, _: &ExecutionContext<Counts>, error: &Error) -> Remedy {
        eprintln!("hook: restore failed: {error}");
        match self.does("start fresh") {
            true => Remedy::StartFresh,
            false => Remedy::KeepState,
        }
    }

    fn on_rapid_restart_detected(&mut self, _: &ExecutionContext<Counts>, count: u32) -> Remedy {
        eprintln!("hook: {count} rapid restarts");
        Remedy::KeepState
    }

    fn on_health_check_failed(_: &ExecutionContext<Counts>, error: &Error) {
        eprintln!("hook: health check failed: {error}");
    }

    fn reset_caches(&mut self, _: &ExecutionContext<Counts>) {
        eprintln!("hook: reset caches");
    }
}

/// A clock that all processes on this host share.
fn monotonic_ns() -> u128 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u128 * 1_000_000_000 + now.tv_nsec as u128
}

pub fn now_ms() -> u128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_millis()
}

/// Random letters, which cannot be compressed below six bits each.
fn noise(letters: usize) -> String {
    use std::hash::{BuildHasher, RandomState};

    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    let seed = RandomState::new();
    let letter = |n| char::from(LETTERS[seed.hash_one(n) as usize % 64]);
    (0..letters).map(letter).collect()
}

/// The processor of a child process: does nothing when it is run as a normal test.
#[test]
fn process() {
    if std::env::var_os("STATE_CHILD").is_none() {
        return;
    }
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let interval = variable("CHILD_INTERVAL_MS").parse().unwrap_or(20);
    let mut app = App::new();
    if let Ok(url) = std::env::var("CHILD_KUBERNETES") {
        let lease = variable("CHILD_LEASE_SECONDS").parse().unwrap();
        let store = ConfigMapStore::new()
            .at(url)
            .service_account(variable("CHILD_ACCOUNT"))
            .lease_duration(Duration::from_secs(lease));
        app = app.store(store);
    }
    let exit = app.run(Counting {
        does: variable("CHILD_DOES"),
        interval: Duration::from_millis(interval),
    });
    std::process::exit(exit.code().into());
}

/// A processor whose state is in `folder`, with its endpoints on a port chosen by the
/// system.
pub fn command(folder: &Path) -> Command {
    let mut command = bare_command();
    command
        .env("DORY_STATE_BACKEND", "local")
        .env("DORY_STATE_DIR", folder)
        .env("DORY_PROCESSOR_ID", "counting");
    command
}

pub fn bare_command() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "state_child::process",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("STATE_CHILD", "1")
        .env("DORY_HEALTH_PORT", "0")
        .env("DORY_TAKEOVER_READY_SEC", "0.1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

pub fn doing(folder: &Path, what: &str) -> Satellite {
    let mut command = command(folder);
    command.env("CHILD_DOES", what);
    start(command)
}

/// The stored count, read as the processor reads it.
pub fn stored(folder: &Path) -> u64 {
    stored_state(folder).count
}

pub fn stored_state(folder: &Path) -> Counts {
    let newest = generations(folder)
        .pop()
        .expect("something should be stored");
    let document = std::fs::read(newest).unwrap();
    let snapshot = satellite_state::Snapshot::from_document(&document).unwrap();
    serde_json::from_slice(&snapshot.content.state).unwrap()
}

/// The files of the generations, the newest last.
pub fn generations(folder: &Path) -> Vec<std::path::PathBuf> {
    files(folder, |name| name.ends_with(".state"))
}

pub fn files(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(folder.join("counting"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| is_wanted(path.file_name().unwrap().to_str().unwrap()))
        .collect();
    found.sort();
    found
}

/// The number at the end of a line such as `count 17`.
pub fn number(line: &str) -> u64 {
    let digits = line.rsplit(' ').next().unwrap();
    digits.parse().unwrap_or_else(|_| panic!("{line:?}"))
}

/// The count with which a process starts to work.
pub fn started_with(process: &mut Satellite) -> u64 {
    number(&process.line("restored with"))
}

/// The last number that a process counted before it ended, or with which it started to work.
pub fn last_count(process: &Satellite) -> u64 {
    let started = || {
        let mut lines = process.log.iter();
        lines.find(|line| line.starts_with("restored with"))
    };
    match counts(process).last() {
        Some(last) => *last,
        None => number(started().expect("it should have counted")),
    }
}

/// All counted numbers. A kill may interrupt a line.
pub fn counts(process: &Satellite) -> Vec<u64> {
    let lines = process.log.iter();
    lines
        .filter_map(|line| line.strip_prefix("count ")?.parse().ok())
        .collect()
}

/// The address of the endpoints of a process, from its log.
pub fn address(process: &mut Satellite) -> String {
    let line = process.line("endpoints: http://");
    line.rsplit("http://").next().unwrap().to_owned()
}

/// The status and body of a response.
pub fn ask(address: &str, request: &str) -> (u16, String) {
    try_ask(address, request).unwrap()
}

pub fn try_ask(address: &str, request: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(40)))?;
    // A server may respond and close before it has read everything: the response is more
    // useful than the error of the write.
    let written = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    if answer.is_empty() {
        written?;
        read?;
    }
    let status = answer.get(9..12).and_then(|text| text.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    match (status, body) {
        (Some(status), Some(body)) => Ok((status, body.to_owned())),
        _ => Err(std::io::Error::other(format!("{answer:?}"))),
    }
}

pub fn get(address: &str, path: &str) -> (u16, String) {
    ask(address, &request("GET", path, "", ""))
}

pub fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Waits until `found` returns a value.
#[track_caller]
pub fn eventually<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + TIMEOUT;
    loop {
        if let Some(it) = found() {
            return it;
        }
        assert!(Instant::now() < end, "timed out");
        thread::sleep(Duration::from_millis(5));
    }
}
