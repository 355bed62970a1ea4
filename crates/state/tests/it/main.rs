//! Integration tests of satellite-state, over real HTTP.

#![cfg(unix)]
#![allow(clippy::unwrap_used)] // a test that cannot continue should fail

mod fake_kubernetes;
mod fake_s3;
mod kubernetes;
mod kubernetes_api;
mod kubernetes_start;
#[path = "../../../../tests/it/process.rs"]
mod process;
mod relay;
mod rights;
mod state_child;
mod state_editor;
mod state_faults;
mod state_handover;
mod state_kills;
mod state_lease;
mod state_migration;
mod state_original;
mod state_s3;
mod state_settings;
mod state_stops;
mod state_supervision;
mod state_volume;
