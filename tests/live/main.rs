//! Tests against real servers, enabled by `SATELLITE_LIVE=1`; otherwise nothing is
//! started and the tests report that they were skipped.

#![allow(clippy::unwrap_used)] // a test that cannot go on should say so

mod basilica;
#[cfg(unix)] // the mock of FaaS runs commands by `sh`
mod faas;
mod python;
mod relay;
mod server;
mod skypilot;
mod skypilot_jobs;
