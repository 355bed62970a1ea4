//! A typed payload is validated before the handler runs. If it does not match, the
//! task fails with the reason and the path inside its payload.

use satellite_sdk::{Builder, Context, Exit, Task};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Batch {
    rows: Vec<Row>,
    #[serde(default = "one")]
    scale: f64,
}

#[derive(Deserialize)]
struct Row {
    x: f64,
}

#[derive(Serialize)]
struct Sum {
    rows: usize,
    sum: f64,
}

fn sum(task: Task<Batch>, _: &Context) -> Result<Sum, String> {
    let Batch { rows, scale } = task.payload;
    if rows.is_empty() {
        return Err("the batch has no rows".into());
    }
    Ok(Sum {
        rows: rows.len(),
        sum: scale * rows.iter().map(|row| row.x).sum::<f64>(),
    })
}

fn one() -> f64 {
    1.0
}

fn main() -> Exit {
    satellite_sdk::log_to_stderr();
    Builder::new().handler("batch_inference", sum).run()
}
