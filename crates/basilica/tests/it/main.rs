//! Integration tests of satellite-basilica, over real HTTP.

#![allow(clippy::unwrap_used)] // a test that cannot go on should say so

mod basilica;
mod basilica_account;
mod basilica_logs;
mod basilica_retries;
mod basilica_tokens;
#[path = "../../../../tests/it/recorder.rs"]
mod recorder;
