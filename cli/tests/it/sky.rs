//! `satellite sky`: clusters and costs.

use rustix::process::Signal;
use satellite_serve::Response;
use serde_json::{Value, json};

use crate::program::{Ended, Program, cells, until};
use crate::skypilot_server::Fake;

/// A call for this server.
pub fn sky(fake: &Fake, arguments: &[&str]) -> Program {
    let arguments: Vec<_> = ["sky"].iter().chain(arguments).copied().collect();
    Program::new(&arguments).env("SKYPILOT_API_SERVER_URL", fake.url())
}

pub fn failed(ended: &Ended, code: i32, text: &str) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert!(ended.stderr.contains(text), "{text} in {ended:?}");
}

pub fn clusters() -> Value {
    json!([
        {
            "name": "train-1", "status": "UP", "cloud": "AWS", "region": "us-east-1", "nodes": 1,
            "resources_str": "1x(gpus=A10G:1)", "autostop": 30, "to_down": true,
            "launched_at": 1, "user_name": "ada", "user_hash": "00c0ffee",
            "last_creation_yaml": "envs: {TOKEN: hush}",
        },
        { "name": "web", "status": "STOPPED", "cloud": "GCP", "user_name": "bob" },
    ])
}

#[test]
fn status_lists_clusters_as_a_table_and_as_json() {
    let fake = Fake::start();
    fake.returns("/status", clusters());
    let table = sky(&fake, &["status"]).ok();
    let rows = cells(&table);
    assert_eq!(
        rows[0],
        [
            "NAME",
            "INFRA",
            "RESOURCES",
            "STATUS",
            "AUTOSTOP",
            "LAUNCHED"
        ]
    );
    assert_eq!(
        rows[1][..5],
        [
            "train-1",
            "AWS (us-east-1)",
            "1x(gpus=A10G:1)",
            "UP",
            "30m (down)"
        ]
    );
    assert!(rows[1][5].ends_with(" ago"), "{table}");
    assert_eq!(rows[2], ["web", "GCP", "-", "STOPPED", "-", "-"]);
    assert!(!table.contains('\u{1b}'), "no colours in a pipe: {table}");

    let documents = sky(&fake, &["status"]).json();
    assert_eq!(
        documents[0],
        json!({
            "name": "train-1", "status": "UP", "cloud": "AWS", "region": "us-east-1",
            "resources": "1x(gpus=A10G:1)", "accelerators": null, "nodes": 1,
            "autostop_minutes": 30, "autostop_down": true, "launched_at": 1.0,
            "user_name": "ada", "user_hash": "00c0ffee",
        })
    );
    assert_eq!(documents[1]["autostop_minutes"], Value::Null);

    let table = sky(&fake, &["status", "-u", "--refresh"]).ok();
    assert_eq!(cells(&table)[1][6], "ada");
    let sent = fake.calls("POST /status").pop().unwrap();
    assert_eq!(
        (&sent.body["refresh"], &sent.body["all_users"]),
        (&json!("FORCE"), &json!(true))
    );
    fake.returns("/status", json!([]));
    assert_eq!(sky(&fake, &["status"]).ok(), "no clusters\n");
    assert_eq!(sky(&fake, &["status"]).json(), json!([]));
}

#[test]
fn status_selects_clusters_by_name_and_pattern() {
    let fake = Fake::start();
    fake.returns("/status", clusters());
    let documents = sky(&fake, &["status", "train-*"]).json();
    assert_eq!(documents.as_array().unwrap().len(), 1);
    assert_eq!(
        fake.calls("POST /status")[0].body["cluster_names"],
        Value::Null
    );

    let ended = sky(&fake, &["status", "web", "nobody"]).run();
    assert!(
        ended.stdout.contains("web"),
        "what was found is printed: {ended:?}"
    );
    failed(
        &ended,
        1,
        &format!("error: cluster nobody does not exist at {}", fake.url()),
    );
    assert_eq!(
        fake.calls("POST /status")[1].body["cluster_names"],
        json!(["web", "nobody"])
    );
    let ended = sky(&fake, &["status", "a", "b*"]).run();
    failed(&ended, 1, "clusters a, b* do not exist");
    assert_eq!(ended.stdout, "");
}

#[test]
fn clusters_are_stopped_started_terminated_and_given_an_autostop() {
    let fake = Fake::start();
    let yes = |arguments: &[&str]| sky(&fake, &[arguments, &["--yes"]].concat());
    yes(&["stop", "a", "--graceful"]).ok();
    assert_eq!(fake.calls("POST /stop")[0].body["graceful"], true);

    let printed = yes(&["start", "a", "b", "-i", "30", "--down", "-r"]).ok();
    assert_eq!(printed, "a started\nb started\n");
    let sent = &fake.calls("POST /start")[1].body;
    assert_eq!(sent["cluster_name"], "b");
    assert_eq!(sent["idle_minutes_to_autostop"], 30);
    assert_eq!(
        (&sent["down"], &sent["retry_until_up"]),
        (&json!(true), &json!(true))
    );

    let documents = yes(&["down", "a", "--purge"]).json();
    assert_eq!(
        documents,
        json!([{ "cluster": "a", "result": "terminated" }])
    );
    assert_eq!(fake.calls("POST /down")[0].body["purge"], true);

    yes(&["autostop", "a", "-i", "7", "--down"]).ok();
    yes(&["autostop", "a", "--cancel"]).ok();
    let sent = fake.calls("POST /autostop");
    assert_eq!(
        (&sent[0].body["idle_minutes"], &sent[0].body["down"]),
        (&json!(7), &json!(true))
    );
    assert_eq!(sent[1].body["idle_minutes"], -1);
}

#[test]
fn a_pattern_or_all_selects_the_clusters_to_change() {
    let fake = Fake::start();
    fake.returns("/status", clusters());
    sky(&fake, &["down", "train-*", "train-1", "-y"]).ok();
    assert_eq!(fake.calls("POST /down").len(), 1, "each only once");
    sky(&fake, &["down", "--all", "-y"]).ok();
    let names: Vec<_> = fake
        .calls("POST /down")
        .iter()
        .map(|s| s.body["cluster_name"].clone())
        .collect();
    assert_eq!(names, ["train-1", "train-1", "web"]);
    failed(
        &sky(&fake, &["down", "x*", "-y"]).run(),
        1,
        "no cluster matches x*",
    );
    failed(&sky(&fake, &["down", "-y"]).run(), 2, "required");
    failed(
        &sky(&fake, &["down", "a", "--all", "-y"]).run(),
        2,
        "cannot be used with",
    );
    assert_eq!(fake.calls("POST /down").len(), 3);
}

#[test]
fn one_failure_does_not_keep_the_other_clusters() {
    let fake = Fake::start();
    fake.once("POST /down", || {
        Response::json(403, r#"{"detail": "not your cluster"}"#)
    });
    let ended = sky(&fake, &["down", "a", "b", "--yes"]).run();
    assert_eq!(ended.stdout, "b terminated\n");
    failed(&ended, 77, "not your cluster");
}

#[test]
fn what_is_destructive_needs_a_yes() {
    let fake = Fake::start();
    fake.returns("/status", json!([]));
    for command in ["stop", "start", "down", "autostop"] {
        let ended = sky(&fake, &[command, "mine"]).run();
        failed(&ended, 1, "add --yes");
        assert!(fake.calls(&format!("POST /{command}")).is_empty());
    }
    failed(
        &sky(&fake, &["cancel", "mine", "3"]).run(),
        1,
        "Cancel job 3 on mine?",
    );
    assert!(fake.calls("POST /cancel").is_empty());

    let (shown, code) = sky(&fake, &["down", "mine"]).input("n\n").on_terminal();
    assert!(
        shown.contains("Terminate mine and delete all data on it? [y/N]"),
        "{shown}"
    );
    assert_eq!((code, fake.calls("POST /down").len()), (Some(1), 0));
    let (_, code) = sky(&fake, &["down", "mine"]).input("y\n").on_terminal();
    assert_eq!((code, fake.calls("POST /down").len()), (Some(0), 1));
}

#[test]
fn ctrl_c_ends_the_wait_and_says_what_goes_on() {
    let fake = Fake::start();
    fake.ends("/down", "SUCCEEDED", Value::Null, Value::Null, u64::MAX);
    let running = sky(&fake, &["down", "mine", "-y"]).start();
    until("the server is polled", || {
        fake.calls("GET /api/status").len() > 1
    });
    running.interrupt();
    let ended = running.wait();
    failed(
        &ended,
        130,
        "interrupted: the server goes on with what it has received",
    );
    assert!(
        ended.stderr.contains("`satellite sky status mine`"),
        "{ended:?}"
    );
    assert!(
        fake.calls("POST /api/cancel").is_empty(),
        "the work goes on"
    );
    let polls = fake.calls("GET /api/status").len();
    let running = sky(&fake, &["down", "mine", "-y"]).start();
    until("the server is polled", || {
        fake.calls("GET /api/status").len() > polls
    });
    running.signal(Signal::TERM);
    failed(&running.wait(), 143, "interrupted: the server goes on");
}

#[test]
fn costs_are_reported_and_estimated() {
    let fake = Fake::start();
    let cost = json!([{ "name": "c", "duration": 1800, "total_cost": 0.75, "launched_at": 1 }]);
    fake.returns("/cost_report", cost);
    let table = sky(&fake, &["cost", "--days", "7"]).ok();
    let rows = cells(&table);
    assert_eq!(
        rows[0],
        ["NAME", "LAUNCHED", "DURATION", "COST", "COST/HOUR"]
    );
    assert_eq!(
        (rows[1][0], &rows[1][2..]),
        ("c", &["30m", "$0.75", "$1.50"][..])
    );
    assert_eq!(fake.calls("POST /cost_report")[0].body["days"], 7);
    assert_eq!(sky(&fake, &["cost"]).json()[0]["cost_per_hour"], 1.5);

    fake.streams(estimate);
    fake.returns("/list_accelerators", json!({}));
    let printed = sky(&fake, &["cost", "--gpus", "A10G:1", "--hours", "24"]).ok();
    assert_eq!(
        printed,
        "about $38.88 for 24 h: 1 x g5.4xlarge with A10G:1 on AWS (us-east-1), about $1.62 an hour\n"
    );
    let sent = &fake.calls("POST /optimize")[0].body;
    assert_eq!(
        sent["dag"],
        "{\"resources\": {\"accelerators\": \"A10G:1\"}}\n"
    );
    let document = sky(&fake, &["cost", "--", "nvidia-smi", "-L"]).json();
    assert_eq!(
        (&document["total_cost"], &document["is_exact"]),
        (&json!(1.62), &json!(false))
    );
    failed(
        &sky(&fake, &["cost", "--hours", "0"]).run(),
        2,
        "more than 0",
    );
}

/// What the optimizer prints.
pub fn estimate() -> Response {
    Response::text(
        200,
        "Considered resources (1 node):\n \
         INFRA            INSTANCE    vCPUs  Mem(GB)  GPUS    COST ($)  CHOSEN\n \
         AWS (us-east-1)  g5.4xlarge  16     64       A10G:1  1.62         ✔\n",
    )
}

#[test]
fn check_shows_the_server_and_its_clouds() {
    let fake = Fake::start();
    fake.returns(
        "/check",
        json!({ "default": { "AWS": ["compute", "storage"] } }),
    );
    let printed = sky(&fake, &["check", "aws"]).ok();
    assert!(printed.starts_with(&format!("{} is healthy, version 0.14.1", fake.url())));
    assert_eq!(cells(&printed)[2], ["default", "AWS", "compute, storage"]);
    assert_eq!(fake.calls("POST /check")[0].body["clouds"], json!(["aws"]));
    assert_eq!(
        sky(&fake, &["check"]).json()["clouds"]["default"]["AWS"][0],
        "compute"
    );
    fake.returns("/check", json!({}));
    let ended = sky(&fake, &["check"]).run();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("no cloud is usable"), "{ended:?}");
}
