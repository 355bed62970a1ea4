//! Runs a real satellite in a child process: this test binary, started again.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use satellite_sdk::testing::MockPlatform;
use satellite_sdk::{Builder, Context, Exit, OnOrphan, OnStop, Task, TaskLog, Variables, done};

pub use crate::process::{Satellite, kill, start};

/// The main function of the child process; does nothing in a normal test run.
#[test]
fn process() {
    if std::env::var_os("SATELLITE_CHILD").is_none() {
        return;
    }
    let mut logger =
        env_logger::Builder::from_env(env_logger::Env::new().default_filter_or("info"));
    TaskLog::new(logger.build()).install(log::LevelFilter::Trace);
    let drain = std::env::var("CHILD_DRAIN_MS")
        .ok()
        .map(|ms| ms.parse().unwrap());
    let on_orphan = match std::env::var("CHILD_ON_ORPHAN").as_deref() {
        Ok("Fail") => OnOrphan::Fail,
        Ok("Rerun") => OnOrphan::Rerun,
        _ => OnOrphan::Leave,
    };
    let variables = Variables::from_env();
    if let Ok(name) = std::env::var("CHILD_OWN_SETTING") {
        variables.text(&name);
    }
    let builder = Builder::new()
        .variables(variables)
        .handler("count", |task: Task, _: &Context| {
            note_run(&task.id)?;
            if std::env::var_os("CHILD_KILL_IN_HANDLER").is_some() {
                kill(std::process::id(), "KILL");
            }
            done(task.payload)
        })
        .handler("echo", |task: Task, _: &Context| done(task.payload))
        .handler("sleep", |task: Task, _: &Context| {
            thread::sleep(Duration::from_millis(task.payload["ms"].as_u64().unwrap()));
            done("slept")
        })
        .handler("later", |task: Task, cx: &Context| {
            let later = cx.later().ok_or("no task")?;
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(task.payload["ms"].as_u64().unwrap()));
                later.done("at last");
            });
            done(())
        })
        .handler("spawn", |_: Task, _: &Context| {
            let mut child = Command::new("sleep").arg("1000").spawn()?;
            log::info!("child {}", child.id());
            child.wait().map(|status| status.code())
        })
        .on_stop(drain.map_or(OnStop::Now, |ms| OnStop::Drain(Duration::from_millis(ms))))
        .on_orphan(on_orphan);
    let exit: Exit = match std::env::var_os("CHILD_UNTIL_IDLE") {
        Some(_) => builder
            .build()
            .and_then(|mut satellite| satellite.run_until_idle())
            .into(),
        None => builder.run(),
    };
    std::process::exit(exit.code().into());
}

/// Appends the task's id to the file `CHILD_RUNS`, from which tests count the runs.
fn note_run(task_id: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let path = std::env::var("CHILD_RUNS").map_err(std::io::Error::other)?;
    let mut runs = options.append(true).create(true).open(path)?;
    runs.write_all(format!("{task_id}\n").as_bytes())
}

/// Starts a satellite that polls this platform.
pub fn satellite(platform: &MockPlatform) -> Satellite {
    start(command(platform))
}

pub fn command(platform: &MockPlatform) -> Command {
    let mut command = bare_command();
    command
        .env("LUML_PLATFORM_URL", platform.url())
        .env("LUML_SATELLITE_TOKEN", platform.token())
        .env("LUML_HEALTH_PORT", "0")
        .env("LUML_POLL_INTERVAL_SEC", "0.05");
    command
}

/// A satellite without any settings.
pub fn bare_command() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "child::process",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("SATELLITE_CHILD", "1")
        .env_remove("RUST_LOG")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Runs a test of this binary in a separate process. Returns true in that process,
/// and false in the calling one after it has passed.
pub fn alone(test: &str) -> bool {
    if std::env::var_os("SATELLITE_ALONE").is_some() {
        return true;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env("SATELLITE_ALONE", "1")
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    println!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"));
    false
}

/// The resources that a process uses.
#[derive(Debug, Clone, Copy)]
pub struct ProcessStats {
    pub threads: usize,
    pub descriptors: usize,
    pub resident_kb: usize,
}

impl ProcessStats {
    pub fn of(pid: u32) -> Self {
        let proc = format!("/proc/{pid}");
        let count = |what: &str| std::fs::read_dir(format!("{proc}/{what}")).unwrap().count();
        let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
        let resident = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
        ProcessStats {
            threads: count("task"),
            descriptors: count("fd"),
            resident_kb: resident.split_whitespace().nth(1).unwrap().parse().unwrap(),
        }
    }
}
