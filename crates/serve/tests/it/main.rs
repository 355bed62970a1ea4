//! Integration tests of satellite-serve, over real HTTP.

#![allow(clippy::unwrap_used)] // a test fails by panicking

mod bodies;
mod connections;
mod early_responses;
mod limits;
mod parsing;
mod responses;
mod robustness;
mod support;
