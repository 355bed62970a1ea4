//! Runs the satellite as a process on a real engine, with a mock platform over real HTTP. Without
//! an engine the tests print that they are skipped; with `SATELLITE_REQUIRE_ENGINE=1` they fail
//! instead.

#![allow(clippy::unwrap_used)] // a failed unwrap fails the test

#[cfg(feature = "monitoring")]
mod browser;
mod cgroups;
mod commands;
mod deploy;
mod engine;
mod failures;
mod gateway;
mod host;
mod images;
#[cfg(target_os = "linux")]
mod install;
mod kills;
#[cfg(feature = "monitoring")]
mod monitoring;
mod outages;
mod podman;
mod process;
mod reconcile;
mod registration;
mod restarts;
mod secrecy;
