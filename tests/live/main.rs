//! Against real servers, where `SATELLITE_LIVE=1` asks for it; otherwise nothing
//! is started and the tests say that they were skipped.

#![allow(clippy::unwrap_used)] // a test that cannot go on should say so

mod relay;
mod server;
mod skypilot;
