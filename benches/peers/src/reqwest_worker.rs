//! The worker on reqwest and tokio's single-threaded runtime: polls, claims, runs, reports, stops
//! on SIGTERM. No health endpoint, and no backoff except the interval.
//!
//! `reqwest-worker PLATFORM SECONDS`

use std::error::Error;
use std::time::Duration;

use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Deserialize)]
struct Task {
    id: String,
    #[serde(rename = "type")]
    task_type: String,
    payload: Value,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let platform = arguments.next().ok_or("no platform")?;
    let interval = Duration::from_secs_f64(arguments.next().ok_or("no interval")?.parse()?);
    let mut stop = signal(SignalKind::terminate())?;
    let client = Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .timeout(Duration::from_secs(30))
        .build()?;
    tokio::select! {
        _ = stop.recv() => Ok(()),
        () = work(&client, &platform, interval) => Ok(()),
    }
}

async fn work(client: &Client, platform: &str, interval: Duration) {
    loop {
        match turn(client, platform).await {
            Ok(true) => {}
            Ok(false) => tokio::time::sleep(interval).await,
            Err(error) => {
                eprintln!("{error}");
                tokio::time::sleep(interval).await;
            }
        }
    }
}

/// True if there was a task.
async fn turn(client: &Client, platform: &str) -> reqwest::Result<bool> {
    let url = format!("{platform}/satellites/v1/tasks?status=pending");
    let answer = client.get(url).bearer_auth("bench").send().await?;
    let tasks: Vec<Task> = answer.error_for_status()?.json().await?;
    let worked = !tasks.is_empty();
    for task in tasks {
        let url = format!("{platform}/satellites/v1/tasks/{}/status", task.id);
        mark(client, &url, &json!({ "status": "running" })).await?;
        let report = match task.task_type.as_str() {
            "echo" => json!({ "status": "done", "result": task.payload }),
            _ => json!({ "status": "failed", "result": { "reason": "unknown task type" } }),
        };
        mark(client, &url, &report).await?;
    }
    Ok(worked)
}

async fn mark(client: &Client, url: &str, body: &Value) -> reqwest::Result<()> {
    let answer = client.post(url).bearer_auth("bench").json(body).send();
    answer.await?.error_for_status()?.bytes().await?;
    Ok(())
}
