//! The program as a process, and a client for it.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Much longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A fixture of `tests/models`.
pub fn model(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    folder.join("tests/models").join(name)
}

/// The program with these arguments, and no settings of this machine. `SATELLITE_MODEL_SERVER`
/// names another binary, and may begin with an emulator.
pub fn command(arguments: &[&str]) -> Command {
    let own = env!("CARGO_BIN_EXE_luml-model-server").to_owned();
    let program = std::env::var("SATELLITE_MODEL_SERVER").unwrap_or(own);
    let mut words = program.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(arguments).env_clear();
    command
}

/// Runs a command to its end.
pub fn ran(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = command(arguments);
    command.envs(variables.iter().copied()).output().unwrap()
}

/// A running server; killed when dropped.
pub struct Running {
    child: Child,
    log: Arc<Mutex<String>>,
    pub address: String,
}

impl Running {
    /// Serves a fixture, and waits until it is ready.
    pub fn serving(name: &str, variables: &[(&str, &str)]) -> Running {
        let path = model(name);
        let mut command = command(&["run", path.to_str().unwrap(), "--port", "0"]);
        command.envs(variables.iter().copied());
        let server = Running::start(command);
        server.wait_for("ready on");
        server
    }

    /// Starts a server that listens, and may not have its model yet.
    pub fn start(mut command: Command) -> Running {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let own = log.clone();
        thread::spawn(move || {
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                own.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        let mut server = Running {
            child,
            log,
            address: String::new(),
        };
        let log = server.wait_for("listening on");
        let (_, rest) = log.split_once("listening on ").unwrap();
        server.address = rest.split_whitespace().next().unwrap().to_owned();
        server
    }

    /// Waits until the log has this text, and returns the log.
    pub fn wait_for(&self, text: &str) -> String {
        let started = Instant::now();
        loop {
            let log = self.log.lock().unwrap().clone();
            // Whole lines only.
            let whole = &log[..log.rfind('\n').map_or(0, |end| end + 1)];
            if whole.contains(text) {
                return whole.to_owned();
            }
            assert!(started.elapsed() < PATIENCE, "no {text:?} in: {log}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "")
    }

    pub fn compute(&self, body: &Value) -> Answer {
        self.send("POST", "/compute", &body.to_string())
    }

    /// Sends a request on a connection of its own.
    pub fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build()
            .new_agent();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .body(body.to_owned())
            .unwrap();
        let mut response = agent.run(request).unwrap();
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        let retry_after = header("retry-after");
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().unwrap();
        Answer {
            status,
            retry_after,
            json: serde_json::from_str(&text).unwrap_or_default(),
            text,
        }
    }

    /// A figure of `/metrics`.
    pub fn figure(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
            .trim()
            .parse()
            .unwrap()
    }

    pub fn signal(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits until the process ends.
    pub fn ended(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "the process does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    pub text: String,
    /// Null if the text is not JSON.
    pub json: Value,
}

impl Answer {
    /// The text of an error of this status.
    pub fn error(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{}", self.text);
        self.json["error"].as_str().unwrap()
    }
}

/// Everything from a reader as text.
pub fn all(mut reader: impl Read) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}
