//! The folder of an application as its state: on one host and on several, through kills,
//! snapshots and limits.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::sidecar_process::{
    Host, address, eventually, get, request, shell, snapshots_follow, state_of, status_becomes,
    with_folder,
};

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
fn beside_an_application_a_stale_folder_is_replaced_when_it_has_ended() {
    let (store, a, b) = (Host::new(), Host::new(), Host::new());
    let beside = |host: &Host, port: u16| {
        let mut command = with_folder(&store.path("store"), &host.data());
        command.env("DORY_APP_PORT", port.to_string());
        host.start(command)
    };
    std::fs::create_dir(a.data()).unwrap();
    std::fs::write(a.data().join("file"), "stored").unwrap();
    let mut first = beside(&a, 1);
    first.line("ready");
    first.signal("TERM");
    first.end();

    std::fs::create_dir(b.data()).unwrap();
    std::fs::write(b.data().join("file"), "stale").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut second = beside(&b, listener.local_addr().unwrap().port());
    let address = address(&mut second);
    let body = status_becomes(&address, "/ready", 503);
    eventually("it waits", || {
        get(&address, "/ready")
            .1
            .contains("waiting for the application")
            .then_some(())
    });
    assert_eq!(get(&address, "/restored").0, 503, "{body}");
    let file = || std::fs::read_to_string(b.data().join("file")).unwrap_or_default();
    assert_eq!(file(), "stale");
    drop(listener);
    status_becomes(&address, "/restored", 200);
    assert_eq!(file(), "stored");
    second.signal("TERM");
    assert_eq!(second.end().0.code(), Some(0), "{:#?}", second.log);
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
