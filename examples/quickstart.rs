//! A complete demo without an account or network access: a mock platform on
//! loopback, a worker, and seven tasks over real HTTP.
//!
//! `cargo run --example quickstart`

use std::error::Error;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use satellite_sdk::testing::{MockPlatform, mock_task};
use satellite_sdk::{Builder, Context, Later, Report, Task, done};
use serde::Deserialize;
use serde_json::{Value, json};

const TASKS: [(&str, &str, &str); 7] = [
    ("task-1", "add", r#"{"a": 19, "b": 23}"#),
    ("task-2", "greet", r#"{"name": "Ada"}"#),
    ("task-3", "warm_up", r#"{"model": "iris"}"#),
    ("task-4", "add", r#"{"a": 1, "b": "two"}"#),
    ("task-5", "divide", r#"{"by": 0}"#),
    ("task-6", "index", r#"{"at": 9}"#),
    ("task-7", "teleport", r#"{"to": "Mars"}"#),
];

#[derive(Deserialize)]
struct Add {
    a: i64,
    b: i64,
}

/// The satellite. The rest of this file only displays what it does.
fn satellite(platform: &MockPlatform) -> Builder {
    let warming: Arc<Mutex<Vec<Later>>> = Arc::default();
    let started = Arc::clone(&warming);
    platform
        .worker()
        .health(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
        .handler("add", |task: Task<Add>| {
            done(json!({ "sum": task.payload.a + task.payload.b }))
        })
        .handler("greet", |task: Task| {
            done(format!("Hello, {}", task.payload["name"]))
        })
        .handler("divide", |task: Task| {
            let by = task.payload["by"].as_i64().ok_or("by is not a number")?;
            1_i64.checked_div(by).ok_or("division by zero")
        })
        .handler("index", |task: Task| {
            let at = task.payload["at"].as_u64().unwrap_or(0);
            done([1, 2, 3][at as usize])
        })
        // Deferred: periodic work completes it while other tasks run.
        .handler("warm_up", move |_: Task, cx: &Context| {
            if let (Some(later), Ok(mut warming)) = (cx.later(), started.lock()) {
                warming.push(later);
            }
            done(())
        })
        .every(Duration::from_millis(100), move |_: &Context| {
            let mut warming = warming.lock().map_err(|e| e.to_string())?;
            warming.drain(..).for_each(|later| later.done("warm"));
            Ok::<_, String>(())
        })
}

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    // One task panics on purpose; the table shows it.
    std::panic::set_hook(Box::new(|_| {}));

    let platform = MockPlatform::start();
    for (id, task_type, payload) in TASKS {
        platform.add_task(mock_task(id, task_type, serde_json::from_str(payload)?));
    }
    println!(
        "a platform at {}, {} tasks waiting",
        platform.url(),
        TASKS.len()
    );

    let (seen, reported) = channel();
    let mut satellite = satellite(&platform)
        .on_report(move |report: &Report| _ = seen.send(report.clone()))
        .build()?;
    let health = satellite.health_address().ok_or("no health server")?;
    let stop = satellite.stop_handle();
    let worker = thread::spawn(move || satellite.run());

    let mut reports: Vec<Report> = Vec::new();
    while reports.len() < TASKS.len() {
        reports.push(reported.recv_timeout(Duration::from_secs(10))?);
    }
    for path in ["/healthz", "/readyz"] {
        println!("{path}: {}", get(health, path)?);
    }
    stop.stop();
    worker.join().map_err(|_| "the worker panicked")??;

    print_table(&platform, &reports);
    let count = |status: &str| {
        TASKS
            .iter()
            .filter(|t| platform.status(t.0) == status)
            .count()
    };
    let (done, failed) = (count("done"), count("failed"));
    let left = TASKS.len() - done - failed;
    println!(
        "{} tasks: {done} done, {failed} failed, {left} left",
        TASKS.len()
    );
    Ok(())
}

fn print_table(platform: &MockPlatform, reports: &[Report]) {
    println!();
    println!(
        "{:<7} {:<9} {:<8} {:>6}  result or reason",
        "task", "type", "outcome", "ms"
    );
    for (id, task_type, _) in TASKS {
        let report = reports.iter().find(|r| r.task_id == id);
        let ms = report.map_or(0.0, |r| r.elapsed.as_secs_f64() * 1e3);
        let outcome = platform.status(id);
        let summary = summary(&platform.result(id));
        println!("{id:<7} {task_type:<9} {outcome:<8} {ms:>6.1}  {summary}");
    }
    println!();
}

/// A one-line summary of a result.
fn summary(result: &Value) -> String {
    match (result["reason"].as_str(), result["error"].as_str()) {
        (Some(reason), Some(error)) if reason != error => format!("{reason}: {error}"),
        (Some(reason), _) => reason.to_owned(),
        _ => result.to_string(),
    }
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.lines().next().unwrap_or_default();
    let body = answer.lines().last().unwrap_or_default();
    Ok(format!("{status} {body}"))
}
