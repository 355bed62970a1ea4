//! The smallest processor: a counter that continues after a restart or a crash.
//!
//! `cargo run --example counter`
use satellite_sdk::{Exit, state::App};
use std::time::Duration;

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Counter {
    count: u64,
}

fn main() -> Exit {
    App::new().tick(Duration::from_secs(1), |counter: &mut Counter, _| {
        counter.count += 1;
        println!("{}", counter.count);
    })
}
