//! What monitoring costs: calls of two deployments of one satellite, which take turns. One of
//! them is monitored, with a reference profile. Needs no container engine.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::testing::{MockPlatform, mock_task};
use serde_json::json;

use super::client::{self, Client};
use super::host::{KEY, Result};

const ROUNDS: usize = 24;

/// Calls of a round. With fewer, bodies are summarised more often than under a steady load: the
/// rate of summaries has a burst of one second.
const CALLS: usize = 20_000;

/// Longer than the monitoring thread waits for a batch: its work is measured with the calls.
const SETTLE: Duration = Duration::from_millis(250);

struct Satellite(Child, std::path::PathBuf);

/// `satellite` is a program. The model is the tests' model server, beside this program.
pub fn compare(satellite: &str, is_quick: bool) -> Result<()> {
    let model = std::env::current_exe()?.with_file_name("model");
    let platform = MockPlatform::start();
    platform.add_inference_key(KEY);
    let id = |n: u32| format!("0198c0de-{:04x}-7000-8000-{n:012x}", std::process::id() & 0xffff);
    let profile = json!({
        "task_type": "regression",
        "feature_summaries": { "numerical_features": { "x": {
            "min": 0.0, "max": 10.0, "bin_edges": [0, 2, 4, 6, 8, 10],
            "probabilities": [0.2, 0.2, 0.2, 0.2, 0.2],
        } } },
        "output_summary": { "name": "y", "type": "numerical", "summary": {
            "bin_edges": [0, 5, 10, 15, 20], "probabilities": [0.25, 0.25, 0.25, 0.25],
        } },
    });
    for (n, is_monitored) in [(1, false), (2, true)] {
        let artifact = id(n + 10);
        platform.add_artifact(&artifact, json!({ "name": "line" }), "http://127.0.0.1:9/line");
        platform.add_deployment(json!({
            "id": id(n), "name": "line", "artifact_id": artifact,
            "satellite_parameters": { "monitoring_enabled": is_monitored },
            "env_variables": { "MODEL_REFERENCE_PROFILE": profile.to_string() },
        }));
        let payload = json!({ "deployment_id": id(n) });
        platform.add_task(mock_task(&format!("deploy-{n}"), "deploy", payload));
    }
    let folder = std::env::temp_dir().join(format!("luml-satellite-bench-{}", std::process::id()));
    let mut child = Command::new(satellite)
        .env("LUML_PLATFORM_URL", platform.url())
        .env("LUML_SATELLITE_TOKEN", platform.token())
        .env("LUML_ENGINE", "process")
        .env("LUML_MODEL_SERVER", model)
        .env("LUML_STATE_DIR", &folder)
        .env("LUML_HEALTH_PORT", "0")
        .env("LUML_GATEWAY_PORT", "0")
        .env("LUML_RECONCILE_INTERVAL_SEC", "3600")
        .env("RUST_LOG", "info")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let log = BufReader::new(child.stderr.take().ok_or("no log")?);
    let satellite = Satellite(child, folder);
    let mut lines = log.lines().map_while(std::result::Result::ok);
    let gateway = lines
        .find_map(|line| Some(line.split_once("gateway: http://")?.1.to_owned()))
        .ok_or("the satellite ended")?;
    let gateway = gateway.split('/').next().unwrap_or_default().to_owned();
    thread::spawn(move || lines.for_each(drop));
    for n in [1, 2] {
        let task = format!("deploy-{n}");
        if !platform.wait_for(&task, "done", Duration::from_secs(60)) {
            return Err(format!("{task}: {}", platform.result(&task)).into());
        }
    }
    println!("\n## Monitoring\n");
    println!("| connections | calls | monitored | CPU per call, µs | p50, µs | p99, µs |");
    println!("|---:|---:|---|---:|---:|---:|");
    let rounds = if is_quick { ROUNDS / 8 } else { ROUNDS };
    for connections in [1, 8] {
        let mut latencies = [(); 2].map(|()| Vec::with_capacity(rounds * CALLS));
        let mut cpu = [(); 2].map(|()| Vec::with_capacity(rounds));
        for round in 0..=rounds {
            for n in 0..2 {
                let path = format!("/deployments/{}/compute", id(n as u32 + 1));
                let (used, times) = satellite.measure(&gateway, &path, connections, CALLS)?;
                // The first round opens connections and caches the key.
                if round > 0 {
                    cpu[n].push(used.as_secs_f64() * 1e6 / times.len() as f64);
                    latencies[n].extend(times);
                }
            }
        }
        let mut added: Vec<f64> = cpu[0].iter().zip(&cpu[1]).map(|(off, on)| on / off).collect();
        added.sort_by(f64::total_cmp);
        for (n, times) in latencies.iter_mut().enumerate() {
            times.sort();
            let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64();
            println!(
                "| {connections} | {} | {} | {:.2} | {:.1} | {:.1} |",
                times.len(),
                if n == 0 { "no" } else { "yes" },
                cpu[n].iter().sum::<f64>() / rounds as f64,
                at(0.5) * 1e6,
                at(0.99) * 1e6,
            );
        }
        let percent = |share: usize| (added[(added.len() - 1) * share / 4] - 1.0) * 100.0;
        println!(
            "\nMonitoring adds {:.1} % of CPU: the median of {rounds} rounds; quartiles {:.1} and {:.1} %.\n",
            percent(2),
            percent(1),
            percent(3),
        );
    }
    Ok(())
}

impl Satellite {
    /// CPU and latencies of this many calls over these connections.
    fn measure(
        &self,
        gateway: &str,
        path: &str,
        connections: usize,
        calls: usize,
    ) -> Result<(Duration, Vec<Duration>)> {
        let body = br#"{"inputs": {"x": [1.5, 2.25, 9]}}"#;
        let request = client::request(path, Some(KEY), body);
        let mut clients = Vec::new();
        for _ in 0..connections {
            let mut client = Client::connect(gateway)?;
            client.call(&request)?;
            clients.push(client);
        }
        thread::sleep(SETTLE);
        let before = self.cpu();
        let request = &request;
        let times: Vec<Result<Vec<Duration>>> = thread::scope(|scope| {
            let threads: Vec<_> = clients
                .iter_mut()
                .map(|client| {
                    scope.spawn(move || {
                        let one = |_| {
                            let begun = Instant::now();
                            client.call(request)?;
                            Ok(begun.elapsed())
                        };
                        (0..calls / connections).map(one).collect()
                    })
                })
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined
                .map(|end| end.unwrap_or_else(|_| Err("a client panicked".into())))
                .collect()
        });
        thread::sleep(SETTLE);
        // Before the connections close: the CPU times of their threads end with them.
        let used = self.cpu().saturating_sub(before);
        let mut all = Vec::new();
        for times in times {
            all.extend(times?);
        }
        Ok((used, all))
    }

    /// CPU time of all threads so far, by the scheduler's clock.
    fn cpu(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0.id()));
        let used = threads.into_iter().flatten().flatten().filter_map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(used.sum())
    }
}

impl Drop for Satellite {
    fn drop(&mut self) {
        // SIGTERM, so that it ends its models.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
        let _ = fs::remove_dir_all(&self.1);
    }
}
