//! The Docker satellite's gateway compared with a direct call to the model server behind it.
//!
//! `gateway SATELLITE [--monitoring] [--quick]`: SATELLITE is the program; with `--monitoring`
//! only what monitoring costs. Starts a platform on loopback, the satellite as a process, a model
//! in a container, and nginx, and removes all of them at the end.
//! Exit code 69 without a container engine.

#[path = "gateway/client.rs"]
mod client;
#[path = "gateway/host.rs"]
mod host;
#[path = "gateway/monitoring.rs"]
mod monitoring;
#[path = "gateway/nginx.rs"]
mod nginx;

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use client::Client;
use host::{Host, KEY, Result};

/// No engine: `EX_UNAVAILABLE` of sysexits.h.
const UNAVAILABLE: u8 = 69;

/// How often the two routes take turns, so that changes of the machine's load affect both.
const ROUNDS: usize = 10;

/// The request that is sent, and how often in total.
struct Load {
    name: &'static str,
    body: Vec<u8>,
    connections: usize,
    calls: usize,
}

/// A direct call to the model, or one through the gateway.
struct Route<'a> {
    address: &'a str,
    path: String,
    key: Option<&'a str>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(satellite) = arguments.next() else {
        eprintln!("usage: gateway SATELLITE [--quick]");
        return ExitCode::from(64);
    };
    let mut arguments = arguments.peekable();
    if arguments.next_if_eq("--monitoring").is_some() {
        return end(monitoring::compare(&satellite, arguments.next().is_some()));
    }
    if !host::has_engine() {
        eprintln!("`docker info` fails: the gateway cannot be measured without a container engine");
        return ExitCode::from(UNAVAILABLE);
    }
    let share = match arguments.next().as_deref() {
        Some("--quick") => 5,
        _ => 1,
    };
    let measured = Host::start(&satellite).and_then(|host| {
        measure(&host, share)?;
        nginx::compare(&host, share > 1)
    });
    end(measured.and_then(|()| monitoring::compare(&satellite, share > 1)))
}

fn end(measured: Result<()>) -> ExitCode {
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(host: &Host, share: usize) -> Result<()> {
    let small = br#"{"inputs": {"x": [1, 2, 3]}}"#.to_vec();
    // The model ignores unknown fields: its own work stays small.
    let large = format!(
        r#"{{"inputs": {{"x": [1]}}, "ignored": "{}"}}"#,
        "a".repeat(1 << 20)
    );
    // The response is as long as the request, and all of it is the model's work.
    let both = format!(
        r#"{{"inputs": {{"x": [{}]}}}}"#,
        vec!["1.5"; 1 << 18].join(",")
    );
    let loads = [
        Load {
            name: "small body",
            body: small.clone(),
            connections: 1,
            calls: 2000 / share,
        },
        Load {
            name: "small body",
            body: small,
            connections: 8,
            calls: 4000 / share,
        },
        Load {
            name: "1 MB request",
            body: large.clone().into(),
            connections: 1,
            calls: 500 / share,
        },
        Load {
            name: "1 MB request",
            body: large.into(),
            connections: 8,
            calls: 800 / share,
        },
        Load {
            name: "1 MB both ways",
            body: both.into(),
            connections: 1,
            calls: 200 / share,
        },
    ];
    let direct = Route {
        address: &host.model,
        path: "/compute".into(),
        key: None,
    };
    let gateway = Route {
        address: &host.gateway,
        path: host.compute_path(),
        key: Some(KEY),
    };
    for route in [&direct, &gateway] {
        calls(route, &loads[0], 50)?; // warm-up: caches the key, opens connections
    }
    println!("Latency of a call on a keep-alive connection, ms; ×: ratio to the direct call.\n");
    println!(
        "| load | connections | calls | direct: median | p95 | gateway: median | p95 | added: median | p95 | satellite's CPU per call, µs |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for load in &loads {
        let (mut direct_times, mut gateway_times) = (Vec::new(), Vec::new());
        let mut cpu = Duration::ZERO;
        for _ in 0..ROUNDS {
            direct_times.extend(calls(&direct, load, load.calls / ROUNDS)?.0);
            let (times, used) = calls_with_cpu(&gateway, load, load.calls / ROUNDS, host)?;
            gateway_times.extend(times);
            cpu += used;
        }
        print_row(load, direct_times, gateway_times, cpu);
    }
    let (threads, resident) = host.size();
    println!("\nThe satellite afterwards: {threads} threads, {resident} kB resident.");
    Ok(())
}

/// Sends this many calls over the load's connections: the duration of each.
fn calls(route: &Route<'_>, load: &Load, count: usize) -> Result<(Vec<Duration>, Duration)> {
    run(route, load, count, || Ok(Duration::ZERO))
}

/// The same, with the satellite's CPU time for all of them.
fn calls_with_cpu(
    route: &Route<'_>,
    load: &Load,
    count: usize,
    host: &Host,
) -> Result<(Vec<Duration>, Duration)> {
    run(route, load, count, || host.cpu())
}

fn run(
    route: &Route<'_>,
    load: &Load,
    count: usize,
    clock: impl Fn() -> Result<Duration>,
) -> Result<(Vec<Duration>, Duration)> {
    let request = client::request(&route.path, route.key, &load.body);
    let mut clients = Vec::new();
    for _ in 0..load.connections {
        let mut client = Client::connect(route.address)?;
        client.call(&request)?; // also opens the connection behind it
        clients.push(client);
    }
    let before = clock()?;
    let request = &request;
    let each = (count / load.connections).max(1);
    let times: Vec<Result<Vec<Duration>>> = thread::scope(|scope| {
        let all: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                scope.spawn(move || {
                    let one = |_| {
                        let begun = Instant::now();
                        client.call(request)?;
                        Ok(begun.elapsed())
                    };
                    (0..each).map(one).collect()
                })
            })
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread
                .join()
                .unwrap_or_else(|_| Err("a client panicked".into()))
        };
        all.into_iter().map(join).collect()
    });
    // Before the connections close: the CPU times of their threads end with them.
    let used = clock()?.saturating_sub(before);
    let mut all = Vec::new();
    for times in times {
        all.extend(times?);
    }
    Ok((all, used))
}

fn print_row(load: &Load, mut direct: Vec<Duration>, mut gateway: Vec<Duration>, cpu: Duration) {
    direct.sort();
    gateway.sort();
    let at = |times: &[Duration], share: f64| {
        times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
    };
    let (d50, d95) = (at(&direct, 0.5), at(&direct, 0.95));
    let (g50, g95) = (at(&gateway, 0.5), at(&gateway, 0.95));
    println!(
        "| {} | {} | {} | {d50:.3} | {d95:.3} | {g50:.3} (×{:.2}) | {g95:.3} (×{:.2}) | {:.3} | {:.3} | {:.0} |",
        load.name,
        load.connections,
        gateway.len(),
        g50 / d50,
        g95 / d95,
        g50 - d50,
        g95 - d95,
        cpu.as_secs_f64() * 1e6 / gateway.len() as f64,
    );
}
