//! The fifteen known faults of dory-sdk, each as a test that this kit passes. Those of
//! stops and starts (1 to 5) are in `state_stops`, those of Kubernetes (10 and 15) in
//! `kubernetes`.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::tempdir as temp_directory;

use crate::process::start;
use crate::state_child::{
    address, ask, command, doing, eventually, files, generations, get, last_count, number, request,
    stored,
};
use crate::state_volume::{SmallVolume, small_volume};

/// An upper bound that allows for a busy machine; the benchmark measures the actual time.
pub const AT_ONCE: Duration = Duration::from_secs(10);

#[test]
fn fault_6_a_damaged_state_is_moved_aside_logged_and_never_overwritten() {
    let damages: [(&str, Damage); 3] = [
        ("corrupt", |path| {
            let mut bytes = fs::read(path).unwrap();
            let middle = bytes.len() - 5;
            bytes[middle] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("truncated", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("empty", |path| fs::write(path, "").unwrap()),
    ];
    for (how, damage) in damages {
        let folder = temp_directory().unwrap();
        doing(folder.path(), "return").end();
        doing(folder.path(), "return").end();
        let newest = generations(folder.path()).pop().unwrap();
        damage(&newest);
        let damaged = fs::read(&newest).unwrap();

        let mut process = doing(folder.path(), "");
        let address = address(&mut process);
        process.line("count ");
        let (_, metrics) = get(&address, "/metrics");
        assert!(metrics.contains("dory_state_corrupt_total 1"), "{metrics}");
        process.signal("TERM");
        process.end();
        let text = process.log.join("\n");
        assert!(
            text.contains("ERROR the state: generation"),
            "{how}: {text}"
        );
        assert!(text.contains("hook: restore failed"), "{how}: {text}");
        assert_eq!(stored(folder.path()), last_count(&process));
        assert!(stored(folder.path()) >= 2, "{how}: the one before was used");
        let aside = files(folder.path(), |name| name.contains(".state.corrupt-"));
        assert_eq!(fs::read(&aside[0]).unwrap(), damaged, "{how}");
    }
}

#[test]
fn a_damaged_state_without_an_older_one_fails_the_start_unless_the_hook_starts_fresh() {
    let folder = temp_directory().unwrap();
    doing(folder.path(), "return").end();
    for path in generations(folder.path()) {
        fs::write(path, "satellite-state 1 nonsense").unwrap();
    }
    let before = generations(folder.path());
    for _ in 0..2 {
        let mut process = doing(folder.path(), "return");
        let (status, _) = process.end();
        assert_eq!(status.code(), Some(1), "{:#?}", process.log);
        assert_eq!(generations(folder.path()), before, "left unchanged");
    }
    let mut process = doing(folder.path(), "start fresh");
    process.line("hook: reset caches");
    process.line("startup with 0");
    process.line("count 1");
    assert_eq!(
        files(folder.path(), |name| name.contains(".corrupt-")).len(),
        before.len()
    );
}

#[test]
fn fault_7_a_full_disk_leaves_the_last_good_state() {
    let Some(SmallVolume { path, .. }) = &small_volume("300k") else {
        return;
    };
    let mut command = command(path);
    command
        .env("CHILD_DOES", "grow")
        .env("DORY_CHECKPOINT_SEC", "0.02")
        .env("DORY_SHUTDOWN_TIMEOUT_SEC", "2");
    let mut process = start(command);
    let address = address(&mut process);
    process.line("saving the state failed");
    let (status, body) = get(&address, "/ready");
    assert_eq!(status, 503);
    assert!(body.contains("not saved"), "{body}");
    assert_eq!(get(&address, "/prestop").0, 500);
    assert_eq!(process.end().0.code(), Some(1), "{:#?}", process.log);
    let saved = stored(path);
    assert!(saved >= 1);

    // Once there is space again it continues from that state.
    let roomy = temp_directory().unwrap();
    let newest = generations(path).pop().unwrap();
    fs::create_dir(roomy.path().join("counting")).unwrap();
    let moved = roomy
        .path()
        .join("counting")
        .join(newest.file_name().unwrap());
    fs::copy(&newest, moved).unwrap();
    let mut process = doing(roomy.path(), "start slowly");
    let line = process.line("startup with");
    assert_eq!(number(line.split(',').next().unwrap()), saved);
}

#[test]
fn fault_8_no_number_of_starts_discards_the_state() {
    let folder = temp_directory().unwrap();
    for turn in 1..=6 {
        doing(folder.path(), "return").end();
        assert_eq!(stored(folder.path()), turn);
    }
    for attempt in 0..6 {
        let mut process = doing(folder.path(), "");
        let line = process.line("startup with");
        assert!(line.ends_with(&format!("attempt {attempt}")), "{line}");
        if attempt >= 3 {
            let text = process.log.join("\n");
            assert!(
                text.contains(&format!("hook: {attempt} rapid restarts")),
                "{text}"
            );
        }
        process.line("count ");
        process.signal("KILL");
        process.end();
    }
    assert!(stored(folder.path()) >= 6);
}

#[test]
fn fault_9_two_processors_in_one_folder_share_nothing() {
    let folder = temp_directory().unwrap();
    let of = |pod: &str| {
        let mut command = command(folder.path());
        command
            .env_remove("DORY_PROCESSOR_ID")
            .env("KUBERNETES_SERVICE_HOST", "10.0.0.1")
            .env("DORY_HEALTH_HOST", "127.0.0.1")
            .env("CHILD_DOES", "return")
            .env("DORY_POD_NAME", pod);
        let mut process = start(command);
        assert_eq!(process.end().0.code(), Some(0), "{:#?}", process.log);
        last_count(&process)
    };
    assert_eq!(of("app-0"), 1);
    assert_eq!(of("app-1"), 1);
    assert_eq!(of("app-0"), 2);
    assert_eq!(of("my-app-7d9f8b6c5d-x2x4z"), 1);
    assert_eq!(of("my-db-7d9f8b6c5d-x2x4z"), 1);
    assert_eq!(of("my-app-6c5db8f9d4-tq9wv"), 2);
}

#[test]
fn fault_11_numeric_keys_and_sets_are_saved_and_restored() {
    let folder = temp_directory().unwrap();
    for _ in 0..3 {
        doing(folder.path(), "return").end();
    }
    let document = fs::read(generations(folder.path()).pop().unwrap()).unwrap();
    let snapshot = satellite_state::Snapshot::from_document(&document).unwrap();
    let state: Value = serde_json::from_slice(&snapshot.content.state).unwrap();
    assert_eq!(state["by_number"], json!({ "1": "1", "2": "2", "3": "3" }));
    assert_eq!(state["seen"].as_array().unwrap().len(), 3);
}

#[test]
fn fault_12_a_state_of_the_wrong_types_is_rejected_entirely() {
    let folder = temp_directory().unwrap();
    let mut command = command(folder.path());
    command.env("CHILD_INTERVAL_MS", "3600000");
    let mut process = start(command);
    let address = address(&mut process);
    process.line("count 1");
    let post = |body: &Value| ask(&address, &request("POST", "/state", "", &body.to_string()));
    for (wrong, text) in [
        (
            json!({ "data": { "count": "many" } }),
            "count: invalid type",
        ),
        (
            json!({ "count": 5, "by_number": { "x": "y" } }),
            "by_number",
        ),
        (
            json!({ "count": 5, "cuont": 6 }),
            "unknown keys, nothing was changed: cuont",
        ),
        (json!([1, 2]), "does not fit"),
        (
            json!({ "data": { "count": 5 }, "state_version": 1 }),
            "version 1, expected 2",
        ),
    ] {
        let (status, body) = post(&wrong);
        assert_eq!(status, 400, "{wrong}");
        assert!(body.contains(text), "{wrong}: {body}");
    }
    let (_, shown) = get(&address, "/state");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["data"]["count"], 1);
    assert_eq!(shown["app_name"], "counting");

    let (status, body) = post(&json!({ "data": { "count": 41 } }));
    assert_eq!((status, body.contains("State restored")), (200, true));
    assert_eq!(stored(folder.path()), 41);
    // A served state can be posted back.
    assert_eq!(post(&shown).0, 200);
    assert_eq!(stored(folder.path()), 1);
}

#[test]
fn fault_13_probes_are_never_limited_and_untrusted_clients_cannot_stop_the_process() {
    let folder = temp_directory().unwrap();
    let mut command = command(folder.path());
    command.env("DORY_STATE_TOKEN", "a token of some length");
    let mut process = start(command);
    let address = address(&mut process);
    process.line("count ");
    for _ in 0..300 {
        assert_eq!(get(&address, "/healthz").0, 200);
    }
    for _ in 0..3 {
        assert_eq!(get(&address, "/prestop").0, 200, "a save");
        assert_eq!(get(&address, "/state").0, 401);
    }
    thread::sleep(Duration::from_millis(200));
    assert_eq!(get(&address, "/ready").0, 200, "it is alive");
    let bearer = "Authorization: Bearer a token of some length\r\n";
    assert_eq!(ask(&address, &request("GET", "/state", bearer, "")).0, 200);
    assert_eq!(
        ask(&address, &request("GET", "/prestop", bearer, "")).0,
        200
    );
    assert_eq!(process.end().0.code(), Some(0));
    assert_eq!(stored(folder.path()), last_count(&process));
}

#[test]
fn fault_14_a_blocking_run_delays_no_probe_and_is_saved() {
    let folder = temp_directory().unwrap();
    let mut command = command(folder.path());
    command
        .env("CHILD_DOES", "block")
        .env("DORY_CHECKPOINT_SEC", "0.05")
        .env("DORY_SHUTDOWN_TIMEOUT_SEC", "1.5");
    let mut process = start(command);
    let address = address(&mut process);
    process.line("blocking");
    let begun = Instant::now();
    for path in ["/healthz", "/ready", "/metrics", "/state"] {
        assert_eq!(get(&address, path).0, 200, "{path}");
    }
    assert!(begun.elapsed() < AT_ONCE);
    eventually(|| (stored(folder.path()) == 1).then_some(()));
    process.signal("TERM");
    let (status, took) = process.end();
    assert_eq!(
        status.code(),
        Some(1),
        "it did not come to an end by itself"
    );
    assert!(took < Duration::from_secs(2) + AT_ONCE, "{took:?}");
    assert_eq!(stored(folder.path()), 1);
}

#[test]
fn a_loop_without_a_pause_is_saved_and_served() {
    let folder = temp_directory().unwrap();
    let mut command = command(folder.path());
    command
        .env("CHILD_INTERVAL_MS", "0")
        .env("DORY_CHECKPOINT_SEC", "0.02");
    let mut process = start(command);
    let address = address(&mut process);
    process.line("count 10");
    for _ in 0..10 {
        let before = stored(folder.path());
        assert_eq!(get(&address, "/state").0, 200);
        eventually(|| (stored(folder.path()) > before).then_some(()));
    }
    process.signal("TERM");
    assert_eq!(process.end().0.code(), Some(0));
    assert_eq!(stored(folder.path()), last_count(&process));
}

#[test]
fn a_turn_past_the_stall_limit_fails_the_liveness_probe_and_calls_the_hook() {
    let folder = temp_directory().unwrap();
    let mut command = command(folder.path());
    command
        .env("CHILD_DOES", "stall")
        .env("DORY_STALL_LIMIT_SEC", "0.3");
    let mut process = start(command);
    let address = address(&mut process);
    process.line("hook: health check failed: the present turn has lasted");
    let (status, body) = get(&address, "/healthz");
    assert_eq!(status, 503);
    assert!(body.contains("\"healthy\":false"), "{body}");
    assert!(
        get(&address, "/metrics")
            .1
            .contains("dory_health_check_failures_total 1")
    );
}

type Damage = fn(&Path);
