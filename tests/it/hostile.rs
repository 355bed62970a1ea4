//! A worker with few descriptors and a thousand hostile connections to its health port:
//! it keeps polling, and still answers valid requests.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use satellite_sdk::testing::MockPlatform;

use crate::child::{self, ProcessStats, Satellite};

const CONNECTIONS: usize = 1_000;
const DESCRIPTORS: usize = 64;
const WHILE_HELD: Duration = Duration::from_secs(1);
const AFTER_RELEASE: Duration = Duration::from_secs(5);

#[test]
fn a_thousand_bad_connections_block_neither_polls_nor_healthz() {
    let platform = MockPlatform::start();
    let mut satellite = child::start(with_few_descriptors(&platform));
    let line = satellite.line("health: http://");
    let address = address_in(&line);
    answers_within(WHILE_HELD, address, "before").unwrap();
    wait_for_polls(&platform, 3);
    let before = ProcessStats::of(satellite.pid());

    let mut table = String::from("| connections | /healthz after | polls meanwhile | threads |\n");
    for attack in ATTACKS {
        let polls_before = polls(&platform);
        let started = Instant::now();
        let held: Vec<TcpStream> = (0..CONNECTIONS)
            .filter_map(|n| (attack.open)(address, n))
            .collect();
        if attack.name == DRIPPING {
            for _ in 0..10 {
                held.iter()
                    .for_each(|mut stream| drop(stream.write_all(b"a")));
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let held_for = answers_within(WHILE_HELD, address, attack.name).unwrap();
        wait_for_polls(&platform, 3);
        let threads = ProcessStats::of(satellite.pid()).threads;
        drop(held);
        let after = answers_within(AFTER_RELEASE, address, attack.name).unwrap();
        let polls = polls(&platform) - polls_before;
        let took = started.elapsed();
        writeln!(
            table,
            "| {} | {held_for:.0?} held, {after:.0?} after | {polls} in {took:.1?} | {threads} |",
            attack.name
        )
        .unwrap();
    }
    let after = settled(&satellite, &before);
    println!("{table}before: {before:?}\nafter: {after:?}");
    satellite.signal("TERM");
    assert_eq!(satellite.end().0.code(), Some(0));
    let log = satellite.log.join("\n");
    assert!(!log.contains("panicked"), "{log}");
}

const DRIPPING: &str = "dripping";

struct Attack {
    name: &'static str,
    open: fn(SocketAddr, usize) -> Option<TcpStream>,
}

const ATTACKS: &[Attack] = &[
    Attack {
        name: "silent",
        open: |address, _| connect(address),
    },
    Attack {
        name: "half a request",
        open: |address, _| sent(address, b"GET /healthz HTTP/1.1\r\nHost:"),
    },
    Attack {
        name: DRIPPING,
        open: |address, _| sent(address, b"GET /"),
    },
    Attack {
        name: "huge head",
        open: |address, _| {
            let mut stream = connect(address)?;
            let _ = stream.set_write_timeout(Some(Duration::from_millis(20)));
            let _ = write!(stream, "GET / HTTP/1.1\r\nX: {}", "x".repeat(1 << 20));
            Some(stream)
        },
    },
    Attack {
        name: "garbage",
        open: |address, n| {
            let noise: Vec<u8> = (0..512).map(|i| ((i * 31 + n * 17) % 256) as u8).collect();
            sent(address, &noise)
        },
    },
    Attack {
        name: "opened and dropped",
        open: |address, _| {
            drop(connect(address));
            None
        },
    },
    Attack {
        name: "requests without reading",
        open: |address, _| {
            let pipelined = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50);
            sent(address, pipelined.as_bytes())
        },
    },
];

fn connect(address: SocketAddr) -> Option<TcpStream> {
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()
}

fn sent(address: SocketAddr, bytes: &[u8]) -> Option<TcpStream> {
    let mut stream = connect(address)?;
    let _ = stream.write_all(bytes);
    Some(stream)
}

/// Probes until the status is 200. Returns how long that took.
fn answers_within(limit: Duration, address: SocketAddr, when: &str) -> Result<Duration, String> {
    let started = Instant::now();
    loop {
        if healthz(address).is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            return Ok(started.elapsed());
        }
        if started.elapsed() > limit {
            return Err(format!("{when}: no /healthz within {limit:?}"));
        }
    }
}

fn healthz(address: SocketAddr) -> Option<String> {
    let mut stream = connect(address)?;
    stream
        .set_read_timeout(Some(Duration::from_millis(500)))
        .ok()?;
    let ask = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(ask).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn wait_for_polls(platform: &MockPlatform, count: usize) {
    let (before, started) = (polls(platform), Instant::now());
    while polls(platform) < before + count {
        assert!(started.elapsed() < Duration::from_secs(15), "no more polls");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn polls(platform: &MockPlatform) -> usize {
    platform
        .requests()
        .iter()
        .filter(|r| r.method == "GET")
        .count()
}

fn with_few_descriptors(platform: &MockPlatform) -> Command {
    let plain = child::command(platform);
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("ulimit -n {DESCRIPTORS}; exec \"$0\" \"$@\""))
        .arg(plain.get_program())
        .args(plain.get_args())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn address_in(line: &str) -> SocketAddr {
    let rest = line.split("http://").nth(1).unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

/// Waits until threads and descriptors are back at their earlier numbers, and memory
/// nearly.
fn settled(satellite: &Satellite, before: &ProcessStats) -> ProcessStats {
    let started = Instant::now();
    loop {
        let now = ProcessStats::of(satellite.pid());
        let is_back = now.threads <= before.threads && now.descriptors <= before.descriptors;
        if is_back && now.resident_kb <= before.resident_kb + 4_096 {
            return now;
        }
        let waited = started.elapsed();
        assert!(waited < Duration::from_secs(15), "{before:?} to {now:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
