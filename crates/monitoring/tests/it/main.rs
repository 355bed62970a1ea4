//! Tests of the aggregation and of the store.

#![allow(clippy::unwrap_used, missing_docs)] // a failed unwrap fails the test

mod multivariate;
#[cfg(feature = "otlp")]
mod otlp;
mod reference;
mod sketch;
#[cfg(feature = "store")]
#[path = "../../../state/tests/it/state_volume.rs"]
mod state_volume;
#[cfg(feature = "store")]
mod store;
mod windows;

use satellite_monitoring::{Event, Monitor, Outcome, Profile, Report, Settings};
use serde_json::{Value, json};

/// An event with these inputs.
pub fn inputs(inputs: Value) -> Event {
    Event {
        status: 200,
        latency_ms: 10.0,
        inputs: Some(json!({ "inputs": inputs }).to_string().into_bytes()),
        ..Event::default()
    }
}

/// An event with this response.
pub fn output(output: &Value) -> Event {
    Event {
        status: 200,
        latency_ms: 10.0,
        outputs: Some(output.to_string().into_bytes()),
        ..Event::default()
    }
}

pub fn call(status: u16, latency_ms: f64) -> Event {
    Event {
        status,
        latency_ms,
        ..Event::default()
    }
}

pub fn timeout() -> Event {
    Event {
        outcome: Outcome::TimedOut,
        ..call(503, 10.0)
    }
}

/// The report of one window with these events.
pub fn report(profile: &Value, events: &[Event]) -> Report {
    let mut monitor = Monitor::new(Settings::default());
    monitor.watch("d", Profile::of(profile), 0);
    for event in events {
        monitor.record("d", event);
    }
    monitor.tick(60_000).remove(0)
}
