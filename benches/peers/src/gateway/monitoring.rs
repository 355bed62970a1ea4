//! What monitoring costs: calls of two deployments of one satellite, which take turns every few
//! milliseconds, so that changes of the machine's speed affect both. One of them is monitored,
//! with a reference profile. Needs no container engine.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::testing::{MockPlatform, mock_task};
use serde_json::json;

use super::client::{self, Client};
use super::host::{KEY, Result};

/// Turns of each deployment, and its calls in a turn, by all connections together.
const TURNS: usize = 1500;
const CALLS: usize = 240;

/// Longer than the monitoring thread waits for a batch.
const SETTLE: Duration = Duration::from_millis(300);

struct Satellite(Child, std::path::PathBuf);

/// `satellite` is a program. The model is the tests' model server, beside this program.
pub fn compare(satellite: &str, is_quick: bool) -> Result<()> {
    let model = std::env::current_exe()?.with_file_name("model");
    let platform = MockPlatform::start();
    platform.add_inference_key(KEY);
    let id = |n: u32| {
        format!(
            "0198c0de-{:04x}-7000-8000-{n:012x}",
            std::process::id() & 0xffff
        )
    };
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
        platform.add_artifact(
            &artifact,
            json!({ "name": "line" }),
            "http://127.0.0.1:9/line",
        );
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
    let turns = if is_quick { TURNS / 10 } else { TURNS };
    let body = br#"{"inputs": {"x": [1.5, 2.25, 9]}}"#;
    let requests = [1, 2].map(|n| {
        let path = format!("/deployments/{}/compute", id(n));
        client::request(&path, Some(KEY), body)
    });
    for connections in [1, 8] {
        // Opens the model's connections and caches the key.
        satellite.measure(&gateway, &requests, connections, 10)?;
        let measured = satellite.measure(&gateway, &requests, connections, turns)?;
        let calls = (turns * CALLS) as f64;
        let cpu = measured
            .each_ref()
            .map(|(cpu, _)| cpu.as_secs_f64() * 1e6 / calls);
        for (n, (_, mut times)) in measured.into_iter().enumerate() {
            times.sort();
            let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64();
            println!(
                "| {connections} | {} | {} | {:.2} | {:.1} | {:.1} |",
                times.len(),
                if n == 0 { "no" } else { "yes" },
                cpu[n],
                at(0.5) * 1e6,
                at(0.99) * 1e6,
            );
        }
        println!(
            "\nMonitoring adds {:.1} % of CPU.\n",
            (cpu[1] / cpu[0] - 1.0) * 100.0
        );
    }
    Ok(())
}

/// CPU, and the latencies of all calls.
type Measured = (Duration, Vec<Duration>);

impl Satellite {
    /// Calls of the two deployments in turns. The threads of monitoring count for the second.
    fn measure(
        &self,
        gateway: &str,
        requests: &[Vec<u8>; 2],
        connections: usize,
        turns: usize,
    ) -> Result<[Measured; 2]> {
        let barrier = Barrier::new(connections + 1);
        let mut cpu = [Duration::ZERO; 2];
        thread::sleep(SETTLE);
        let (_, monitoring) = self.cpu();
        let clients = (0..connections).map(|_| Client::connect(gateway));
        let clients = clients.collect::<Result<Vec<_>>>()?;
        let times = thread::scope(|scope| {
            let call_in_turns = |mut client: Client| {
                let mut times = [Vec::new(), Vec::new()];
                let mut failed = None;
                for turn in 0..2 * turns {
                    barrier.wait();
                    for _ in 0..CALLS / connections {
                        let begun = Instant::now();
                        if let Err(error) = client.call(&requests[turn % 2]) {
                            failed = failed.or(Some(error.to_string()));
                        }
                        times[turn % 2].push(begun.elapsed());
                    }
                    barrier.wait();
                }
                (times, failed)
            };
            let threads: Vec<_> = clients
                .into_iter()
                .map(|client| scope.spawn(move || call_in_turns(client)))
                .collect();
            for turn in 0..2 * turns {
                let (before, _) = self.cpu();
                barrier.wait();
                barrier.wait();
                cpu[turn % 2] += self.cpu().0.saturating_sub(before);
            }
            let mut all = [Vec::new(), Vec::new()];
            for thread in threads {
                let (times, failed) = thread.join().map_err(|_| "a client panicked")?;
                if let Some(error) = failed {
                    return Err(error.into());
                }
                all.iter_mut()
                    .zip(times)
                    .for_each(|(all, times)| all.extend(times));
            }
            Result::Ok(all)
        })?;
        thread::sleep(SETTLE);
        cpu[1] += self.cpu().1.saturating_sub(monitoring);
        let [off, on] = times;
        Ok([(cpu[0], off), (cpu[1], on)])
    }

    /// CPU time so far by the scheduler's clock: of all threads but those of monitoring, and of
    /// those.
    fn cpu(&self) -> (Duration, Duration) {
        let mut sums = [0, 0];
        let threads = fs::read_dir(format!("/proc/{}/task", self.0.id()));
        for thread in threads.into_iter().flatten().flatten() {
            let read =
                |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
            let used = read("schedstat")
                .split(' ')
                .next()
                .and_then(|n| n.parse::<u64>().ok());
            sums[usize::from(read("comm").starts_with("monitoring"))] += used.unwrap_or_default();
        }
        (Duration::from_nanos(sums[0]), Duration::from_nanos(sums[1]))
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
