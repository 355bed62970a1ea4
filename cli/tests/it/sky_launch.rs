//! `satellite sky launch`.

use serde_json::{Value, json};

use satellite_serve::Response;

use crate::program::until;
use crate::sky::{estimate, sky};
use crate::skypilot_server::Fake;

/// A file for one test.
pub fn file(name: &str, text: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn launch_sends_the_file_with_options_and_follows_the_job() {
    let fake = Fake::start();
    fake.returns("/launch", json!({ "job_id": 3, "handle": "gASVpickle" }));
    fake.ends("/logs", "SUCCEEDED", json!(100), Value::Null, 0);
    fake.streams(|| Response::text(200, "(task, pid=7) hello\n"));
    let path = file(
        "launch.yaml",
        "resources:\n  cloud: aws\nenvs:\n  A: 1\nrun: echo $A\n",
    );
    let arguments = [
        "launch",
        "-c",
        "mine",
        "-y",
        "-i",
        "30",
        "--down",
        "-r",
        "--no-setup",
        "--fast",
        &path,
        "--gpus",
        "A10G:1",
        "--infra",
        "gcp",
        "--env",
        "A=2",
        "--env",
        "B",
        "--secret",
        "S",
    ];
    let ended = sky(&fake, &arguments).env("B", "b").env("S", "hush").run();
    assert_eq!(ended.code, Some(100), "the job failed: {ended:?}");
    assert_eq!(ended.stdout, "(task, pid=7) hello\n");
    assert!(
        ended.stderr.starts_with("launching mine (request id-0)\n"),
        "{ended:?}"
    );
    assert!(!ended.stderr.contains("hush"), "{ended:?}");
    let mut sent = fake.calls("POST /launch")[0].body.clone();
    let mut remove = |name: &str| sent.as_object_mut().unwrap().remove(name);
    let task = remove("task").unwrap();
    remove("entrypoint_command");
    remove("env_vars");
    assert_eq!(
        task,
        "{\"resources\": {\"infra\": \"gcp\", \"accelerators\": \"A10G:1\"}, \
         \"envs\": {\"A\": \"2\", \"B\": \"b\"}, \"run\": \"echo $A\", \
         \"secrets\": {\"S\": \"hush\"}}\n"
    );
    let expected = json!({
        "cluster_name": "mine", "retry_until_up": true, "idle_minutes_to_autostop": 30,
        "down": true, "dryrun": false, "no_setup": true, "fast": true,
    });
    assert_eq!(sent, expected);
    assert_eq!(fake.calls("POST /logs")[0].body["job_id"], 3);
}

#[test]
fn launch_sends_a_file_without_options_as_it_was_written() {
    let fake = Fake::start();
    fake.returns("/launch", json!({ "job_id": null }));
    let text = "# mine\nresources:\n  use_spot: yes # cheap\nrun: |\n  echo hi\n";
    let path = file("as-written.yaml", text);
    assert_eq!(
        sky(&fake, &["launch", "-c", "mine", "-y", &path]).ok(),
        "mine is up\n"
    );
    assert_eq!(fake.calls("POST /launch")[0].body["task"], text);
    let piped = sky(&fake, &["launch", "--dryrun", "-"]).input(text);
    assert_eq!(piped.ok(), "dry run: nothing was launched\n");
    let sent = &fake.calls("POST /launch")[1].body;
    assert_eq!(
        (&sent["task"], &sent["dryrun"]),
        (&json!(text), &json!(true))
    );
    assert!(
        sent["cluster_name"].as_str().unwrap().starts_with("sky-"),
        "{sent}"
    );
}

#[test]
fn launch_can_detach_and_print_json() {
    let fake = Fake::start();
    fake.returns("/launch", json!({ "job_id": 3 }));
    fake.ends("/logs", "SUCCEEDED", json!(0), Value::Null, 0);
    fake.streams(|| Response::text(200, "(task, pid=7) hello\n"));
    let command = ["launch", "-c", "mine", "-y", "-d", "--", "nvidia-smi", "-L"];
    assert_eq!(sky(&fake, &command).ok(), "job 3 runs on mine\n");
    assert_eq!(
        fake.calls("POST /launch")[0].body["task"],
        "{\"run\": \"nvidia-smi -L\"}\n"
    );
    assert!(fake.calls("POST /logs").is_empty());
    let ended = sky(&fake, &["launch", "-c", "mine", "-y", "--json", "true"]).run();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        (&document["job_id"], &document["exit_code"]),
        (&json!(3), &json!(0))
    );
    assert!(
        ended.stderr.contains("hello"),
        "the log goes elsewhere: {ended:?}"
    );
}

#[test]
fn a_launch_asks_with_the_price_unless_the_cluster_is_up() {
    let fake = Fake::start();
    fake.returns("/status", json!([]));
    fake.returns("/list_accelerators", json!({}));
    fake.returns("/launch", json!({ "job_id": null }));
    fake.streams(estimate);
    let ended = sky(&fake, &["launch", "-c", "mine", "true"]).run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let question = "Launch a new cluster mine: 1 node g5.4xlarge with A10G:1 on AWS (us-east-1) \
                    for $1.62 an hour?";
    assert!(
        ended.stderr.contains(question) && ended.stderr.contains("--yes"),
        "{ended:?}"
    );
    assert!(fake.calls("POST /launch").is_empty());
    let (shown, code) = sky(&fake, &["launch", "-c", "mine", "true"])
        .input("yes\n")
        .on_terminal();
    assert_eq!(
        (code, fake.calls("POST /launch").len()),
        (Some(0), 1),
        "{shown}"
    );

    fake.returns("/status", json!([{ "name": "mine", "status": "UP" }]));
    assert_eq!(
        sky(&fake, &["launch", "-c", "mine", "true"]).ok(),
        "mine is up\n"
    );
}

#[test]
fn ctrl_c_in_a_launch_leaves_the_cluster_starting() {
    let fake = Fake::start();
    fake.ends("/launch", "SUCCEEDED", Value::Null, Value::Null, u64::MAX);
    let mut running = sky(&fake, &["launch", "-c", "mine", "-y", "true"]).start();
    assert_eq!(running.error_line(), "launching mine (request id-0)");
    until("the server is polled", || {
        fake.calls("GET /api/status").len() > 1
    });
    running.interrupt();
    let ended = running.wait();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert_eq!(
        ended.stderr,
        "interrupted: the cluster goes on starting; `satellite sky status mine` shows it and \
         `satellite sky down mine` removes it\n"
    );
    assert!(fake.calls("POST /api/cancel").is_empty());
}

#[test]
fn a_launch_that_fails_says_what_the_server_said() {
    let fake = Fake::start();
    fake.fails(
        "/launch",
        "ResourcesUnavailableError",
        "No A10G in aws/us-east-1",
    );
    let ended = sky(&fake, &["launch", "-c", "mine", "-y", "true"]).run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("No A10G in aws/us-east-1"),
        "{ended:?}"
    );
    assert!(ended.stderr.contains(&fake.url()), "{ended:?}");
    let missing = sky(&fake, &["launch", "-y", "none.yaml"]).run();
    assert_eq!(missing.code, Some(1));
    assert!(
        missing.stderr.contains("cannot read none.yaml"),
        "{missing:?}"
    );
    let wrong = file("wrong.yaml", "run: {x\n");
    let wrong = sky(&fake, &["launch", "-y", &wrong]).run();
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(wrong.stderr.contains("wrong.yaml: line "), "{wrong:?}");
}

#[test]
fn a_server_that_repeats_the_request_does_not_make_a_secret_visible() {
    let fake = Fake::start();
    fake.once("POST /launch", || {
        let detail = json!([{
            "type": "missing", "loc": ["body", "x"], "msg": "Field required",
            "input": { "task": "secrets: {TOKEN: hush}", "env_vars": { "A": "hush" } },
        }]);
        Response::json(422, json!({ "detail": detail }).to_string())
    });
    let launch = ["launch", "-y", "--secret", "TOKEN", "--env", "A", "true"];
    let ended = sky(&fake, &launch)
        .env("TOKEN", "hush")
        .env("A", "hush")
        .run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("Field required"), "{ended:?}");
    assert!(!format!("{ended:?}").contains("hush"), "{ended:?}");
}
