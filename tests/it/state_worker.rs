//! A worker embedded in a processor, and the metrics of both.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use satellite_sdk::extras::temp_directory;
use satellite_sdk::state::{App, ExecutionContext, Outcome, Process, Processor};
use satellite_sdk::testing::{Fault, MockPlatform, mock_task};
use satellite_sdk::{Builder, Context, Task, done};
use serde_json::json;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Sums the payloads of its tasks.
struct Adding(Option<Builder>);

impl Processor for Adding {
    type State = u64;

    fn run(&mut self, cx: &ExecutionContext<u64>) -> Outcome {
        let builder = self.0.take().ok_or("it runs once")?;
        let mut satellite = builder
            .handler("add", |task: Task<u64>, cx: &Context| {
                let mut sum = cx.state::<u64>()?;
                *sum += task.payload;
                done(*sum)
            })
            .handler("mistake", |_: Task, cx: &Context| {
                done(cx.state::<String>()?.len())
            })
            .processor(cx)
            .build()?;
        satellite.run()?;
        Ok(())
    }
}

fn adding(folder: &Path, platform: &MockPlatform) -> Process<Adding> {
    App::new()
        .processor_id("adding")
        .folder(folder)
        .endpoints(([127, 0, 0, 1], 0).into())
        .no_signals()
        .build(Adding(Some(platform.worker())))
        .unwrap()
}

fn page(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_handler_uses_the_processors_state_which_survives_a_restart() {
    let folder = temp_directory().unwrap();
    let platform = MockPlatform::start();
    for (turn, sum) in [(1, 20), (2, 40)] {
        let process = adding(folder.path(), &platform);
        let (address, cx) = (process.address().unwrap(), process.context());
        let running = thread::spawn(move || process.run());
        for n in 0..2 {
            let id = format!("t-{turn}-{n}");
            platform.add_task(mock_task(&id, "add", json!(10)));
            assert!(platform.wait_for(&id, "done", TIMEOUT));
        }
        assert!(page(address, "/ready").starts_with("HTTP/1.1 200"));
        cx.stop();
        running.join().unwrap().unwrap();
        assert_eq!(*cx.state(), sum);
    }
}

#[cfg(unix)]
#[test]
fn a_worker_claims_no_task_while_its_processor_may_not_act() {
    use crate::fake_kubernetes::FakeKubernetes;
    use crate::relay::Relay;
    use satellite_sdk::state::ConfigMapStore;

    let (cluster, platform) = (FakeKubernetes::start(), MockPlatform::start());
    let relay = Relay::start(&cluster.address());
    let store = ConfigMapStore::new()
        .at(relay.url())
        .service_account(cluster.account())
        .lease_duration(Duration::from_secs(2));
    let process = App::new()
        .processor_id("adding")
        .store(store)
        .endpoints(([127, 0, 0, 1], 0).into())
        .no_signals()
        .build(Adding(Some(platform.worker())))
        .unwrap();
    let cx = process.context();
    let running = thread::spawn(move || process.run());
    platform.add_task(mock_task("before", "add", json!(1)));
    assert!(platform.wait_for("before", "done", TIMEOUT));
    relay.hang(true);
    let end = std::time::Instant::now() + TIMEOUT;
    while cx.may_act() {
        assert!(std::time::Instant::now() < end, "the lease does not lapse");
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(500)); // a poll in progress ends
    platform.add_task(mock_task("meanwhile", "add", json!(1)));
    assert!(!platform.wait_for("meanwhile", "done", Duration::from_secs(2)));
    relay.hang(false);
    assert!(platform.wait_for("meanwhile", "done", TIMEOUT));
    cx.stop();
    running.join().unwrap().unwrap();
    assert_eq!(*cx.state(), 2);
}

#[test]
fn a_wrong_state_type_fails_the_task_with_an_error() {
    let folder = temp_directory().unwrap();
    let platform = MockPlatform::start();
    let process = adding(folder.path(), &platform);
    let cx = process.context();
    let running = thread::spawn(move || process.run());
    platform.add_task(mock_task("t", "mistake", json!(null)));
    assert!(platform.wait_for("t", "failed", TIMEOUT));
    let text = platform.result("t").to_string();
    assert!(
        text.contains("not embedded in a processor with a state of type"),
        "{text}"
    );
    cx.stop();
    running.join().unwrap().unwrap();
}

#[test]
fn the_metrics_include_polls_tasks_durations_and_backoff() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("good", "echo", json!(1)));
    platform.add_task(mock_task("bad", "unknown", json!(1)));
    let mut satellite = platform
        .worker()
        .health([127, 0, 0, 1].into(), 0)
        .handler("echo", |task: Task| done(task.payload))
        .build()
        .unwrap();
    let address = satellite.health_address().unwrap();
    satellite.run_until_idle().unwrap();
    let text = page(address, "/metrics");
    for line in [
        "satellite_tasks_total{outcome=\"done\"} 1",
        "satellite_tasks_total{outcome=\"failed\"} 1",
        "satellite_task_duration_seconds_count 2",
        "satellite_poll_backoff_seconds 0",
        "satellite_reports_waiting 0",
        "satellite_journal_failures_total 0",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    assert!(
        text.contains("content-type: text/plain; version=0.0.4"),
        "{text}"
    );

    platform.fault(Fault::Status(503)).times(2);
    satellite.run_until_idle().unwrap();
    let text = page(address, "/metrics");
    assert!(
        text.contains("satellite_polls_total{outcome=\"failed\"} 2"),
        "{text}"
    );
}
