//! All integration tests, over real HTTP, in one binary.

#![allow(clippy::unwrap_used)] // a test that cannot go on should say so

mod basilica;
mod basilica_logs;
mod basilica_tokens;
mod child;
mod client;
mod door;
mod extras;
#[cfg(unix)] // the mock of FaaS runs commands by `sh`
mod faas;
#[cfg(unix)]
mod faas_gateway;
#[cfg(unix)]
mod faas_streams;
#[cfg(unix)]
mod fake_kubernetes;
mod fault_matrix;
mod faults;
mod health;
#[cfg(target_os = "linux")]
mod host_faults;
mod hostile;
mod journal;
#[cfg(unix)]
mod kills;
#[cfg(unix)]
mod kubernetes;
mod mock_platform;
mod recorder;
#[cfg(unix)]
mod relay;
mod secrecy;
mod serve;
mod skypilot_calls;
mod skypilot_errors;
mod skypilot_server;
mod skypilot_streams;
#[cfg(target_os = "linux")]
mod soak;
#[cfg(unix)]
mod state_child;
#[cfg(unix)]
mod state_faults;
#[cfg(unix)]
mod state_handover;
#[cfg(unix)]
mod state_kills;
#[cfg(unix)]
mod state_lease;
#[cfg(unix)]
mod state_migration;
#[cfg(unix)]
mod state_original;
#[cfg(unix)]
mod state_s3;
#[cfg(unix)]
mod state_settings;
#[cfg(unix)]
mod state_volume;
mod state_worker;
mod stop;
mod tls;
mod transport;
mod worker;
