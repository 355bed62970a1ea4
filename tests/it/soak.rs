//! A soak test: a worker under random faults. No task is lost, none has two different
//! results, and the resource usage does not grow.
//!
//! `SATELLITE_SOAK_MINUTES=20 cargo test --test it soak:: -- --nocapture` is the long
//! run. `SATELLITE_SOAK_SEED` repeats a run with its printed seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::extras::{TempDirectory, temp_directory};
use satellite_sdk::testing::{Fault, ManualClock, MockPlatform, mock_task};
use satellite_sdk::{Context, Task, done};
use serde_json::{Value, json};

use crate::child::{self, ProcessStats, Satellite};

const MINUTE: Duration = Duration::from_secs(60);

/// Memory growth above this fails the test.
const SLACK_KB: usize = 1_024;

/// A pseudorandom generator, deterministic for each seed.
struct Random(u64);

impl Random {
    /// Seeded from the environment, or randomly. Prints the seed.
    fn seeded() -> Self {
        let seed = match std::env::var("SATELLITE_SOAK_SEED") {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => RandomState::new().hash_one(0) >> 32,
        };
        println!("SATELLITE_SOAK_SEED={seed}");
        Random(seed)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A fault, on any request or on those of one kind.
    fn fault(&mut self, platform: &MockPlatform) {
        let moment = Duration::from_millis(self.below(20));
        let fault = match self.below(12) {
            0 => Fault::Status(500),
            1 => Fault::Status(502),
            2 => Fault::Status(503),
            3 => Fault::RetryAfter {
                status: 429,
                seconds: 1,
            },
            4 => Fault::Reset,
            5 => Fault::Drop,
            6 => Fault::HalfBody,
            7 => Fault::NotJson,
            8 => Fault::Empty,
            9 => Fault::DoneButNoAnswer,
            10 => Fault::Redirect("http://elsewhere.example/".into()),
            _ if self.one_in(2) => Fault::Stall(moment),
            _ => Fault::SlowAnswer(moment),
        };
        let rule = platform.fault(fault).times(1 + self.below(3) as u32);
        match self.below(3) {
            0 => drop(rule.on("GET", "/tasks")),
            1 => drop(rule.on("POST", "/status")),
            _ => drop(rule),
        }
    }
}

#[test]
fn an_hour_of_faults_loses_no_task_and_leaks_nothing() {
    // In its own process, since its resources are measured.
    if child::alone("soak::an_hour_of_faults_loses_no_task_and_leaks_nothing") {
        hour();
    }
}

/// Runs an hour with a simulated clock, with faults until five minutes before its end.
fn hour() {
    const TASKS: u64 = 600;
    const KEPT: u64 = 200;
    let id = |n: u64| format!("t{}", n % KEPT);
    const HOUR: Duration = Duration::from_secs(3600);
    let mut random = Random::seeded();
    let (platform, clock) = (MockPlatform::start(), ManualClock::default());
    let runs: Arc<Mutex<BTreeMap<u64, u32>>> = Arc::default();
    let seen = Arc::clone(&runs);
    let builder = platform
        .worker()
        .clock(clock.clone())
        .poll_interval(Duration::from_secs(2))
        .handler("echo", move |task: Task, _: &Context| {
            let n = task.payload["n"].as_u64().unwrap();
            *seen.lock().unwrap().entry(n).or_default() += 1;
            done(task.payload)
        });
    let mut satellite = builder.build().unwrap();
    let stop = satellite.stop_handle();
    clock.at(HOUR, move || stop.stop());

    let at = |when: u64, event: Box<dyn Fn(&MockPlatform) + Send>| {
        let platform = platform.clone();
        clock.at(Duration::from_secs(when), move || event(&platform));
    };
    for n in 0..TASKS {
        let task = move |platform: &MockPlatform| {
            // The platform keeps only `KEPT` tasks.
            if let Some(earlier) = n.checked_sub(KEPT) {
                assert_ended_once(platform, &id(n), &json!({ "n": earlier }));
            }
            platform.add_task(mock_task(id(n), "echo", json!({ "n": n })));
        };
        at(n * 3_300 / TASKS + random.below(5), Box::new(task));
    }
    for _ in 0..120 {
        let seed = random.next();
        let fault = move |platform: &MockPlatform| Random(seed).fault(platform);
        at(random.below(3_300), Box::new(fault));
    }
    for _ in 0..10 {
        let away = random.below(3_200);
        at(away, Box::new(MockPlatform::pause));
        at(away + random.below(100), Box::new(MockPlatform::resume));
    }
    at(3_300, Box::new(MockPlatform::resume));
    let measured: Arc<Mutex<Vec<ProcessStats>>> = Arc::default();
    for minute in 0..60 {
        let measured = Arc::clone(&measured);
        let measure = move |platform: &MockPlatform| {
            platform.clear_faults(); // those that have not occurred
            platform.clear_requests();
            measured
                .lock()
                .unwrap()
                .push(ProcessStats::of(std::process::id()));
        };
        at(minute * 60, Box::new(measure));
    }

    let stopped = satellite.run().unwrap();
    assert_eq!((stopped.done, stopped.undelivered), (TASKS, 0));
    for n in TASKS - KEPT..TASKS {
        assert_ended_once(&platform, &id(n), &json!({ "n": n }));
    }
    let runs = runs.lock().unwrap();
    assert!(runs.len() == TASKS as usize && runs.values().all(|runs| *runs == 1));
    // After a third of the time, memory that is retained, such as the platform's tasks,
    // has reached its maximum.
    let measured = measured.lock().unwrap();
    println!(
        "{} waits, {:?} to {:?}",
        clock.waits().len(),
        measured[20],
        measured[59]
    );
    assert_flat(&measured[20..]);
}

/// Asserts that the task is done with this result, and that no other was ever reported.
fn assert_ended_once(platform: &MockPlatform, id: &str, expected: &Value) {
    let status = platform.status(id);
    assert_eq!(status, "done", "{id}: {:?}", platform.history(id));
    let mut reports = platform.results_reported(id);
    reports.retain(|result| !result.is_null()); // a claim has no result
    assert!(
        reports.iter().all(|report| report == expected),
        "{id}: {reports:?}"
    );
}

/// Asserts that the second half of the measurements is not higher than the first.
fn assert_flat(measured: &[ProcessStats]) {
    let (earlier, later) = measured.split_at(measured.len().div_ceil(2));
    let most = |stats: &[ProcessStats], of: fn(&ProcessStats) -> usize| stats.iter().map(of).max();
    let grew = |of| {
        most(later, of)
            .unwrap()
            .saturating_sub(most(earlier, of).unwrap())
    };
    let context = format!("{earlier:?}\nand later {later:?}");
    assert!(grew(|f| f.threads) <= 1, "{context}");
    assert!(grew(|f| f.descriptors) <= 2, "{context}");
    assert!(grew(|f| f.resident_kb) <= SLACK_KB, "{context}");
}

/// Tasks, faults, outages and hostile connections. In the first half the process is also
/// killed; the second half runs in a single process.
#[test]
fn a_worker_under_kills_outages_and_hostile_clients_completes_each_task_without_leaks() {
    let minutes = std::env::var("SATELLITE_SOAK_MINUTES").map_or(0.1, |m| m.parse().unwrap());
    let length = MINUTE.mul_f64(minutes);
    let mut soak = Soak::start(Random::seeded());
    println!(
        "| minute | tasks | done | kills | outages | hostile clients | age | resident | descriptors | threads |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let (started, row) = (Instant::now(), length.div_f64(minutes.max(4.0)));
    let mut measured = Vec::new();
    for n in 1..=minutes.max(4.0) as u32 {
        while started.elapsed() < row * n {
            soak.random_event(started.elapsed() < length / 2);
        }
        let stats = soak.measure();
        soak.print_row(started.elapsed(), &stats);
        // A new process still allocates what it needs.
        if soak.since.elapsed() > MINUTE {
            measured.push(stats);
        }
    }
    soak.end();
    if measured.len() > 1 {
        assert_flat(&measured);
    }
}

struct Soak {
    random: Random,
    platform: MockPlatform,
    folder: TempDirectory,
    satellite: Satellite,
    since: Instant,
    health: SocketAddr,
    /// Each task and its expected result.
    tasks: BTreeMap<String, Value>,
    hostile_clients: VecDeque<TcpStream>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    kills: usize,
    outages: usize,
    hostile_clients: usize,
}

impl Soak {
    fn start(random: Random) -> Self {
        let (platform, folder) = (MockPlatform::start(), temp_directory().unwrap());
        let (satellite, health) = start(&platform, &folder);
        Soak {
            random,
            platform,
            folder,
            satellite,
            since: Instant::now(),
            health,
            tasks: BTreeMap::new(),
            hostile_clients: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    fn random_event(&mut self, kills: bool) {
        match self.random.below(100) {
            0..40 => self.add_task(),
            40..44 => self.random.fault(&self.platform),
            60 => self.outage(),
            61 if kills => self.kill(),
            62..80 => self.connect_hostile_client(),
            80 => self.hostile_clients.clear(),
            _ => {}
        }
        thread::sleep(Duration::from_millis(self.random.below(60)));
    }

    fn add_task(&mut self) {
        let id = format!("t{}", self.tasks.len());
        let moment = json!({ "ms": self.random.below(100) });
        let (task_type, payload, result) = match self.random.below(4) {
            0 => ("sleep", moment, json!({ "result": "slept" })),
            1 => ("later", moment, json!({ "result": "at last" })),
            2 => ("echo", json!({ "id": id }), json!({ "id": id })),
            _ => ("count", json!({ "id": id }), json!({ "id": id })),
        };
        self.platform
            .add_task(mock_task(id.as_str(), task_type, payload));
        self.tasks.insert(id, result);
    }

    fn outage(&mut self) {
        self.platform.pause();
        thread::sleep(Duration::from_millis(self.random.below(1_000)));
        self.platform.resume();
        self.counts.outages += 1;
    }

    fn kill(&mut self) {
        self.satellite.signal("KILL");
        self.satellite.end();
        (self.satellite, self.health) = start(&self.platform, &self.folder);
        self.since = Instant::now();
        self.counts.kills += 1;
    }

    /// Opens a connection that stays open until newer ones replace it, or all are closed.
    fn connect_hostile_client(&mut self) {
        let Ok(mut stream) = TcpStream::connect(self.health) else {
            return;
        };
        let noise: Vec<u8> = (0..64).map(|_| self.random.next() as u8).collect();
        let request: &[u8] = match self.random.below(4) {
            0 => b"",
            1 => b"GET /healthz HTTP/1.1\r\nHost:",
            2 => b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n",
            _ => &noise,
        };
        let _ = stream.write_all(request);
        self.hostile_clients.push_back(stream);
        if self.hostile_clients.len() > 100 {
            self.hostile_clients.pop_front();
        }
        self.counts.hostile_clients += 1;
    }

    /// The lowest resource usage during half a second without hostile clients.
    fn measure(&mut self) -> ProcessStats {
        self.hostile_clients.clear();
        let looks = (0..20).map(|_| {
            thread::sleep(Duration::from_millis(25));
            ProcessStats::of(self.satellite.pid())
        });
        let least = looks.min_by_key(|f| (f.threads, f.descriptors, f.resident_kb));
        self.platform.clear_requests();
        least.unwrap()
    }

    fn print_row(&self, after: Duration, stats: &ProcessStats) {
        let done = |id: &&String| self.platform.status(id) == "done";
        println!(
            "| {:.1} | {} | {} | {} | {} | {} | {:.0?} | {} KiB | {} | {} |",
            after.as_secs_f64() / 60.0,
            self.tasks.len(),
            self.tasks.keys().filter(done).count(),
            self.counts.kills,
            self.counts.outages,
            self.counts.hostile_clients,
            self.since.elapsed(),
            stats.resident_kb,
            stats.descriptors,
            stats.threads,
        );
    }

    /// Ends the faults, then asserts that every task completes once and that the worker
    /// stops.
    fn end(&mut self) {
        self.platform.clear_faults();
        let deadline = Instant::now() + Duration::from_secs(30);
        for (id, result) in &self.tasks {
            let left = deadline.saturating_duration_since(Instant::now());
            self.platform.wait_for(id, "done", left);
            assert_ended_once(&self.platform, id, result);
        }
        self.satellite.signal("TERM");
        assert_eq!(self.satellite.end().0.code(), Some(0));
        let log = self.satellite.log.join("\n");
        assert!(!log.contains("panicked"), "{log}");
        // After a kill, the running handler may run again.
        let runs = std::fs::read_to_string(self.folder.path().join("runs")).unwrap_or_default();
        let tasks = runs.lines().collect::<BTreeSet<_>>().len();
        let runs = runs.lines().count();
        println!("{tasks} tasks of type count, {runs} runs");
        assert!(runs <= tasks + self.counts.kills);
    }
}

fn start(platform: &MockPlatform, folder: &TempDirectory) -> (Satellite, SocketAddr) {
    let mut command = child::command(platform);
    command
        .env("LUML_STATE_DIR", folder.path().join("state"))
        .env("LUML_MAX_BACKOFF_SEC", "0.5")
        .env("CHILD_RUNS", folder.path().join("runs"))
        .env("CHILD_ON_ORPHAN", "Rerun");
    let mut satellite = child::start(command);
    let line = satellite.line("health: http://");
    let address = line.split("http://").nth(1).unwrap();
    let address = address.split('/').next().unwrap().parse().unwrap();
    (satellite, address)
}
