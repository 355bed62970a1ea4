//! Integration tests of satellite-faas, over real HTTP.

#![cfg(unix)] // the mock runs commands by `sh`
#![allow(clippy::unwrap_used)] // a test that cannot go on should say so

mod faas;
mod faas_gateway;
mod faas_sdks;
mod faas_streams;
mod faas_wire;
