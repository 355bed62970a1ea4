//! The processor that `benches/state` measures: counts and prints each count; with `CHECKPOINTS`
//! it saves a state of `BYTES` bytes that many times.

use std::time::{Duration, Instant};

use satellite_sdk::Exit;
use satellite_sdk::state::{App, ExecutionContext};

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct State {
    count: u64,
    filling: String,
}

fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).unwrap_or_default();
    text.parse().unwrap_or(default)
}

fn run(cx: &ExecutionContext<State>) -> satellite_sdk::Result<()> {
    println!("restored {}", cx.state().count);
    let bytes = number("BYTES", 0) as usize;
    for _ in 0..number("CHECKPOINTS", 0) {
        {
            let mut state = cx.state();
            state.count += 1;
            state.filling = "x".repeat(bytes);
        }
        let begun = Instant::now();
        cx.checkpoint()?;
        println!("saved in {} us", begun.elapsed().as_micros());
    }
    for _ in cx.run_loop(Duration::from_millis(number("INTERVAL_MS", 50))) {
        let count = {
            let mut state = cx.state();
            state.count += 1;
            state.count
        };
        println!("count {count}");
    }
    Ok(())
}

fn main() -> Exit {
    App::new().run_fn(run)
}
