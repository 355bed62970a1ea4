//! nginx compared with the satellite: as a server with `serve`, and as a proxy with keep-alive
//! connections with the gateway. wrk generates the load.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::host::{Host, KEY, Result};

const CONNECTIONS: [usize; 3] = [1, 16, 60];

/// Clock ticks per second of `/proc/PID/stat`, the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// A server under load, and the processes whose CPU time is counted.
struct Peer {
    name: &'static str,
    url: String,
    is_post: bool,
    processes: Vec<u32>,
}

/// The results of one round of wrk.
struct Round {
    cpu_us: f64,
    p50_us: f64,
    p99_us: f64,
    per_second: f64,
}

struct Nginx {
    process: Child,
    folder: PathBuf,
}

/// Prints the table. The peers take turns in each round.
pub fn compare(host: &Host, is_quick: bool) -> Result<()> {
    let (rounds, seconds) = if is_quick { (3, 1) } else { (5, 3) };
    let nginx = Nginx::start(&host.model)?;
    let workers = nginx.workers()?;
    let script = nginx.folder.join("post.lua");
    let ours = vec![host.pid()];
    let peer = |name, url, is_post, processes: &Vec<u32>| Peer {
        name,
        url,
        is_post,
        processes: processes.clone(),
    };
    let pairs = [
        [
            peer(
                "nginx, return 200",
                "http://127.0.0.1:18431/".into(),
                false,
                &workers,
            ),
            peer(
                "serve",
                format!("http://{}/healthz", host.gateway),
                false,
                &ours,
            ),
        ],
        [
            peer(
                "nginx, proxy_pass",
                "http://127.0.0.1:18432/compute".into(),
                true,
                &workers,
            ),
            peer(
                "gateway",
                format!("http://{}{}", host.gateway, host.compute_path()),
                true,
                &ours,
            ),
        ],
    ];
    println!(
        "\n## Compared with nginx\n\nCPU per request: the median of {rounds} rounds of {seconds} s, user and \
         system, of the server alone. Latencies: the best round. ×: ratio to nginx.\n"
    );
    println!("| server | connections | CPU per request, µs | p50, µs | p99, µs | requests/s |");
    println!("|---|---:|---:|---:|---:|---:|");
    for pair in &pairs {
        for connections in CONNECTIONS {
            let mut results: [Vec<Round>; 2] = [Vec::new(), Vec::new()];
            for _ in 0..rounds {
                for (peer, rounds) in pair.iter().zip(&mut results) {
                    rounds.push(peer.round(connections, seconds, &script)?);
                }
            }
            let [base, own] = results.each_ref().map(|rounds| best(rounds));
            print_row(pair[0].name, connections, &base, &base);
            print_row(pair[1].name, connections, &own, &base);
        }
    }
    Ok(())
}

fn best(rounds: &[Round]) -> Round {
    let sorted = |of: fn(&Round) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    Round {
        cpu_us: sorted(|round| round.cpu_us)[rounds.len() / 2],
        p50_us: sorted(|round| round.p50_us)[0],
        p99_us: sorted(|round| round.p99_us)[0],
        per_second: *sorted(|round| round.per_second).last().unwrap_or(&0.0),
    }
}

fn print_row(name: &str, connections: usize, row: &Round, base: &Round) {
    let is_base = std::ptr::eq(row, base);
    let over = |value: f64, base: f64| match is_base {
        true => format!("{value:.1}"),
        false => format!("{value:.1} (×{:.2})", value / base),
    };
    println!(
        "| {name} | {connections} | {} | {} | {} | {:.0} |",
        over(row.cpu_us, base.cpu_us),
        over(row.p50_us, base.p50_us),
        over(row.p99_us, base.p99_us),
        row.per_second,
    );
}

impl Peer {
    fn round(&self, connections: usize, seconds: u64, script: &PathBuf) -> Result<Round> {
        let mut wrk = Command::new("wrk");
        wrk.args(["--threads", "1", "--latency", "--connections"])
            .arg(connections.to_string())
            .args(["--duration", &format!("{seconds}s")]);
        if self.is_post {
            wrk.arg("--script").arg(script);
        }
        let before = self.cpu()?;
        let output = wrk.arg(&self.url).output()?;
        let used = self.cpu()? - before;
        let text = String::from_utf8_lossy(&output.stdout);
        if text.contains("Non-2xx") {
            // Caused by the model's connection limit: report it and continue.
            eprintln!(
                "{}: {}",
                self.name,
                text.lines().find(|l| l.contains("Non-2xx")).unwrap_or("")
            );
        }
        let line = |what: &str| text.lines().map(str::trim).find(|line| line.contains(what));
        let requests = line(" requests in ").and_then(|line| line.split(' ').next());
        let requests: f64 = requests
            .ok_or_else(|| format!("wrk printed: {text}"))?
            .parse()?;
        let latency = |share: &str| {
            let found = text
                .lines()
                .map(str::trim)
                .find_map(|line| line.strip_prefix(share));
            found
                .and_then(|time| micros(time.trim()))
                .ok_or_else(|| format!("wrk printed: {text}"))
        };
        Ok(Round {
            cpu_us: used * 1e6 / requests,
            p50_us: latency("50%")?,
            p99_us: latency("99%")?,
            per_second: requests / seconds as f64,
        })
    }

    /// In seconds, ended threads included.
    fn cpu(&self) -> Result<f64> {
        let mut ticks = 0;
        for process in &self.processes {
            let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
            let fields = stat.rsplit_once(')').ok_or("no stat")?.1;
            let fields: Vec<&str> = fields.split_whitespace().collect();
            ticks += fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        }
        Ok(ticks as f64 / TICKS_PER_SECOND)
    }
}

/// `1.23ms`, as wrk prints it.
fn micros(time: &str) -> Option<f64> {
    for (unit, micros) in [("us", 1.0), ("ms", 1e3), ("s", 1e6)] {
        if let Some(number) = time.strip_suffix(unit) {
            return number.parse::<f64>().ok().map(|number| number * micros);
        }
    }
    None
}

impl Nginx {
    fn start(model: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("bench-nginx-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let place = folder.display();
        let config = format!(
            r#"daemon off;
worker_processes auto;
pid {place}/pid;
error_log {place}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    upstream model {{ server {model}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:18431;
        location / {{ default_type application/json; return 200 '{{"status":"healthy"}}'; }}
    }}
    server {{
        listen 127.0.0.1:18432;
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"#
        );
        fs::write(folder.join("nginx.conf"), config)?;
        let script = format!(
            "wrk.method = 'POST'\nwrk.body = '{{\"inputs\": {{\"x\": [1, 2, 3]}}}}'\n\
             wrk.headers['Content-Type'] = 'application/json'\n\
             wrk.headers['Authorization'] = 'Bearer {KEY}'\n"
        );
        fs::write(folder.join("post.lua"), script)?;
        let process = Command::new("nginx")
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Nginx { process, folder })
    }

    fn workers(&self) -> Result<Vec<u32>> {
        let begun = Instant::now();
        let children = format!("/proc/{0}/task/{0}/children", self.process.id());
        while begun.elapsed() < Duration::from_secs(10) {
            let text = fs::read_to_string(&children)?;
            let workers: Vec<u32> = text.split_whitespace().flat_map(str::parse).collect();
            if !workers.is_empty() && std::net::TcpStream::connect("127.0.0.1:18432").is_ok() {
                return Ok(workers);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err("nginx did not start".into())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that its workers exit with it.
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
