//! Integration tests of `satellite`: they run the real binary.

#![cfg(unix)]
#![allow(clippy::unwrap_used)] // a test that cannot continue should fail

mod command;
#[allow(dead_code)] // the tests of satellite-state use all of it
#[path = "../../../crates/state/tests/it/fake_kubernetes.rs"]
mod fake_kubernetes;
mod generate;
mod help;
mod init;
mod new;
mod validate;
mod validate_cluster;
