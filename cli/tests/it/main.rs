//! Integration tests of the command `satellite`, with the real binary.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // a test that cannot continue should fail

#[path = "../../../crates/state/tests/it/fake_kubernetes.rs"]
#[allow(dead_code)] // used by the tests of satellite-state
mod fake_kubernetes;
#[path = "../../../crates/state/tests/it/fake_s3.rs"]
#[allow(dead_code)]
mod fake_s3;
#[path = "../../../tests/it/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "../../../crates/state/tests/it/relay.rs"]
#[allow(dead_code)]
mod relay;
mod sidecar;
mod sidecar_process;
mod sidecar_state;
mod sidecar_update;
mod state;
