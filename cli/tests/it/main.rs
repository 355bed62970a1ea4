//! Integration tests of the command `satellite`: the real binary, over real HTTP, with real
//! signals.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // a test that cannot continue should fail

mod basilica;
mod basilica_deploy;
mod command;
mod commands;
mod faas;
#[allow(dead_code)] // used by the tests of satellite-state
#[path = "../../../crates/state/tests/it/fake_kubernetes.rs"]
mod fake_kubernetes;
#[allow(dead_code)]
#[path = "../../../crates/state/tests/it/fake_s3.rs"]
mod fake_s3;
mod generate;
mod help;
mod init;
mod new;
#[allow(dead_code)]
#[path = "../../../tests/it/process.rs"]
mod process;
mod program;
#[allow(dead_code)]
#[path = "../../../crates/state/tests/it/relay.rs"]
mod relay;
mod sidecar;
mod sidecar_failures;
mod sidecar_process;
mod sidecar_state;
mod sidecar_update;
mod sky;
mod sky_jobs;
mod sky_launch;
mod sky_settings;
#[allow(dead_code)] // the tests of the client use all of it
#[path = "../../../crates/skypilot/tests/it/skypilot_server.rs"]
mod skypilot_server;
mod state;
mod validate;
mod validate_cluster;
mod validate_manifests;
