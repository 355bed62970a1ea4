//! Faults of the worker's host: no file descriptors, DNS failures, a platform that moves
//! to another address, temporarily wrong certificates.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::extras::temp_directory;
use satellite_sdk::testing::{Fault, MockPlatform, mock_task};
use serde_json::json;

use crate::child::{self, Satellite};
use crate::faulty_proxy::{End, FaultyProxy, Reply};
use crate::tls::Authority;

const TIMEOUT: Duration = Duration::from_secs(40);

fn table_row(fault: &str, since: Instant, requests: usize) {
    let after = since.elapsed();
    println!("| {fault} | 1 | {after:.2?} | {requests} | 0 |");
}

/// Asserts that the worker completes a task that is added now.
fn does_a_task(platform: &MockPlatform, id: &str) {
    platform.add_task(mock_task(id, "echo", json!({ "id": id })));
    let done = platform.wait_for(id, "done", TIMEOUT);
    assert!(done, "{id} is {}", platform.status(id));
    assert_eq!(platform.result(id), json!({ "id": id }));
}

fn limit_descriptors(satellite: &Satellite, most: &str) -> bool {
    let limit = format!("--nofile={most}:");
    let pid = satellite.pid().to_string();
    Command::new("prlimit")
        .args(["--pid", &pid, &limit])
        .status()
        .is_ok_and(|status| status.success())
}

#[test]
fn running_out_of_descriptors_is_retried() {
    let platform = MockPlatform::start();
    let mut command = child::command(&platform);
    command.env("LUML_MAX_BACKOFF_SEC", "0.2");
    let mut satellite = child::start(command);
    does_a_task(&platform, "before");
    if !limit_descriptors(&satellite, "3") {
        println!("SKIPPED: no prlimit here");
        return;
    }
    platform.fault(Fault::Drop).times(1); // closes the pooled connection
    satellite.line("open files");
    let (since, before) = (Instant::now(), platform.requests().len());
    thread::sleep(Duration::from_secs(1));
    assert!(limit_descriptors(&satellite, "1024"));
    does_a_task(&platform, "after");
    let requests = platform.requests().len() - before;
    table_row("no descriptors for 1 s", since, requests);
}

/// A worker that reads this file instead of `/etc/hosts`; `None` without the permission.
fn with_hosts(platform: &MockPlatform, hosts: &std::path::Path, url: &str) -> Option<Satellite> {
    let may = Command::new("unshare").args(["-m", "true"]).status();
    if !may.is_ok_and(|status| status.success()) {
        println!("SKIPPED: no right to a mount namespace");
        return None;
    }
    let plain = child::command(platform);
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c"])
        .arg("mount --bind \"$HOSTS\" /etc/hosts && exec \"$0\" \"$@\"")
        .arg(plain.get_program())
        .args(plain.get_args())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
        .env("HOSTS", hosts)
        .env("LUML_PLATFORM_URL", url)
        .env("LUML_ALLOW_PLAIN_HTTP", "true")
        .env("LUML_MAX_BACKOFF_SEC", "0.2")
        .env_remove("http_proxy");
    Some(child::start(command))
}

#[test]
fn dns_failures_and_address_changes_are_survived() {
    let platform = MockPlatform::start();
    let folder = temp_directory().unwrap();
    let hosts = folder.path().join("hosts");
    fs::write(&hosts, "127.0.0.1 platform.test\n").unwrap();
    let cut = Arc::new(AtomicBool::new(false));
    let is_cut = Arc::clone(&cut);
    let first = FaultyProxy::start(&platform, move |_, answer| {
        match answer.is_empty() && is_cut.load(Ordering::SeqCst) {
            true => Reply::Disconnect(End::Reset),
            false => Reply::Complete,
        }
    });
    let port = first.address.port();
    let url = format!("http://platform.test:{port}");
    let Some(mut satellite) = with_hosts(&platform, &hosts, &url) else {
        return;
    };
    does_a_task(&platform, "before");

    fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    cut.store(true, Ordering::SeqCst);
    satellite.line("polling again");
    let (since, before) = (Instant::now(), first.requests());
    cut.store(false, Ordering::SeqCst);
    does_a_task(&platform, "forgotten");
    let requests = first.requests() - before;
    table_row("the name no longer resolves", since, requests);

    cut.store(true, Ordering::SeqCst);
    drop(first);
    let second = FaultyProxy::start_at(([127, 0, 0, 2], port).into(), &platform, |_, _| {
        Reply::Complete
    });
    fs::write(&hosts, "127.0.0.2 platform.test\n").unwrap();
    let since = Instant::now();
    does_a_task(&platform, "moved");
    table_row(
        "the platform moves to another address",
        since,
        second.requests(),
    );
}

/// Debian's libfaketime, for a dynamically linked process.
fn faketime() -> Option<PathBuf> {
    let libraries = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let library = libraries
        .map(|folder| folder.path().join("faketime/libfaketime.so.1"))
        .find(|path| path.exists());
    if library.is_none() {
        println!("SKIPPED: no libfaketime here");
    }
    library
}

#[test]
fn wall_clock_changes_have_no_effect() {
    let Some(library) = faketime() else { return };
    let platform = MockPlatform::start();
    let folder = temp_directory().unwrap();
    let clock = folder.path().join("clock");
    fs::write(&clock, "+0").unwrap();
    let mut command = child::command(&platform);
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let mut satellite = child::start(command);
    does_a_task(&platform, "before");
    for (step, name) in [("+3650d", "forward"), ("-3650d", "back")] {
        fs::write(&clock, step).unwrap();
        let (since, before) = (Instant::now(), platform.requests().len());
        does_a_task(&platform, name);
        let requests = platform.requests().len() - before;
        table_row(
            &format!("the wall clock is set {name} by ten years"),
            since,
            requests,
        );
    }
    satellite.signal("TERM");
    assert_eq!(satellite.end().0.code(), Some(0));
    let year = |line: &String| line.get(1..5)?.parse::<u32>().ok();
    let years: BTreeSet<u32> = satellite.log.iter().filter_map(year).collect();
    assert_eq!(years.len(), 3, "the clock did change: {:#?}", satellite.log);
}

#[test]
fn certificate_errors_are_retried() {
    let (known, other) = (Authority::new(), Authority::new());
    for (what, bad) in [
        (
            "a certificate that has expired",
            known.certify("localhost", 2021),
        ),
        (
            "a certificate of another name",
            known.certify("elsewhere.example", 2100),
        ),
        (
            "a certificate of an unknown authority",
            other.certify("localhost", 2100),
        ),
    ] {
        let platform = MockPlatform::start();
        let proxy = crate::tls::proxy(&platform, bad);
        let mut command = child::command(&platform);
        command
            .env("LUML_PLATFORM_URL", proxy.url())
            .env("LUML_CA_FILE", known.file())
            .env("LUML_MAX_BACKOFF_SEC", "0.2");
        let mut satellite = child::start(command);
        let since = Instant::now();
        satellite.line("no trusted connection");
        assert!(platform.requests().is_empty(), "{what}");
        proxy.set_config(known.certify("localhost", 2100));
        does_a_task(&platform, "t");
        table_row(what, since, platform.requests().len());
    }
}
