//! What the mock knows.

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
    world: Mutex<World>,
    /// Where the mock listens, once it does.
    url: OnceLock<String>,
    /// A log has grown, or something is over.
    pub(super) changed: Condvar,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) tokens: Tokens,
    pub(super) are_keys_lost: bool,
    pub(super) machines: Vec<Value>,
    pub(super) deployments: Vec<Deployed>,
    /// API keys: their documents and tokens.
    pub(super) keys: Vec<(Value, String)>,
    pub(super) ssh_key: Option<Value>,
    pub(super) cuts: VecDeque<Cut>,
    /// What deployments print by themselves, and how fast.
    pub(super) script: Option<(Vec<String>, Duration)>,
    pub(super) is_over: bool,
    made: usize,
}

#[derive(Debug)]
pub(super) struct Deployed {
    pub(super) id: String,
    /// The body that it was asked for with.
    pub(super) asked: Value,
    pub(super) machine: Value,
    pub(super) state: &'static str,
    pub(super) created_at: String,
    /// The events of its log, as they are sent.
    pub(super) log: Vec<String>,
    /// How often it was restarted.
    pub(super) restarts: u32,
}

/// How a log ends before its end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// The connection breaks behind so many bytes.
    Connection(usize),
    /// The gateway gives up behind so many bytes, and says so.
    InBand(usize),
}

impl Default for World {
    fn default() -> Self {
        World {
            tokens: Tokens::default(),
            are_keys_lost: false,
            machines: machines::all(),
            deployments: Vec::new(),
            keys: Vec::new(),
            ssh_key: None,
            cuts: VecDeque::new(),
            script: None,
            is_over: false,
            made: 0,
        }
    }
}

impl Shared {
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        locked(&self.world)
    }

    pub(super) fn listens(&self, url: String) {
        let _ = self.url.set(url);
    }

    pub(super) fn url(&self) -> &str {
        self.url.get().map_or("", String::as_str)
    }

    /// Does by itself what deployments were told to do.
    pub(super) fn play(self: &Arc<Self>, id: String, lines: Vec<String>, pause: Duration) {
        let shared = Arc::clone(self);
        thread::spawn(move || {
            for line in lines {
                thread::sleep(pause);
                let mut world = shared.world();
                if world.is_over || world.find(&id).is_none() {
                    return;
                }
                world.print(&id, &line);
                shared.changed.notify_all();
            }
            if let Some(deployed) = shared.world().find(&id) {
                deployed.state = "terminated";
            }
            shared.changed.notify_all();
        });
    }
}

impl World {
    /// Whether the service knows this token.
    pub(super) fn takes(&mut self, authorization: Option<&str>) -> bool {
        let token = bearer(authorization);
        let now = self.now();
        match self.keys.iter_mut().find(|(_, key)| token == Some(key)) {
            Some((key, _)) => key["last_used_at"] = now.into(),
            None => return self.tokens.is_taken(token),
        }
        true
    }

    pub(super) fn now(&self) -> String {
        format!("2026-01-01T00:{:02}:{:02}Z", self.made / 60, self.made % 60)
    }

    /// A number that no other thing has.
    pub(super) fn number(&mut self) -> usize {
        self.made += 1;
        self.made
    }

    /// A new deployment; its id is made from `name`.
    pub(super) fn deploy(&mut self, name: &str, asked: Value, machine: Value) -> &Deployed {
        let number = self.number();
        self.deployments.push(Deployed {
            id: format!("{name}-{:04x}", 0x7f30 + number),
            asked,
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

    /// It takes until it is asked after for the first time.
    pub(super) fn looked_at(&mut self) -> &'static str {
        let state = self.state;
        if state == "pending" {
            self.state = "active";
        }
        state
    }
}
