//! Integration tests of the command `satellite`: the real binary, over real HTTP, with real
//! signals.

#![allow(clippy::unwrap_used)] // a test that cannot go on should say so

#[cfg(unix)]
mod basilica;
#[cfg(unix)] // the mock runs commands by `sh`
mod faas;
#[cfg(unix)]
mod program;
#[cfg(unix)]
mod sky;
#[cfg(unix)]
mod sky_jobs;
#[cfg(unix)]
mod sky_launch;
#[cfg(unix)]
#[allow(dead_code)] // the tests of the client use all of it
#[path = "../../../crates/skypilot/tests/it/skypilot_server.rs"]
mod skypilot_server;
