//! All integration tests, over real HTTP, in one binary.

#![allow(clippy::unwrap_used)] // a panic is the right way to fail a test

mod child;
mod client;
mod client_calls;
mod compiler_messages;
mod extras;
mod extras_resume;
#[cfg(unix)]
#[allow(dead_code)] // the tests of the state crate use all of it
#[path = "../../crates/state/tests/it/fake_kubernetes.rs"]
mod fake_kubernetes;
mod fault_matrix;
mod faults;
mod faulty_proxy;
mod handlers;
mod health;
#[cfg(target_os = "linux")]
mod host_faults;
mod hostile;
mod journal;
#[cfg(unix)]
mod kills;
#[cfg(unix)] // signals
mod logs;
mod mock_platform;
mod other_server;
mod outages;
mod process;
mod recorder;
mod recovery;
#[cfg(unix)]
#[allow(dead_code)]
#[path = "../../crates/state/tests/it/relay.rs"]
mod relay;
mod results;
mod secrecy;
mod settings;
#[cfg(target_os = "linux")]
mod soak;
mod state_worker;
mod stop;
mod tls;
mod transport;
mod worker;
