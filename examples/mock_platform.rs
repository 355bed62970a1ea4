//! A mock platform for a worker of your own: prints its settings, and gives it a task every
//! ten seconds.
//!
//! `cargo run --example mock_platform [TYPE [PAYLOAD]]`: by default `deploy` tasks for a
//! deployment that exists.

use std::error::Error;
use std::time::Duration;

use satellite_sdk::testing::{MockPlatform, mock_task};
use serde_json::{Value, json};

const PAUSE: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let task_type = arguments.next().unwrap_or_else(|| "deploy".to_owned());
    let payload: Option<Value> = match arguments.next() {
        Some(text) => Some(serde_json::from_str(&text)?),
        None => None,
    };

    let platform = MockPlatform::start();
    let deployment = platform.add_deployment(json!({ "name": "iris" }));
    let payload = payload.unwrap_or_else(|| json!({ "deployment_id": deployment }));
    println!("LUML_PLATFORM_URL={}", platform.url());
    println!("LUML_SATELLITE_TOKEN={}", platform.token());
    println!("Ctrl-C ends the platform.");

    for number in 1.. {
        let task = format!("task-{number}");
        platform.add_task(mock_task(&task, &task_type, payload.clone()));
        println!("{task}  {task_type}  {payload}");
        while !platform.wait_for(&task, "done", PAUSE) && platform.status(&task) != "failed" {}
        println!(
            "{task}  {}  {}",
            platform.status(&task),
            platform.result(&task)
        );
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
