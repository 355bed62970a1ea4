//! The sidecar as the parent of an application, and beside one.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use satellite_serve::{Limits, Response, Server};

use crate::process::Satellite;
use crate::sidecar_process::{
    Host, address, eventually, get, is_running, request, shell, sidecar, snapshots_follow,
    state_of, with_folder,
};

/// The sidecar's exit code for this script.
fn code_of(script: &str) -> i32 {
    let host = Host::new();
    let mut process = host.start(shell(sidecar(), script));
    process.end().0.code().unwrap()
}

#[test]
fn the_exit_code_of_the_application_is_passed_on() {
    assert_eq!(code_of("exit 0"), 0);
    assert_eq!(code_of("exit 7"), 7);
    assert_eq!(code_of("kill -KILL $$"), 137);
    assert_eq!(code_of("kill -SEGV $$"), 139);
    let host = Host::new();
    let mut command = sidecar();
    command.args(["--", "/no/such/program"]);
    let mut process = host.start(command);
    assert_eq!(process.end().0.code(), Some(127));
    assert!(
        process
            .log
            .iter()
            .any(|line| line.contains("/no/such/program"))
    );
}

#[test]
fn arguments_environment_and_folder_are_those_of_the_sidecar() {
    let host = Host::new();
    let mut command = sidecar();
    command
        .args([
            "--",
            "/bin/sh",
            "-c",
            "echo \"$1|$2|$MARK|$PWD\"",
            "x",
            "a b",
            "--help",
        ])
        .env("MARK", "m")
        .current_dir("/");
    assert_eq!(host.start(command).end().0.code(), Some(0));
    assert_eq!(host.output(), "a b|--help|m|/\n");
}

#[test]
fn signals_are_forwarded_and_a_stop_waits_for_the_application() {
    let host = Host::new();
    let script = "trap 'echo hup' HUP; trap 'echo usr2' USR2; \
                  trap 'sleep 0.3; echo term; exit 5' TERM; echo ready; \
                  while :; do sleep 0.02; done";
    let mut process = host.start(shell(sidecar(), script));
    host.printed("ready");
    process.signal("HUP");
    host.printed("hup");
    process.signal("USR2");
    host.printed("usr2");
    process.signal("TERM");
    assert_eq!(process.end().0.code(), Some(5), "{:#?}", process.log);
    assert!(host.output().ends_with("term\n"));
}

#[test]
fn the_stop_signal_can_be_chosen() {
    let host = Host::new();
    let mut command = sidecar();
    command.args(["--stop-signal", "SIGQUIT"]);
    let script = "trap 'echo quit; exit 0' QUIT; echo ready; while :; do sleep 0.02; done";
    let mut process = host.start(shell(command, script));
    host.printed("ready");
    process.signal("TERM");
    assert_eq!(process.end().0.code(), Some(0));
    assert!(host.output().ends_with("quit\n"));
}

#[test]
fn an_application_that_does_not_stop_is_killed_in_time() {
    let host = Host::new();
    let mut command = sidecar();
    command.env("DORY_SHUTDOWN_TIMEOUT_SEC", "2");
    let script = "trap '' TERM; echo ready; while :; do sleep 0.02; done";
    let mut process = host.start(shell(command, script));
    host.printed("ready");
    process.signal("TERM");
    let (status, _) = process.end();
    assert_eq!(status.code(), Some(137), "{:#?}", process.log);
}

#[test]
fn orphans_are_reaped_and_end_with_the_application() {
    let host = Host::new();
    // An orphan that ends, one that obeys the signal, and one in a session of its own that
    // does not.
    let script = "(true & ) ; (sh -c 'echo orphan $$; exec sleep 600' &) ; \
                  (setsid sh -c 'trap \"\" TERM; echo orphan $$; while :; do sleep 0.05; done' &) ; \
                  sleep 0.5; while [ ! -e stop ]; do sleep 0.02; done; exit 3";
    let mut command = shell(sidecar(), script);
    command.current_dir(host.path(""));
    let mut process = host.start(command);
    let orphans = eventually("two orphans", || {
        Some(host.numbers("orphan")).filter(|pids| pids.len() == 2)
    });
    assert!(orphans.iter().all(|pid| is_running(*pid as u32)));
    let zombies = || {
        let output = Command::new("ps")
            .args(["--ppid", &process.pid().to_string(), "-o", "stat="])
            .output();
        let output = output.unwrap().stdout;
        String::from_utf8(output).unwrap().matches('Z').count()
    };
    eventually("no zombie", || (zombies() == 0).then_some(()));
    std::fs::write(host.path("stop"), "").unwrap();
    assert_eq!(process.end().0.code(), Some(3), "{:#?}", process.log);
    assert!(orphans.iter().all(|pid| !is_running(*pid as u32)));
}

#[test]
fn as_pid_1_it_reaps_the_orphans_of_a_container() {
    let host = Host::new();
    let isolated = ["--pid", "--fork", "--mount-proc"];
    let script = "(sleep 0.1 &) ; (sleep 0.1 &) ; sleep 0.6; \
                  [ $PPID = 1 ] || exit 50; exit $((40 + $(ps -o stat= --ppid 1 | grep -c Z)))";
    let probe = Command::new("unshare").args(isolated).arg("true").status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this user may not create a PID namespace");
        return;
    }
    let mut command = Command::new("unshare");
    command
        .args(isolated)
        .arg(env!("CARGO_BIN_EXE_satellite"))
        .args(["sidecar", "--", "/bin/sh", "-c", script])
        .env("DORY_HEALTH_PORT", "0")
        .stderr(std::process::Stdio::piped());
    let mut process = host.start(command);
    assert_eq!(process.end().0.code(), Some(40), "{:#?}", process.log);
}

#[test]
fn a_killed_sidecar_takes_the_application_with_it() {
    let host = Host::new();
    let mut process = host.start(shell(sidecar(), "echo pid $$; exec sleep 600"));
    let pid = eventually("pid", || host.numbers("pid").first().copied()) as u32;
    assert!(is_running(pid));
    process.signal("KILL");
    process.end();
    eventually("its end", || (!is_running(pid)).then_some(()));
}

/// An application with HTTP, in this process.
struct WebApp {
    server: Server,
    status: Arc<Mutex<u16>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl WebApp {
    fn start() -> Self {
        let (status, requests) = (Arc::new(Mutex::new(200)), Arc::default());
        let (answer, seen): (_, Arc<Mutex<Vec<String>>>) =
            (Arc::clone(&status), Arc::clone(&requests));
        let server = Server::bind("127.0.0.1:0", Limits::default(), move |request| {
            seen.lock().unwrap().push(request.path().to_owned());
            Response::new(*answer.lock().unwrap())
        });
        WebApp {
            server: server.unwrap(),
            status,
            requests,
        }
    }

    fn port(&self) -> String {
        self.server.addr().port().to_string()
    }

    fn is(&self, status: u16) {
        *self.status.lock().unwrap() = status;
    }

    fn count(&self, path: &str) -> usize {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|seen| *seen == path).count()
    }
}

fn status_becomes(address: &str, path: &str, wanted: u16) -> String {
    eventually(path, || {
        let (status, body) = get(address, path);
        (status == wanted).then_some(body)
    })
}

#[test]
fn beside_an_application_ready_depends_on_it_and_healthz_does_not() {
    let (host, app) = (Host::new(), WebApp::start());
    app.is(500);
    let mut command = sidecar();
    command
        .env("DORY_APP_PORT", app.port())
        .env("DORY_APP_HEALTH_PATH", "/health")
        .env("DORY_APP_PRESTOP_PATH", "/drain")
        .env("DORY_READY_REQUIRES_APP", "true");
    let mut process = host.start(command);
    let address = address(&mut process);
    eventually("a check", || (app.count("/health") > 0).then_some(()));
    let body = status_becomes(&address, "/ready", 503);
    assert!(body.contains("app"), "{body}");
    assert_eq!(get(&address, "/healthz").0, 200);
    app.is(200);
    status_becomes(&address, "/ready", 200);
    let metrics = get(&address, "/metrics").1;
    assert!(metrics.contains("\ndory_app_up 1\n"), "{metrics}");
    app.is(503);
    let body = status_becomes(&address, "/ready", 503);
    assert!(body.contains("503"), "{body}");
    assert_eq!(get(&address, "/healthz").0, 200);

    // The hook of the kubelet, twice; then its signal.
    app.is(200);
    assert_eq!(app.count("/drain"), 0);
    for _ in 0..2 {
        assert_eq!(get(&address, "/prestop").0, 200);
    }
    process.signal("TERM");
    assert_eq!(process.end().0.code(), Some(0), "{:#?}", process.log);
    assert_eq!(app.count("/drain"), 1);
}

#[test]
fn ready_does_not_depend_on_the_application_unless_required() {
    let host = Host::new();
    let unused = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut command = sidecar();
    command.env("DORY_APP_PORT", unused.port().to_string());
    let mut process = host.start(command);
    let address = address(&mut process);
    status_becomes(&address, "/ready", 200);
    eventually("a failed check", || {
        let metrics = get(&address, "/metrics").1;
        metrics
            .contains("dory_app_checks_total{outcome=\"failed\"}")
            .then_some(())
    });
    assert_eq!(get(&address, "/ready").0, 200);
    assert_eq!(get(&address, "/state").0, 404);
    assert_eq!(get(&address, "/nothing").0, 404);
}

#[test]
fn a_prestop_path_that_fails_is_reported_and_needs_the_token_if_there_is_one() {
    let (host, app) = (Host::new(), WebApp::start());
    let mut command = sidecar();
    command
        .env("DORY_APP_PORT", app.port())
        .env("DORY_APP_PRESTOP_PATH", "/drain")
        .env("DORY_STATE_TOKEN", "very-secret");
    let mut process = host.start(command);
    let address = address(&mut process);
    status_becomes(&address, "/ready", 200);
    app.is(500);
    assert_eq!(get(&address, "/prestop").0, 200);
    assert_eq!(app.count("/drain"), 0, "without the token");
    let (status, body) = request(
        &address,
        "GET",
        "/prestop",
        "Authorization: Bearer very-secret\r\n",
    );
    assert_eq!((status, body.contains("500")), (500, true), "{body}");
    process.signal("TERM");
    process.end();
    assert!(!process.log.join("\n").contains("very-secret"));
}

#[test]
fn an_application_that_fails_its_health_check_makes_its_container_restart() {
    let (host, app) = (Host::new(), WebApp::start());
    app.is(500);
    let mut command = sidecar();
    command
        .env("DORY_APP_PORT", app.port())
        .env("DORY_APP_HEALTH_PATH", "/health");
    let mut process = host.start(shell(command, "exec sleep 600"));
    let address = address(&mut process);
    eventually("checks", || (app.count("/health") > 3).then_some(()));
    assert_eq!(get(&address, "/healthz").0, 200, "it may still be starting");
    app.is(200);
    eventually("success", || {
        get(&address, "/metrics")
            .1
            .contains("\ndory_app_up 1\n")
            .then_some(())
    });
    app.is(500);
    let body = status_becomes(&address, "/healthz", 503);
    assert!(body.contains("/health"), "{body}");
    app.is(200);
    status_becomes(&address, "/healthz", 200);
}

#[test]
fn wrong_settings_are_reported_together() {
    let mut command = sidecar();
    command
        .args(["--state-dir", "."])
        .current_dir(std::env::temp_dir())
        .env("DORY_APP_PORT", "0")
        .env("DORY_APP_HEALTH_PATH", "health")
        .env("DORY_READY_REQUIRES_APP", "true")
        .env_remove("DORY_PROCESSOR_ID");
    let mut process: Satellite = Host::new().start(command);
    assert_eq!(process.end().0.code(), Some(78));
    let log = process.log.join("\n");
    for part in [
        "DORY_APP_PORT: ",
        "DORY_APP_HEALTH_PATH: ",
        "DORY_READY_REQUIRES_APP: ",
        "--state-dir: expected a folder that does not contain dory-state",
        "DORY_PROCESSOR_ID: ",
    ] {
        assert!(log.contains(part), "{part} is missing in {log}");
    }
}

/// Counts in memory and appends each number to a file, in two steps.
const COUNTING: &str = "n=$(wc -l <$D/lines 2>/dev/null || echo 0); echo start $n; \
    trap 'echo end $n; exit 0' TERM; \
    while :; do n=$((n + 1)); echo $n >>$D/lines; echo count $n; sleep 0.02; done";

fn counting(store: &Host, host: &Host) -> Command {
    let mut command = shell(with_folder(&store.path("store"), &host.data()), COUNTING);
    command.env("D", host.data());
    command
}

#[test]
fn a_folder_moves_with_the_application_and_comes_back() {
    let (store, a, b) = (Host::new(), Host::new(), Host::new());
    let mut first = a.start(counting(&store, &a));
    a.printed("count 5\n");
    first.signal("TERM");
    assert_eq!(first.end().0.code(), Some(0), "{:#?}", first.log);
    let end = a.numbers("end")[0];

    let mut second = b.start(counting(&store, &b));
    b.printed(&format!("count {}\n", end + 5));
    second.signal("TERM");
    second.end();
    assert_eq!(b.numbers("start"), [end]);

    // The first folder is stale now: what is in it is kept, but not used.
    let mut third = a.start(counting(&store, &a));
    eventually("the third run", || {
        (a.numbers("start").len() == 2).then_some(())
    });
    assert_eq!(a.numbers("start"), [0, b.numbers("end")[0]]);
    third.line("what was in it is in");
    third.signal("TERM");
    third.end();
}

#[test]
fn a_folder_continues_after_a_kill_and_is_never_older_than_its_state() {
    let (store, host) = (Host::new(), Host::new());
    let mut last = 0;
    // Kills at different moments, some before the application runs.
    for round in 0..12_u64 {
        let mut process = host.start(counting(&store, &host));
        let wanted = host.numbers("start").len();
        if round % 3 == 0 {
            thread::sleep(Duration::from_millis(round * 3));
        } else {
            eventually("a count", || {
                let started = host.numbers("start").len() > wanted || round > 0;
                (started && host.numbers("count").last() > Some(&last)).then_some(())
            });
        }
        if round % 2 == 0 {
            let pid = process.pid().to_string();
            let _ = Command::new("kill").args(["-USR1", &pid]).status(); // a snapshot begins
        }
        process.signal("KILL");
        process.end();
        // What was counted was written before it was printed.
        last = host.numbers("count").last().copied().unwrap_or(0);
        thread::sleep(Duration::from_millis(30)); // the application is killed as well
    }
    let counts = host.numbers("count");
    for start in host.numbers("start") {
        assert!(start <= *counts.last().unwrap());
    }
    let mut process = host.start(counting(&store, &host));
    let before = host.numbers("start").len();
    eventually("the last run", || {
        (host.numbers("start").len() > before).then_some(())
    });
    let start = *host.numbers("start").last().unwrap();
    assert!(start >= last, "{start} after {last}");
    let lines = std::fs::read_to_string(host.data().join("lines")).unwrap();
    let lines: Vec<u64> = lines.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(
        lines.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{lines:?}"
    );
    process.signal("TERM");
    process.end();
}

#[test]
fn a_snapshot_is_saved_on_request_and_restored_elsewhere_after_a_kill() {
    for pause in [true, false] {
        let (store, a, b) = (Host::new(), Host::new(), Host::new());
        let mut command = with_folder(&store.path("store"), &a.data());
        if pause {
            command.arg("--snapshot-pause");
        }
        // Writes rarely, so that there are quiet moments without a pause as well.
        let script = "n=0; while :; do n=$((n + 1)); echo $n >$D/n; echo count $n; sleep 0.3; done";
        let mut command = shell(command, script);
        command.env("D", a.data());
        let mut process = a.start(command);
        let address = address(&mut process);
        a.printed("count 3\n");
        let (status, body) = request(&address, "POST", "/snapshot", "");
        assert_eq!(status, 200, "{body}");
        assert!(body.contains("\"files\":1"), "{body}");
        let after = a.numbers("count").last().copied().unwrap();
        process.signal("USR1");
        process.line("saved a snapshot");
        process.line("saved a snapshot");
        a.printed(&format!("count {}\n", after + 2)); // it goes on
        process.signal("KILL");
        process.end();

        let script = "echo start $(cat $D/n)";
        let mut command = shell(with_folder(&store.path("store"), &b.data()), script);
        command.env("D", b.data());
        assert_eq!(b.start(command).end().0.code(), Some(0));
        let start = b.numbers("start")[0];
        assert!(start >= 3 && start >= after - 1, "{start} after {after}");
    }
}

#[test]
fn periodic_snapshots_need_no_request() {
    let (store, a, b) = (Host::new(), Host::new(), Host::new());
    let mut command = with_folder(&store.path("store"), &a.data());
    command.args(["--snapshot-every", "0.2", "--snapshot-pause"]);
    let mut command = shell(command, COUNTING);
    command.env("D", a.data());
    let mut process = a.start(command);
    let address = address(&mut process);
    a.printed("count 10\n");
    let counted = a.numbers("count").last().copied().unwrap();
    snapshots_follow(&address);
    process.signal("KILL");
    process.end();
    let mut process = b.start(counting(&store, &b));
    eventually("start", || b.numbers("start").first().copied());
    assert!(b.numbers("start")[0] >= counted);
    process.signal("TERM");
    process.end();
}

#[test]
fn a_snapshot_of_a_folder_that_keeps_changing_is_refused() {
    let (store, host) = (Host::new(), Host::new());
    let script = "echo ready; while :; do echo x >$D/file; done";
    let mut command = shell(with_folder(&store.path("store"), &host.data()), script);
    command.env("D", host.data());
    let mut process = host.start(command);
    let address = address(&mut process);
    host.printed("ready");
    // On a busy machine, the application may be waiting for its turn for a while.
    let body = eventually("refused", || {
        let (status, body) = request(&address, "POST", "/snapshot", "");
        (status == 409).then_some(body)
    });
    assert!(body.contains("--snapshot-pause"), "{body}");
    assert_eq!(get(&address, "/snapshot").0, 405);
}

#[test]
fn a_folder_that_is_too_large_is_reported_while_the_application_runs() {
    let (store, host) = (Host::new(), Host::new());
    let mut command = with_folder(&store.path("store"), &host.data());
    command.args(["--state-limit", "1Ki"]);
    let script = "echo ready; while [ ! -e $D/go ]; do sleep 0.02; done; \
                  head -c 5000 /dev/zero >$D/large; exec sleep 600";
    let mut command = shell(command, script);
    command.env("D", host.data());
    let mut process = host.start(command);
    let address = address(&mut process);
    host.printed("ready");
    assert_eq!(request(&address, "POST", "/snapshot", "").0, 200);
    std::fs::write(host.data().join("go"), "").unwrap();
    eventually("too large", || {
        let (status, body) = request(&address, "POST", "/snapshot", "");
        (status == 409).then(|| assert!(body.contains("the limit is 1024"), "{body}"))
    });
    let (status, body) = get(&address, "/ready");
    assert_eq!(status, 503);
    assert!(body.contains("it cannot be saved"), "{body}");
    // Another process does not get the older folder.
    let other = Host::new();
    let mut second = other.start(counting(&store, &other));
    process.line("it is not handed over while this process runs");
    assert_eq!(other.output(), "");
    second.signal("TERM");
    assert_eq!(second.end().0.code(), Some(0));
    std::fs::remove_file(host.data().join("large")).unwrap();
    eventually("it fits again", || {
        (request(&address, "POST", "/snapshot", "").0 == 200).then_some(())
    });
    assert_eq!(get(&address, "/ready").0, 200);
    process.signal("TERM");
    process.end();
}

#[test]
fn beside_an_application_the_folder_is_restored_first_and_saved_when_it_has_ended() {
    let (store, a, b) = (Host::new(), Host::new(), Host::new());
    let beside = |host: &Host, port: u16| {
        let mut command = with_folder(&store.path("store"), &host.data());
        command.env("DORY_APP_PORT", port.to_string());
        host.start(command)
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut first = beside(&a, port);
    let address = address(&mut first);
    status_becomes(&address, "/restored", 200);
    std::fs::write(a.data().join("file"), "first").unwrap();

    // Nobody could stop this application for another process: it is not handed over.
    let mut second = beside(&b, 1);
    first.line("it is not handed over while this process runs");
    // The application still runs when the sidecar is stopped.
    first.signal("TERM");
    thread::sleep(Duration::from_millis(300));
    TcpStream::connect(("127.0.0.1", port)).unwrap();
    std::fs::write(a.data().join("file"), "last").unwrap();
    drop(listener);
    assert_eq!(first.end().0.code(), Some(0), "{:#?}", first.log);
    second.line("ready");
    assert_eq!(
        std::fs::read_to_string(b.data().join("file")).unwrap(),
        "last"
    );
    second.signal("TERM");
    second.end();
}

#[test]
fn two_sidecars_do_not_share_a_folder() {
    let (one, two, host) = (Host::new(), Host::new(), Host::new());
    let mut first = host.start(counting(&one, &host));
    host.printed("count 3\n");
    let mut second = host.start(counting(&two, &host));
    assert_eq!(second.end().0.code(), Some(1));
    assert!(
        second
            .log
            .iter()
            .any(|line| line.contains("another sidecar uses this folder"))
    );
    first.signal("TERM");
    assert_eq!(first.end().0.code(), Some(0));
    assert_eq!(host.numbers("start"), [0]);
}

#[test]
fn a_stopped_application_is_not_left_stopped() {
    let (store, host) = (Host::new(), Host::new());
    let mut command = with_folder(&store.path("store"), &host.data());
    command.args(["--snapshot-every", "0.1", "--snapshot-pause"]);
    let mut process = host.start(shell(command, "echo pid $$; while :; do sleep 0.01; done"));
    let pid = eventually("pid", || host.numbers("pid").first().copied()) as u32;
    for _ in 0..5 {
        process.line("saved a snapshot");
    }
    let since = Instant::now();
    eventually("it runs", || (state_of(pid) != Some('T')).then_some(()));
    assert!(since.elapsed() < Duration::from_secs(30));
    process.signal("TERM");
    assert_eq!(process.end().0.code(), Some(143), "{:#?}", process.log);
}
