//! Monitoring with a real satellite and a real model server: the store and its damage, the
//! commands, metrics and telemetry.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use satellite_sdk::serve::{Limits, Response, Server};
use serde_json::{Value, json};

use crate::engine::PROCESS;
use crate::gateway::send;
use crate::host::{Host, KEY, Satellite, TIMEOUT, eventually};

/// Bins of the test model's input: half of the calls below 5, half above.
pub fn profile() -> String {
    json!({
        "task_type": "regression",
        "feature_summaries": { "numerical_features": { "x": {
            "position": 1, "min": 0.0, "max": 10.0,
            "bin_edges": [0.0, 5.0, 10.0], "probabilities": [0.5, 0.5],
        } } },
        "output_summary": { "name": "y", "type": "numerical", "summary": {
            "bin_edges": [1.0, 11.0, 21.0], "probabilities": [0.5, 0.5],
        } },
    })
    .to_string()
}

/// A host whose deployment is monitored, with short windows.
pub fn monitored_host() -> Host {
    Host::with(
        PROCESS,
        json!({
            "name": "line",
            "satellite_parameters": { "monitoring_enabled": true },
            "env_variables": { "MODEL_REFERENCE_PROFILE": profile() },
        }),
    )
}

pub fn command(host: &Host) -> Command {
    let mut command = host.command();
    command
        .env("LUML_MONITORING_INTERVAL_SEC", "0.2")
        .env("LUML_MONITORING_WINDOW_SEC", "2");
    command
}

/// One prediction for these inputs: its status.
pub fn predict(host: &Host, satellite: &Satellite, x: &str) -> u16 {
    let path = format!("/deployments/{}/compute", host.deployment);
    let body = format!("{{\"inputs\": {{\"x\": {x}}}}}");
    send(&satellite.gateway(), "POST", &path, Some(KEY), &body).0
}

fn deployed() -> (Host, Satellite) {
    let host = monitored_host();
    let task = host.deploy();
    let satellite = Satellite::start(command(&host));
    assert_eq!(host.wait_for_task(task), "done", "{}", satellite.log());
    (host, satellite)
}

fn satellite_command(host: &Host, satellite: Option<&Satellite>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_luml-satellite"));
    command.args(arguments).env("LUML_STATE_DIR", host.state());
    if let Some(satellite) = satellite {
        let health = satellite.health();
        command.env("LUML_HEALTH_PORT", health.rsplit(':').next().unwrap());
    }
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    let all = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(all).unwrap()
}

/// The stored reports.
fn reports(host: &Host) -> Vec<Value> {
    let output = satellite_command(host, None, &["stats", "--json"]);
    if !output.status.success() {
        return Vec::new(); // nothing is stored yet
    }
    let lines = String::from_utf8(output.stdout).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    let response = String::from_utf8(response).unwrap();
    let body = response.split_once("\r\n\r\n").unwrap().1.to_owned();
    (response[9..12].parse().unwrap(), body)
}

#[test]
fn drift_opens_an_alert_that_stats_and_top_show_and_that_can_be_acknowledged() {
    let (host, satellite) = deployed();
    for _ in 0..20 {
        assert_eq!(predict(&host, &satellite, "[9, 9.5, 8]"), 200);
    }
    let drift = format!("{} feature_drift:x", host.deployment);
    let status = || -> Value {
        let (status, body) = get(&satellite.health(), "/status.json");
        assert_eq!(status, 200);
        serde_json::from_str(&body).unwrap()
    };
    let state = |status: &Value| {
        let alerts = status["panel"]["alerts"].as_array().unwrap();
        let alert = alerts.iter().find(|alert| alert["id"] == drift.as_str());
        alert.map(|alert| alert["state"].as_str().unwrap().to_owned())
    };
    eventually("an alert", || state(&status()).as_deref() == Some("open"));
    let top = satellite_command(&host, Some(&satellite), &["top"]);
    let top = text(&top);
    assert!(
        top.contains("Input drift of x") && top.contains("critical") && !top.contains('\u{1b}'),
        "{top}"
    );
    eventually("stored reports", || {
        let reports = reports(&host);
        reports
            .iter()
            .any(|report| report["features"]["x"]["severity"] == "critical")
    });
    let shown = text(&satellite_command(&host, None, &["stats"]));
    assert!(
        shown.contains("feature_drift:x") && shown.contains(&host.deployment),
        "{shown}"
    );

    let acknowledged =
        satellite_command(&host, Some(&satellite), &["stats", "--acknowledge", &drift]);
    assert!(acknowledged.status.success(), "{}", text(&acknowledged));
    assert_eq!(state(&status()).as_deref(), Some("acknowledged"));
    let again = satellite_command(&host, Some(&satellite), &["stats", "--acknowledge", &drift]);
    assert!(!again.status.success());
    eventually("a resolved alert", || {
        predict(&host, &satellite, "[1, 2, 3, 7, 8, 9]");
        state(&status()).as_deref() == Some("resolved")
    });
}

#[test]
fn what_was_stored_survives_a_kill_at_any_moment() {
    let host = monitored_host();
    let task = host.deploy();
    let mut seen = Vec::new();
    for round in 0..8_u64 {
        let mut satellite = Satellite::start(command(&host));
        if round == 0 {
            assert_eq!(host.wait_for_task(task), "done", "{}", satellite.log());
        }
        eventually("a prediction", || {
            predict(&host, &satellite, "[1, 9]") == 200
        });
        eventually("a stored report", || {
            predict(&host, &satellite, "[1, 9]");
            reports(&host).len() > seen.len()
        });
        // At different moments of the interval, in which the store is written once.
        let busy = Duration::from_millis(37 * round % 200);
        thread::sleep(busy);
        satellite.kill();
        let stored = reports(&host);
        assert!(
            stored.len() > seen.len() && stored.starts_with(&seen),
            "round {round}: {stored:?} after {seen:?}"
        );
        assert!(
            stored
                .iter()
                .all(|report| report["requests"].as_u64() > Some(0))
        );
        seen = stored;
        assert!(
            !host.state().join("monitoring.damaged").exists(),
            "round {round}"
        );
    }
}

#[test]
fn the_page_shows_the_calls_of_the_previous_process() {
    let host = monitored_host();
    let task = host.deploy();
    let start = || {
        let mut command = command(&host);
        command.env("LUML_MONITORING_INTERVAL_SEC", "1");
        command.env("LUML_MONITORING_WINDOW_SEC", "60");
        Satellite::start(command)
    };
    let mut satellite = start();
    assert_eq!(host.wait_for_task(task), "done", "{}", satellite.log());
    predict(&host, &satellite, "[1, 9]");
    eventually("a stored report", || !reports(&host).is_empty());
    satellite.kill();
    let satellite = start();
    eventually("the earlier prediction", || {
        let (_, body) = get(&satellite.health(), "/status.json");
        let status: Value = serde_json::from_str(&body).unwrap();
        let deployment = &status["panel"]["deployments"][0];
        let requests = deployment["requests"].as_array();
        let earlier = requests.is_some_and(|all| all.iter().any(|n| n == 1));
        earlier && deployment["is_monitored"] == true
    });
}

#[test]
fn a_damaged_store_is_set_aside_and_the_satellite_runs_on() {
    let (host, mut satellite) = deployed();
    predict(&host, &satellite, "[1, 9]");
    eventually("a stored report", || !reports(&host).is_empty());
    satellite.kill();
    let path = host.state().join("monitoring.log");
    let length = fs::metadata(&path).unwrap().len() as usize;
    fs::write(&path, vec![0x5a; length]).unwrap();
    let satellite = Satellite::start(command(&host));
    satellite.wait_for_line("was copied to");
    eventually("a prediction", || {
        predict(&host, &satellite, "[1, 9]") == 200
    });
    eventually("a new report", || !reports(&host).is_empty());
    assert!(host.state().join("monitoring.damaged").exists());
}

#[test]
fn bodies_are_kept_only_if_the_operator_asks_for_samples() {
    let kept = |samples: &str| {
        let host = monitored_host();
        let task = host.deploy();
        let mut command = command(&host);
        command.env("LUML_MONITORING_SAMPLES", samples);
        let mut satellite = Satellite::start(command);
        assert_eq!(host.wait_for_task(task), "done");
        predict(&host, &satellite, "[7.7701, 9]");
        eventually("a stored report", || !reports(&host).is_empty());
        satellite.kill();
        let file = fs::read(host.state().join("monitoring.log")).unwrap();
        file.windows(7).any(|bytes| bytes == b"[7.7701")
    };
    assert!(!kept("0"), "never by default");
    assert!(kept("5"));
}

#[test]
fn metrics_are_clean_by_the_rules_of_prometheus() {
    let (host, satellite) = deployed();
    predict(&host, &satellite, "[1, 9]");
    predict(&host, &satellite, "\"wrong\"");
    let metrics = || get(&satellite.health(), "/metrics").1;
    eventually("a window", || {
        metrics().contains("satellite_feature_drift_psi{")
    });
    let metrics = metrics();
    for family in [
        "satellite_polls_total",
        "satellite_gateway_responses_total",
        "satellite_deployments",
        "satellite_inference_duration_seconds_bucket",
        "satellite_monitoring_store_bytes",
    ] {
        assert!(
            metrics.contains(family),
            "{family} is missing in\n{metrics}"
        );
    }
    let check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut check) = check else {
        return skipped("promtool");
    };
    check
        .stdin
        .take()
        .unwrap()
        .write_all(metrics.as_bytes())
        .unwrap();
    let output = check.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(text(&output), "", "promtool has nothing to say");
}

#[test]
fn a_real_prometheus_scrapes_the_metrics() {
    let (host, satellite) = deployed();
    predict(&host, &satellite, "[1, 9]");
    let folder = host.state().join("prometheus");
    fs::create_dir(&folder).unwrap();
    let config = format!(
        "scrape_configs: [{{job_name: satellite, scrape_interval: 1s, static_configs: [{{targets: ['{}']}}]}}]\n",
        satellite.health()
    );
    let file = folder.join("prometheus.yml");
    fs::write(&file, config).unwrap();
    // Not one that the system gives to others.
    let port = 20_000 + std::process::id() % 10_000;
    let started = Command::new("prometheus")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(started) = started else {
        return skipped("prometheus");
    };
    let _prometheus = Running(started);
    let query = "/api/v1/query?query=satellite_inference_requests_total";
    eventually("a series in Prometheus", || {
        let (_, body) = get_or_nothing(&format!("127.0.0.1:{port}"), query);
        body.contains(&host.deployment) && body.contains("\"outcome\":\"success\"")
    });
}

#[test]
fn spans_and_metrics_reach_a_collector_in_the_published_schema() {
    let received: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let log = Arc::clone(&received);
    let collector = Server::bind("127.0.0.1:0", Limits::default(), move |request| {
        let body = String::from_utf8(request.read_body().unwrap()).unwrap();
        log.lock().unwrap().push((request.path().to_owned(), body));
        Response::json(200, "{}")
    })
    .unwrap();
    let host = monitored_host();
    let task = host.deploy();
    let mut command = command(&host);
    command
        .env(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            format!("http://{}", collector.addr()),
        )
        .env("OTEL_METRIC_EXPORT_INTERVAL", "300")
        .env("OTEL_BSP_SCHEDULE_DELAY", "100");
    let satellite = Satellite::start(command);
    assert_eq!(host.wait_for_task(task), "done", "{}", satellite.log());
    predict(&host, &satellite, "[1, 9]");
    predict(&host, &satellite, "\"wrong\"");
    let has = |path: &str, text: &str| {
        let received = received.lock().unwrap();
        received
            .iter()
            .any(|(p, body)| p == path && body.contains(text))
    };
    eventually("spans", || has("/v1/traces", "inference.event_id"));
    eventually("metrics", || {
        has("/v1/metrics", "satellite_inference_duration_seconds")
    });
    drop(satellite);

    let folder = host.state().join("otlp");
    fs::create_dir(&folder).unwrap();
    for (n, (path, body)) in received.lock().unwrap().iter().enumerate() {
        let name = format!("{n}-{}.json", path.rsplit('/').next().unwrap());
        fs::write(folder.join(name), body).unwrap();
    }
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/otlp-schema.py");
    let python = std::env::var("SATELLITE_OTLP_PYTHON").unwrap_or("python3".into());
    let output = Command::new(python).arg(check).arg(&folder).output();
    match output {
        Ok(output) if output.status.code() == Some(69) => skipped("opentelemetry-proto"),
        Ok(output) => assert!(output.status.success(), "{}", text(&output)),
        Err(_) => skipped("python3"),
    }
}

/// A process that ends with the test.
pub struct Running(pub std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// With `SATELLITE_REQUIRE_TOOLS=1` a missing tool fails the test.
pub fn skipped(tool: &str) {
    let is_required = std::env::var_os("SATELLITE_REQUIRE_TOOLS").is_some();
    assert!(!is_required, "{tool} is not installed");
    eprintln!("SKIPPED: {tool} is not installed");
}

fn get_or_nothing(address: &str, path: &str) -> (u16, String) {
    let listens = std::net::TcpStream::connect(address).is_ok();
    if listens {
        get(address, path)
    } else {
        (0, String::new())
    }
}
