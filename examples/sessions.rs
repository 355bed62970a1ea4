//! A session table that uses all features of a processor: a migration from an older
//! schema, startup and shutdown hooks, and handling of a failed restore.
//!
//! `cargo run --example sessions`

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use satellite_sdk::state::{App, ExecutionContext, Outcome, Processor, Remedy};
use satellite_sdk::{Error, Exit, Failure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Schema 1 had only names: `{"sessions": ["ada", "grace"]}`.
#[derive(Default, Serialize, Deserialize)]
struct Table {
    sessions: BTreeMap<String, Session>,
    opened: u64,
}

#[derive(Serialize, Deserialize)]
struct Session {
    /// Seconds since 1970.
    last_seen: u64,
}

struct Sessions {
    longest: Duration,
}

impl Processor for Sessions {
    type State = Table;
    const SCHEMA: u32 = 2;

    fn startup(&mut self, cx: &ExecutionContext<Table>) -> Outcome {
        if let Some(pod) = cx.migrated_from() {
            log::info!("continues the state of {pod}");
        }
        log::info!("{} sessions are open", cx.state().sessions.len());
        Ok(())
    }

    fn run(&mut self, cx: &ExecutionContext<Table>) -> Outcome {
        for n in cx.run_loop(Duration::from_secs(1)) {
            // Hold the guard for the whole step: a save never sees half of it.
            let mut table = cx.state();
            table.opened += 1;
            let name = format!("session-{}", table.opened);
            table.sessions.insert(name, Session { last_seen: now() });
            let oldest = now().saturating_sub(self.longest.as_secs());
            table.sessions.retain(|_, s| s.last_seen >= oldest);
            log::info!("step {n}: {} sessions are open", table.sessions.len());
        }
        Ok(())
    }

    fn shutdown(&mut self, cx: &ExecutionContext<Table>) -> Outcome {
        let table = cx.state();
        log::info!(
            "{} of {} sessions are still open",
            table.sessions.len(),
            table.opened
        );
        Ok(())
    }

    fn migrate(from: u32, state: Value) -> Result<Value, Failure> {
        match from {
            1 => {
                let names: Vec<String> = serde_json::from_value(state["sessions"].clone())?;
                let opened = names.len();
                let session = |name| (name, json!({ "last_seen": now() }));
                let sessions: serde_json::Map<_, _> = names.into_iter().map(session).collect();
                Ok(json!({ "sessions": sessions, "opened": opened }))
            }
            _ => Ok(state),
        }
    }

    fn on_state_restore_failed(&mut self, _: &ExecutionContext<Table>, error: &Error) -> Remedy {
        log::error!("all users have to log in again: {error}");
        Remedy::StartFresh
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

fn main() -> Exit {
    let longest = Duration::from_secs(600);
    App::new().run(Sessions { longest })
}
