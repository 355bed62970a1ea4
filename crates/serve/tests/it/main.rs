//! Integration tests of satellite-serve, over real HTTP.

#![allow(clippy::unwrap_used)] // a test that cannot go on should say so

mod serve;
