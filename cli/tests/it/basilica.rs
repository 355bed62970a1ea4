//! `satellite basilica`: deployments that run, machines, tokens.

use std::path::Path;
use std::time::Duration;

use satellite_basilica::MockBasilica;
use serde_json::{Value, json};

use crate::program::{Program, cells};

/// A call for this service, with a key that it accepts.
pub fn basilica(mock: &MockBasilica, arguments: &[&str]) -> Program {
    let arguments: Vec<_> = ["basilica"].iter().chain(arguments).copied().collect();
    let call = Program::new(&arguments).env("BASILICA_API_URL", mock.url());
    call.env("BASILICA_API_TOKEN", mock.client_key())
}

pub const DEPLOY: [&str; 5] = [
    "deploy",
    "nginx:latest",
    "--executor",
    "executor-1",
    "--no-ssh",
];

/// The id of a new deployment.
fn deployed(mock: &MockBasilica) -> String {
    let document = basilica(mock, &DEPLOY).json();
    document["id"].as_str().unwrap().to_owned()
}

#[test]
fn deployments_are_listed_with_filters_and_shown() {
    let mock = MockBasilica::start();
    let empty = basilica(&mock, &["list"]).ok();
    assert_eq!(empty, "no deployments\n");
    let ids = [deployed(&mock), deployed(&mock)];
    mock.fail(&ids[1]);
    let table = basilica(&mock, &["list"]).ok();
    let rows = cells(&table);
    assert_eq!(
        rows[0],
        ["ID", "STATUS", "IMAGE", "MACHINE", "GPUS", "CREATED", "URL"]
    );
    assert_eq!(
        rows[1][..4],
        [ids[0].as_str(), "pending", "nginx:latest", "executor-1"]
    );
    assert!(rows[1][4].starts_with("1x NVIDIA H100"), "{table}");
    let failed = basilica(&mock, &["list", "--status", "failed"]).json();
    assert_eq!(
        (failed.as_array().unwrap().len(), &failed[0]["id"]),
        (1, &json!(ids[1]))
    );
    let many = ["list", "--gpu-type", "h100", "--min-gpu-count", "8"];
    assert_eq!(basilica(&mock, &many).json(), json!([]));

    basilica(&mock, &["status", &ids[0]]).ok(); // the mock starts it
    let text = basilica(&mock, &["status", &ids[0]]).ok();
    assert!(
        text.contains("status   running") && text.contains("image    nginx:latest"),
        "{text}"
    );
    let document = basilica(&mock, &["status", &ids[0]]).json();
    assert_eq!(
        (&document["status"], &document["executor_id"]),
        (&json!("running"), &json!("executor-1"))
    );
    let none = basilica(&mock, &["status", "none"]).run();
    assert_eq!(none.code, Some(1), "{none:?}");
    assert!(none.stderr.contains("GET /rentals/none at"), "{none:?}");
}

#[test]
fn logs_are_printed_with_a_tail_and_as_json() {
    let mock = MockBasilica::start();
    let id = deployed(&mock);
    (0..5).for_each(|n| mock.print(&id, &format!("line {n}")));
    assert_eq!(
        basilica(&mock, &["logs", &id, "--tail", "2"]).ok(),
        "line 3\nline 4\n"
    );
    let stamped = basilica(&mock, &["logs", &id, "-t", "--tail", "1"]).ok();
    assert_eq!(stamped, "2026-01-01T01:00:00.000000004Z line 4\n");
    let lines = basilica(&mock, &["logs", &id, "--json"]).ok();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((lines.len(), &lines[0]["message"]), (5, &json!("line 0")));
    assert_eq!(lines[0]["stream"], "stdout");
}

#[test]
fn a_log_is_followed_across_breaks_until_the_deployment_ends() {
    let mock = MockBasilica::start();
    let lines: Vec<_> = (0..50).map(|n| format!("line {n}")).collect();
    let words: Vec<_> = lines.iter().map(String::as_str).collect();
    mock.script(&words, Duration::from_millis(5));
    mock.cut_log(500);
    mock.give_up_log(1000);
    let id = deployed(&mock);
    let printed = basilica(&mock, &["logs", &id, "-f"]).ok();
    assert_eq!(printed.lines().collect::<Vec<_>>(), words);
}

#[test]
fn ctrl_c_in_a_log_leaves_the_deployment_running() {
    let mock = MockBasilica::start();
    let id = deployed(&mock);
    mock.print(&id, "one");
    let mut running = basilica(&mock, &["logs", &id, "-f"]).start();
    assert_eq!(running.line(), "one");
    running.interrupt();
    let ended = running.wait();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    let again = format!("{id} goes on; `satellite basilica logs {id} -f` follows it again\n");
    assert_eq!(ended.stderr, format!("interrupted: {again}"));
    basilica(&mock, &["status", &id]).ok();
}

#[test]
fn stop_asks_and_stops_each_deployment() {
    let mock = MockBasilica::start();
    let ids = [deployed(&mock), deployed(&mock)];
    let asked = basilica(&mock, &["stop", &ids[0]]).run();
    assert_eq!(asked.code, Some(1));
    assert!(
        asked
            .stderr
            .contains(&format!("Stop {} and delete all data in it?", ids[0]))
    );
    assert_eq!(mock.deployed().len(), 2);
    let ended = basilica(&mock, &["stop", "none", &ids[0], &ids[1], "-y"]).run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(
        ended.stdout,
        format!("{} stopped\n{} stopped\n", ids[0], ids[1])
    );
    assert!(ended.stderr.contains("/rentals/none"), "{ended:?}");
    assert!(mock.deployed().is_empty());
}

#[test]
fn nodes_are_listed_by_each_filter() {
    let mock = MockBasilica::start();
    let table = basilica(&mock, &["nodes"]).ok();
    let rows = cells(&table);
    assert_eq!(
        rows[0],
        [
            "ID",
            "GPUS",
            "CPUS",
            "MEMORY",
            "LOCATION",
            "PRICE/HOUR",
            "UPTIME"
        ]
    );
    assert_eq!(
        rows[2][..5],
        [
            "executor-2",
            "8x NVIDIA H100 80 GB",
            "32",
            "256 GB",
            "Dallas/Texas/US"
        ]
    );
    for filter in [
        ["--gpu-type", "A4000"],
        ["--city", "Paris"],
        ["--region", "IDF"],
        ["--country", "FR"],
    ] {
        let found = basilica(&mock, &[&["nodes"], &filter[..]].concat()).json();
        assert_eq!(
            (found.as_array().unwrap().len(), &found[0]["id"]),
            (1, &json!("executor-3"))
        );
    }
    let large = ["nodes", "--min-gpu-count", "2", "--min-gpu-memory", "80"];
    assert_eq!(
        basilica(&mock, &large).json()[0]["gpus"]
            .as_array()
            .unwrap()
            .len(),
        8
    );
    let none = basilica(&mock, &["nodes", "--cpu"]).run();
    assert_eq!(none.code, Some(1), "the rentals API has none: {none:?}");
}

#[test]
fn a_token_is_renewed_from_a_session_file_and_never_printed() {
    let mock = MockBasilica::start();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("session.json");
    let session = json!({
        "access_token": mock.access_token(), "refresh_token": mock.refresh_token(), "expires_at": 1,
    });
    std::fs::write(&path, session.to_string()).unwrap();
    mock.end_token();
    let call = Program::new(&[
        "basilica",
        "nodes",
        "--session-file",
        path.to_str().unwrap(),
    ]);
    let call = call.env("BASILICA_API_URL", mock.url());
    let call = call.env("BASILICA_AUTH0_DOMAIN", mock.url());
    call.env("BASILICA_AUTH0_CLIENT_ID", "mock-client").ok();
    assert_eq!(mock.renewals(), 1);
    let renewed = std::fs::read_to_string(&path).unwrap();
    assert!(
        renewed.contains(&mock.refresh_token()),
        "the file has the new token"
    );
    let rejected = basilica(&mock, &["nodes"])
        .env("BASILICA_API_TOKEN", "basilica_hush")
        .run();
    assert_eq!(rejected.code, Some(77), "{rejected:?}");
    assert!(!rejected.stderr.contains("hush"), "{rejected:?}");
    std::fs::remove_file(path).unwrap();
}
