//! Commands on a cluster: their output, exit code and time limit.

use std::time::Duration;

use satellite_core::Variables;
use satellite_core::client::TimeLimits;
use satellite_serve::Response;
use satellite_skypilot::{Exec, SkyPilotClient};
use serde_json::{Value, json};

use crate::skypilot_server::Fake;

/// For what happens at once, on a busy machine too.
#[cfg(unix)]
const LONG: Duration = Duration::from_secs(60);

/// Runs the job locally and returns its log: each line after a coloured name.
#[cfg(unix)]
fn log_of(task: &str) -> String {
    let task: Value = serde_json::from_str(task).unwrap();
    let mut bash = std::process::Command::new("bash");
    bash.arg("-c").arg(task["run"].as_str().unwrap());
    for (name, value) in task["envs"].as_object().into_iter().flatten() {
        bash.env(name, value.as_str().unwrap());
    }
    let output = String::from_utf8(bash.output().unwrap().stdout).unwrap();
    let lines = output.lines();
    let lines = lines.map(|line| format!("\u{1b}[36m(exec, pid=7)\u{1b}[0m {line}\r\n"));
    let heartbeat = "<sky-payload type=\"h\">\"heartbeat\"</sky-payload>\n";
    std::iter::once(heartbeat.to_owned()).chain(lines).collect()
}

#[cfg(unix)]
#[test]
fn exec_returns_the_exit_code_and_both_streams() {
    let fake = std::sync::Arc::new(Fake::start());
    fake.returns("/exec", json!({ "job_id": 9, "handle": null }));
    let sent = std::sync::Arc::downgrade(&fake);
    let (tell, task) = std::sync::mpsc::channel::<String>();
    fake.streams(move || Response::text(200, log_of(&task.recv_timeout(LONG).unwrap())));
    let sky = fake.client();
    let run = std::thread::spawn(move || {
        let exec = Exec::new("c", "echo \"$WHO\"; echo no >&2; exit 3").env("WHO", "it's é");
        sky.exec(&exec.timeout(Duration::from_secs(20)))
    });
    let task = loop {
        let fake = sent.upgrade().unwrap();
        match fake.calls("POST /exec").first() {
            Some(call) => break call.body["task"].as_str().unwrap().to_owned(),
            None => std::thread::yield_now(),
        }
    };
    tell.send(task).unwrap();
    let output = run.join().unwrap().unwrap();
    assert_eq!(output.exit_code, 3);
    assert_eq!(
        (output.stdout.as_str(), output.stderr.as_str()),
        ("it's é\n", "no\n")
    );
    let log = &fake.calls("POST /logs")[0].body;
    assert_eq!(
        *log,
        json!({ "cluster_name": "c", "job_id": 9, "follow": true, "tail": 0 })
    );
}

#[test]
fn a_command_without_an_exit_code_is_an_error_with_the_status_of_its_job() {
    let fake = Fake::start();
    fake.returns("/exec", json!({ "job_id": 9 }));
    fake.returns("/job_status", json!({ "9": "FAILED_SETUP" }));
    fake.streams(|| Response::text(200, "no bash here\n"));
    let error = fake.client().exec(&Exec::new("c", "true")).unwrap_err();
    assert!(error.to_string().contains("job 9 on c"), "{error}");
    assert!(error.to_string().contains("FAILED_SETUP"), "{error}");
}

#[test]
fn work_that_exceeds_its_limit_may_still_be_running() {
    let fake = Fake::start();
    fake.ends("/stop", "SUCCEEDED", Value::Null, Value::Null, u64::MAX);
    let mut limits = TimeLimits::default();
    limits.work = Duration::from_secs(60);
    let sky = fake.builder().limits(limits).build().unwrap();
    let error = sky.stop("c").unwrap().wait().unwrap_err();
    assert!(error.is_timeout() && error.is_outcome_unknown(), "{error}");
    let polls = fake.calls("GET /api/status").len();
    assert!((12..60).contains(&polls), "{polls} polls in a minute");
}

#[cfg(unix)]
#[test]
fn a_command_that_exceeds_its_limit_may_still_be_running() {
    let fake = Fake::start();
    fake.returns("/exec", json!({ "job_id": 9 }));
    fake.streams(|| {
        // Endless heartbeats and nothing else.
        struct Heart;
        impl std::io::Read for Heart {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                std::thread::sleep(Duration::from_millis(50));
                let beat = b"<sky-payload>1</sky-payload>\n";
                buffer[..beat.len()].copy_from_slice(beat);
                Ok(beat.len())
            }
        }
        Response::new(200).reader(Heart, None)
    });
    let mut limits = TimeLimits::default();
    limits.work = Duration::from_millis(1500);
    // Uses the real clock: only reading takes time here.
    let sky = SkyPilotClient::builder()
        .variables(Variables::from_lookup(|_| None))
        .url(fake.url())
        .limits(limits);
    let sky = sky.build().unwrap();
    let error = sky.exec(&Exec::new("c", "sleep 1000")).unwrap_err();
    assert!(error.is_timeout() && error.is_outcome_unknown(), "{error}");
    assert!(
        !error.is_retryable(),
        "the command would run twice: {error}"
    );
    assert!(
        error.to_string().contains("may still be running"),
        "{error}"
    );
}
