//! A worker whose handlers keep state: the counts survive a restart, and move to
//! another host with the enclosing processor.
//!
//! `LUML_SATELLITE_TOKEN=… cargo run --example stateful_worker`

use std::collections::BTreeMap;

use satellite_sdk::state::{App, ExecutionContext};
use satellite_sdk::{Builder, Context, Exit, Result, Task, done};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Tally {
    votes: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Vote {
    choice: String,
}

fn work(cx: &ExecutionContext<Tally>) -> Result<()> {
    let mut satellite = Builder::new()
        .handler("vote", |task: Task<Vote>, cx: &Context| {
            let mut tally = cx.state::<Tally>()?;
            let votes = tally.votes.entry(task.payload.choice).or_default();
            *votes += 1;
            done(*votes)
        })
        .processor(cx)
        .build()?;
    satellite.run().map(|_| ())
}

fn main() -> Exit {
    App::new().run_fn(work)
}
