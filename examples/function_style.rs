//! A processor as a single function, which accesses the state where it needs it.
//!
//! `cargo run --example function_style`

use std::collections::BTreeMap;
use std::time::Duration;

use satellite_sdk::state::{App, ExecutionContext};
use satellite_sdk::{Exit, Result};

/// The number of occurrences of each word.
type Words = BTreeMap<String, u64>;

const TEXT: &str = "the quick brown fox jumps over the lazy dog";

fn count(cx: &ExecutionContext<Words>) -> Result<()> {
    let text = cx
        .config()
        .remove("TEXT")
        .unwrap_or_else(|| TEXT.to_owned());
    for n in cx.run_loop(Duration::from_millis(500)) {
        let word = text.split_whitespace().cycle().nth(n as usize);
        let word = word.ok_or("TEXT contains no words")?;
        *cx.state().entry(word.to_owned()).or_default() += 1;
        if n % 20 == 19 || cx.is_migration_imminent() {
            cx.checkpoint()?; // in addition to the regular ones
        }
    }
    println!("{:?}", cx.state());
    Ok(())
}

fn main() -> Exit {
    App::new().run_fn(count)
}
