//! On SIGTERM the running task has up to 30 seconds to finish. Its handler checks for
//! the stop between two steps, to finish sooner.

use std::time::Duration;

use satellite_sdk::{Builder, Context, Exit, OnStop, Task};

fn count(task: Task, cx: &Context) -> Result<u64, String> {
    let steps = task.payload["steps"].as_u64().unwrap_or(10);
    for step in 1..=steps {
        log::info!("step {step} of {steps}");
        if !cx.sleep(Duration::from_secs(1)) {
            return Err(format!("stopped after {step} of {steps} steps"));
        }
    }
    Ok(steps)
}

fn main() -> Exit {
    satellite_sdk::log_to_stderr();
    Builder::new()
        .handler("count", count)
        .on_stop(OnStop::Drain(Duration::from_secs(30)))
        .run()
}
