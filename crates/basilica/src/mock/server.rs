//! The state of the mock.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::machines;
use super::oauth::Tokens;
use satellite_serve::testing::locked;

#[derive(Debug, Default)]
pub(super) struct Shared {
    server: Mutex<ServerState>,
    /// The URL of the mock, once it listens.
    url: OnceLock<String>,
    /// Signals that a log has grown or that something has ended.
    pub(super) changed: Condvar,
}

#[derive(Debug)]
pub(super) struct ServerState {
    pub(super) tokens: Tokens,
    pub(super) are_keys_lost: bool,
    pub(super) machines: Vec<Value>,
    pub(super) deployments: Vec<Deployed>,
    /// API keys: their JSON objects and tokens.
    pub(super) keys: Vec<(Value, String)>,
    pub(super) ssh_key: Option<Value>,
    pub(super) cuts: VecDeque<Cut>,
    /// The lines that deployments print on their own, and the pause between them.
    pub(super) script: Option<(Vec<String>, Duration)>,
    pub(super) is_stopped: bool,
    made: usize,
}

#[derive(Debug)]
pub(super) struct Deployed {
    pub(super) id: String,
    /// The body of the request that created it.
    pub(super) request: Value,
    pub(super) machine: Value,
    pub(super) state: &'static str,
    pub(super) created_at: String,
    /// The events of its log, in wire format.
    pub(super) log: Vec<String>,
    /// How often it was restarted.
    pub(super) restarts: u32,
}

/// How a log is cut off early.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// The connection breaks after this number of bytes.
    Connection(usize),
    /// The gateway aborts the log after this number of bytes, with a message in it.
    InBand(usize),
}

impl Default for ServerState {
    fn default() -> Self {
        ServerState {
            tokens: Tokens::default(),
            are_keys_lost: false,
            machines: machines::all(),
            deployments: Vec::new(),
            keys: Vec::new(),
            ssh_key: None,
            cuts: VecDeque::new(),
            script: None,
            is_stopped: false,
            made: 0,
        }
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, ServerState> {
        locked(&self.server)
    }

    pub(super) fn listens(&self, url: String) {
        let _ = self.url.set(url);
    }

    pub(super) fn url(&self) -> &str {
        self.url.get().map_or("", String::as_str)
    }

    /// Prints the lines of the script in a background thread, then ends the deployment.
    pub(super) fn play_script(self: &Arc<Self>, id: String, lines: Vec<String>, pause: Duration) {
        let shared = Arc::clone(self);
        thread::spawn(move || {
            for line in lines {
                thread::sleep(pause);
                let mut server = shared.lock();
                if server.is_stopped || server.find(&id).is_none() {
                    return;
                }
                server.print(&id, &line);
                shared.changed.notify_all();
            }
            if let Some(deployed) = shared.lock().find(&id) {
                deployed.state = "terminated";
            }
            shared.changed.notify_all();
        });
    }
}

impl ServerState {
    /// Whether the service accepts this token.
    pub(super) fn accepts(&mut self, authorization: Option<&str>) -> bool {
        let token = bearer(authorization);
        let now = self.now();
        match self.keys.iter_mut().find(|(_, key)| token == Some(key)) {
            Some((key, _)) => key["last_used_at"] = now.into(),
            None => return self.tokens.accepts(token),
        }
        true
    }

    pub(super) fn now(&self) -> String {
        format!("2026-01-01T00:{:02}:{:02}Z", self.made / 60, self.made % 60)
    }

    /// A new unique number.
    pub(super) fn number(&mut self) -> usize {
        self.made += 1;
        self.made
    }

    /// A new deployment, with an id that starts with `name`.
    pub(super) fn deploy(&mut self, name: &str, request: Value, machine: Value) -> &Deployed {
        let number = self.number();
        self.deployments.push(Deployed {
            id: format!("{name}-{:04x}", 0x7f30 + number),
            request,
            machine,
            state: "pending",
            created_at: self.now(),
            log: Vec::new(),
            restarts: 0,
        });
        &self.deployments[self.deployments.len() - 1]
    }

    pub(super) fn find(&mut self, id: &str) -> Option<&mut Deployed> {
        self.deployments.iter_mut().find(|one| one.id == id)
    }

    pub(super) fn deployed(&mut self, id: &str) -> &mut Deployed {
        self.find(id)
            .unwrap_or_else(|| panic!("the mock of Basilica has no deployment {id}"))
    }

    pub(super) fn print(&mut self, id: &str, line: &str) {
        let log = &mut self.deployed(id).log;
        let timestamp = format!("2026-01-01T01:00:00.{:09}Z", log.len());
        let entry = json!({ "message": line, "stream": "stdout", "timestamp": timestamp });
        log.push(format!("data: {entry}\n\n"));
    }
}

pub(super) fn bearer(authorization: Option<&str>) -> Option<&str> {
    authorization?.strip_prefix("Bearer ")
}

impl Deployed {
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, "terminated" | "failed")
    }

    /// Returns the state. A pending deployment becomes active after the first call.
    pub(super) fn poll_state(&mut self) -> &'static str {
        let state = self.state;
        if state == "pending" {
            self.state = "active";
        }
        state
    }
}
