//! The sidecar as the parent of an application, and beside one.

use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, Mutex};

use satellite_serve::{Limits, Response, Server};

use crate::process::Satellite;
use crate::sidecar_process::{
    Host, address, eventually, get, is_running, request, shell, sidecar, status_becomes,
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
    command.env("DORY_SHUTDOWN_TIMEOUT_SEC", "8");
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
        .args(crate::program::satellite_words())
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

    // From this host, the hook stops the sidecar as well.
    app.is(200);
    assert_eq!(app.count("/drain"), 0);
    assert_eq!(get(&address, "/prestop").0, 200);
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
