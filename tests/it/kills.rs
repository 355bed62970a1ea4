//! Kills a real process with SIGKILL at every step of a task, then starts a new one.
//!
//! `SATELLITE_KILLS=1000 cargo test --release --test it kills -- --nocapture` is the
//! long run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::extras::{TempDirectory, temp_directory};
use satellite_sdk::testing::{Fault, MockPlatform, RecordedRequest, mock_task};
use serde_json::json;

use crate::child::{self, Satellite};

const TASKS: [&str; 3] = ["t1", "t2", "t3"];
const ORPHANS: [&str; 3] = ["Leave", "Fail", "Rerun"];
const TIMEOUT: Duration = Duration::from_secs(20);

/// How long the platform delays a request or its response at most: until the process is dead.
const HELD: Duration = TIMEOUT;

#[derive(Clone, Copy)]
enum Kill {
    /// When the worker reaches this kill point for the nth time.
    Step(&'static str, u32),
    InHandler,
    /// While the platform handles the nth status update, before or after applying it.
    AtThePlatform(u32, When),
    /// Up to this many milliseconds after the start.
    After(u64),
    /// While a stop delivers the last results.
    InDrain,
}

#[derive(Clone, Copy, PartialEq)]
enum When {
    BeforeApplying,
    AfterApplying,
}

/// The kill points. `true`: the handler may have been running, so that
/// [`OnOrphan`](satellite_sdk::OnOrphan) decides what happens to the task.
const MATRIX: &[(&str, Kill, bool)] = {
    use Kill::{After, AtThePlatform, InDrain, InHandler, Step};
    use When::{AfterApplying, BeforeApplying};
    &[
        ("at the start", Step("start", 1), false),
        ("before the claim is written", Step("journal", 1), false),
        (
            "claim written, not synced",
            Step("journal written", 1),
            false,
        ),
        ("claim on the disk", Step("journal on the disk", 1), false),
        ("before the claim is sent", Step("claim", 1), false),
        (
            "claim received, not applied",
            AtThePlatform(1, BeforeApplying),
            false,
        ),
        (
            "claim applied, no response",
            AtThePlatform(1, AfterApplying),
            false,
        ),
        ("claim answered", Step("claim answered", 1), false),
        ("before the start is written", Step("journal", 2), false),
        (
            "start written, not synced",
            Step("journal written", 2),
            true,
        ),
        ("start on the disk", Step("journal on the disk", 2), true),
        ("before the handler", Step("handler", 1), true),
        ("in the handler", InHandler, true),
        ("handler returned", Step("handler returned", 1), true),
        ("before the result is written", Step("journal", 3), true),
        (
            "result written, not synced",
            Step("journal written", 3),
            false,
        ),
        ("result on the disk", Step("journal on the disk", 3), false),
        ("before the report is sent", Step("report", 1), false),
        (
            "report received, not applied",
            AtThePlatform(2, BeforeApplying),
            false,
        ),
        (
            "report applied, no response",
            AtThePlatform(2, AfterApplying),
            false,
        ),
        ("report answered", Step("report answered", 1), false),
        ("report recorded", Step("report recorded", 1), false),
        ("in the second task", Step("claim answered", 2), false),
        ("in a drain", InDrain, false),
        ("0 to 3 ms after the start", After(3), true),
        ("0 to 8 ms after the start", After(8), true),
    ]
};

#[test]
fn kills_lose_no_result_and_run_no_handler_twice() {
    let wanted = std::env::var("SATELLITE_KILLS").map_or(60, |n| n.parse::<u32>().unwrap());
    let mut rows: BTreeMap<usize, Row> = BTreeMap::new();
    for n in 0..wanted as usize {
        let (name, kill, may_leave) = MATRIX[n % MATRIX.len()];
        let on_orphan = ORPHANS[(n / MATRIX.len() + n % MATRIX.len()) % ORPHANS.len()];
        let scene = Scene::new(on_orphan);
        let killed = scene.kill(kill, n as u64);
        let ends = scene.recover();
        let context = format!("{name}, {on_orphan}, kill {n}: {ends:?}");
        let row = rows.entry(n % MATRIX.len()).or_default();
        row.kills += u32::from(killed);
        assert!(
            killed || matches!(kill, Kill::After(_)),
            "not killed: {context}"
        );
        for (task, end) in &ends {
            assert!(end.reports_agree, "{task}: {context}");
            let most = if on_orphan == "Rerun" && may_leave {
                2
            } else {
                1
            };
            assert!(end.runs <= most, "{task} ran too often: {context}");
            match end.status.as_str() {
                "done" => row.done += 1,
                "failed" if on_orphan == "Fail" && may_leave => row.failed += 1,
                "running" if on_orphan == "Leave" && may_leave => row.left += 1,
                _ => panic!("{task}: {context}"),
            }
            assert!(end.status != "done" || end.runs > 0, "{task}: {context}");
        }
        let unfinished = ends.values().filter(|end| end.status != "done").count();
        assert!(unfinished <= 1, "one task at a time: {context}");
    }
    println!("{}", table(&rows));
}

#[derive(Default)]
struct Row {
    kills: u32,
    done: u32,
    failed: u32,
    left: u32,
}

#[derive(Debug)]
struct End {
    status: String,
    runs: usize,
    reports_agree: bool,
}

/// A platform with tasks, and the folder of one satellite.
struct Scene {
    platform: MockPlatform,
    folder: TempDirectory,
    on_orphan: &'static str,
}

impl Scene {
    fn new(on_orphan: &'static str) -> Self {
        let platform = MockPlatform::start();
        for (n, id) in TASKS.iter().enumerate() {
            platform.add_task(mock_task(
                *id,
                "count",
                json!({ "n": n, "x": 0.1 + n as f64 }),
            ));
        }
        Scene {
            platform,
            folder: temp_directory().unwrap(),
            on_orphan,
        }
    }

    fn runs(&self) -> PathBuf {
        self.folder.path().join("runs")
    }

    fn command(&self) -> Command {
        let mut command = child::command(&self.platform);
        command
            .env("LUML_STATE_DIR", self.folder.path().join("state"))
            .env("LUML_HEALTH_ENABLED", "false")
            .env("LUML_POLL_INTERVAL_SEC", "0.02")
            .env("CHILD_RUNS", self.runs())
            .env("CHILD_ON_ORPHAN", self.on_orphan)
            .env("CHILD_UNTIL_IDLE", "1");
        command
    }

    /// Runs a process and kills it there. Returns false if it had already exited.
    fn kill(&self, kill: Kill, n: u64) -> bool {
        let mut command = self.command();
        match kill {
            Kill::Step(name, times) => {
                command.env("SATELLITE_KILL_AT", format!("{name}#{times}"));
            }
            Kill::InHandler => {
                command.env("CHILD_KILL_IN_HANDLER", "1");
            }
            Kill::AtThePlatform(nth, when) => {
                self.platform
                    .fault(Fault::Stall(Duration::ZERO))
                    .on("POST", "/status")
                    .times(nth - 1);
                let held = match when {
                    When::BeforeApplying => Fault::Stall(HELD),
                    When::AfterApplying => Fault::SlowAnswer(HELD),
                };
                self.platform.fault(held).on("POST", "/status");
            }
            Kill::InDrain => {
                command.env("CHILD_DRAIN_MS", "10000");
                command.env_remove("CHILD_UNTIL_IDLE");
            }
            Kill::After(_) => {}
        }
        let mut satellite = child::start(command);
        match kill {
            Kill::AtThePlatform(nth, _) => {
                let nth = nth as usize;
                self.wait_for("requests", || self.marks().len() >= nth);
                satellite.signal("KILL");
                // The platform applies its request after its death.
                self.platform.clear_faults();
                self.wait_for("a response", || self.marks()[nth - 1].status != 0);
            }
            Kill::After(most) => {
                // Wait until it has started, then kill it at any point.
                satellite.line("polls");
                thread::sleep(Duration::from_micros(n * 7919 % (most * 1000)));
                satellite.signal("KILL");
            }
            Kill::InDrain => self.stop_with_a_result_waiting(&mut satellite),
            Kill::Step(..) | Kill::InHandler => {}
        }
        satellite.end().0.signal() == Some(9)
    }

    fn stop_with_a_result_waiting(&self, satellite: &mut Satellite) {
        // All tasks are done.
        self.wait_for("all requests", || self.marks().len() >= 6);
        self.platform
            .fault(Fault::Stall(Duration::ZERO))
            .on("POST", "/status");
        let refuse = self.platform.fault(Fault::Status(503));
        refuse.on("POST", "/status").forever();
        self.platform
            .add_task(mock_task("t4", "count", json!({ "n": 4 })));
        satellite.line("will retry");
        satellite.signal("TERM");
        thread::sleep(Duration::from_millis(20));
        satellite.signal("KILL");
        self.platform.clear_faults();
    }

    /// The status updates so far.
    fn marks(&self) -> Vec<RecordedRequest> {
        let requests = self.platform.requests().into_iter();
        requests.filter(|r| r.method == "POST").collect()
    }

    fn wait_for(&self, what: &str, is_there: impl Fn() -> bool) {
        let started = Instant::now();
        while !is_there() {
            assert!(started.elapsed() < TIMEOUT, "{what}: {:?}", self.marks());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Runs a new process with the same folder until it is idle.
    fn recover(&self) -> BTreeMap<&'static str, End> {
        let mut satellite = child::start(self.command());
        let (status, _) = satellite.end();
        assert_eq!(status.code(), Some(0), "{:#?}", satellite.log);
        let runs = std::fs::read_to_string(self.runs()).unwrap_or_default();
        let all = TASKS.into_iter().chain(["t4"]);
        all.filter(|id| self.platform.task(id).is_some())
            .map(|id| {
                let mut reports = self.platform.results_reported(id);
                reports.retain(|result| !result.is_null()); // a claim has no result
                let end = End {
                    status: self.platform.status(id),
                    runs: runs.lines().filter(|line| *line == id).count(),
                    reports_agree: reports.windows(2).all(|pair| pair[0] == pair[1]),
                };
                (id, end)
            })
            .collect()
    }
}

fn table(rows: &BTreeMap<usize, Row>) -> String {
    let mut table =
        String::from("| killed | times | tasks done | failed | left |\n|---|--:|--:|--:|--:|\n");
    for (n, row) in rows {
        let name = MATRIX[*n].0;
        let Row {
            kills,
            done,
            failed,
            left,
        } = row;
        writeln!(table, "| {name} | {kills} | {done} | {failed} | {left} |").unwrap();
    }
    let kills: u32 = rows.values().map(|row| row.kills).sum();
    writeln!(
        table,
        "{kills} kills, no result lost, no handler run twice without OnOrphan::Rerun"
    )
    .unwrap();
    table
}
