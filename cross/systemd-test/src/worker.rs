//! A satellite that runs scripts, with which a test inspects the sandbox from inside.

use std::process::Command;

use satellite_sdk::{Builder, Context, Exit, Failure, Task};
use serde_json::json;

fn main() -> Exit {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info"))
        .format_timestamp(None)
        .init();
    Builder::new().handler("sh", sh).run()
}

fn sh(task: Task, _: &Context) -> Result<serde_json::Value, Failure> {
    let script = task.payload["script"].as_str().unwrap_or_default();
    let output = Command::new("/bin/sh").args(["-c", script]).output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok(json!({ "output": String::from_utf8_lossy(&text).trim() }))
}
