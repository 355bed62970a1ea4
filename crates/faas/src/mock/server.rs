//! The state of the mock.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::files;
use super::kind::FaasKind;
use satellite_serve::testing::locked;

pub(super) const KEY: &str = "faas-mock-0123456789";

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) kind: FaasKind,
    pub(super) root: PathBuf,
    pub(super) begun: Instant,
    server: Mutex<ServerState>,
    /// Signals new output or the end of an execution.
    pub(super) changed: Condvar,
}

#[derive(Debug)]
pub(super) struct ServerState {
    pub(super) max_time: Duration,
    pub(super) max_output: usize,
    pub(super) cuts: VecDeque<usize>,
    pub(super) rate_limited: u32,
    /// The number of requests to run something, including failed ones.
    pub(super) total_requests: usize,
    pub(super) executions: Vec<Execution>,
    pub(super) peak_running: usize,
    pub(super) environments: Vec<Value>,
    pub(super) snapshots: Vec<Value>,
    pub(super) instances: Vec<Value>,
    /// Images in addition to those that every mock has.
    pub(super) images: Vec<String>,
    /// The directories with the states of executions, snapshots and branches, by id.
    pub(super) directories: HashMap<String, PathBuf>,
    pub(super) cached: HashMap<String, Value>,
    pub(super) is_stopped: bool,
    made: usize,
}

#[derive(Debug)]
pub(super) struct Execution {
    pub(super) id: String,
    pub(super) command: Value,
    pub(super) image: Value,
    pub(super) status: &'static str,
    pub(super) started_at: String,
    pub(super) exit_code: Option<i32>,
    /// The events of its stream and its log.
    pub(super) events: Vec<Value>,
    pub(super) is_cancelled: Arc<AtomicBool>,
}

impl Shared {
    pub(super) fn new(kind: FaasKind) -> io::Result<Shared> {
        let environment = |name: &str, image: &str| json!({ "id": format!("env-{name}"), "name": name, "base_image": image });
        let server = ServerState {
            max_time: Duration::from_secs(60),
            max_output: 1024 * 1024,
            cuts: VecDeque::new(),
            rate_limited: 0,
            total_requests: 0,
            executions: Vec::new(),
            peak_running: 0,
            environments: vec![
                environment("alpine-fast", "alpine:latest"),
                environment("python-ai", "python:3.12"),
                environment("rust-blockchain-v1", "rust:latest"),
            ],
            snapshots: Vec::new(),
            instances: Vec::new(),
            images: Vec::new(),
            directories: HashMap::new(),
            cached: HashMap::new(),
            is_stopped: false,
            made: 0,
        };
        Ok(Shared {
            kind,
            root: files::new_root()?,
            begun: Instant::now(),
            server: Mutex::new(server),
            changed: Condvar::new(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ServerState> {
        locked(&self.server)
    }

    /// Cancels all executions and streams.
    pub(super) fn end(&self) {
        let mut server = self.lock();
        server.is_stopped = true;
        for execution in &server.executions {
            execution.is_cancelled.store(true, Ordering::SeqCst);
        }
        drop(server);
        self.changed.notify_all();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

impl ServerState {
    pub(super) fn new_id(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-{:04}", self.made)
    }

    pub(super) fn now(&self) -> String {
        format!("2026-01-01T00:{:02}:{:02}Z", self.made / 60, self.made % 60)
    }

    pub(super) fn execution(&mut self, id: &str) -> Option<&mut Execution> {
        self.executions.iter_mut().find(|one| one.id == id)
    }

    pub(super) fn running(&self) -> usize {
        let all = self.executions.iter();
        all.filter(|one| one.status == "running").count()
    }
}

impl Execution {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "status": self.status,
            "command": self.command,
            "image": self.image,
            "started_at": self.started_at,
            "exit_code": self.exit_code,
        })
    }

    /// What it printed to these streams.
    pub(super) fn printed(&self, kinds: &[&str]) -> String {
        let events = self.events.iter();
        let text = events.filter(|event| kinds.iter().any(|kind| event["type"] == *kind));
        text.filter_map(|event| event["data"].as_str()).collect()
    }
}
