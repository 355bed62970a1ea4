//! Integration tests of satellite-skypilot, over real HTTP.

#![allow(clippy::unwrap_used)] // a test that cannot go on should say so

mod skypilot_accounts;
mod skypilot_calls;
mod skypilot_errors;
mod skypilot_exec;
mod skypilot_prices;
mod skypilot_server;
mod skypilot_streams;
