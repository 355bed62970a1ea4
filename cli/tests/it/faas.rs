//! `satellite faas`.

use std::path::{Path, PathBuf};

use satellite_faas::{FaasKind, MockFaas};
use satellite_serve::testing::Fault;
use serde_json::{Value, json};

use crate::program::{Program, cells, until};

const KEY: &str = "FAAS_API_KEY";

/// A call for this server, with the key that it accepts.
fn faas(mock: &MockFaas, arguments: &[&str]) -> Program {
    let arguments: Vec<_> = ["faas"].iter().chain(arguments).copied().collect();
    let call = Program::new(&arguments).env("FAAS_ENDPOINT", mock.url());
    call.env(KEY, mock.client_key())
}

fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn execute_passes_output_and_exit_code_on() {
    for kind in [FaasKind::Contract, FaasKind::Gateway] {
        let mock = MockFaas::of(kind);
        let script = "echo 'Hello World'; exit 7";
        let ended = faas(&mock, &["execute", script, "--env", "alpine"]).run();
        assert_eq!(ended.code, Some(7), "{kind:?}: {ended:?}");
        assert_eq!(
            (ended.stdout.as_str(), ended.stderr.as_str()),
            ("Hello World\n", "")
        );
    }
    let mock = MockFaas::start();
    let ended = faas(&mock, &["execute", "printf out; printf err >&2"]).run();
    let (stdout, stderr) = (ended.stdout.as_str(), ended.stderr.as_str());
    assert_eq!((ended.code, stdout, stderr), (Some(0), "out", "err"));
}

#[test]
fn execute_speaks_to_a_server_with_the_second_dialect() {
    let mock = MockFaas::of(FaasKind::Server);
    let call = faas(
        &mock,
        &["execute", "--dialect", "server", "--", "sh", "-c", "exit 3"],
    );
    assert_eq!(call.run().code, Some(3));
}

#[test]
fn execute_prints_while_the_code_runs() {
    let mock = MockFaas::start();
    let go = temporary("faas-go");
    let _ = std::fs::remove_file(&go);
    let script = format!(
        "echo one; while [ ! -e {} ]; do sleep 0.02; done; echo two",
        go.display()
    );
    let mut running = faas(&mock, &["execute", &script]).start();
    assert_eq!(running.line(), "one");
    std::fs::write(&go, "").unwrap(); // what follows was not printed before
    let ended = running.wait();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "two\n"));
    std::fs::remove_file(go).unwrap();
}

#[test]
fn execute_runs_a_file_or_a_program_with_arguments() {
    let mock = MockFaas::start();
    let script = temporary("hello.sh");
    std::fs::write(&script, "echo \"file $NAME\"\n").unwrap();
    let script = script.to_str().unwrap();
    let printed = faas(&mock, &["execute", script, "--var", "NAME"])
        .env("NAME", "x y")
        .ok();
    assert_eq!(printed, "file x y\n");
    let words = [
        "execute",
        "--workdir",
        "/",
        "--",
        "printf",
        "%s|",
        "it's",
        "-x",
    ];
    assert_eq!(faas(&mock, &words).ok(), "it's|-x|");
    let piped = faas(&mock, &["execute", "--stdin", "tr a-z A-Z"]).input("quiet\n");
    assert_eq!(piped.ok(), "QUIET\n");
    // A word without a dot or a slash is never a file.
    std::fs::write(temporary("true"), "exit 9").unwrap();
    faas(&mock, &["execute", "true"]).ok();
    let variables = temporary("faas.env");
    std::fs::write(&variables, "A=1\nB=2\n").unwrap();
    let variables = variables.to_str().unwrap();
    let call = faas(
        &mock,
        &[
            "execute",
            "--var-file",
            variables,
            "--var",
            "B=3",
            "echo $A$B",
        ],
    );
    assert_eq!(call.ok(), "13\n");
}

#[test]
fn execute_prints_the_result_as_json() {
    let mock = MockFaas::start();
    let call = faas(
        &mock,
        &["execute", "--json", "echo out; echo err >&2; exit 3"],
    );
    let ended = call.run();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        (
            &document["status"],
            &document["exit_code"],
            &document["stdout"],
            &document["stderr"]
        ),
        (&json!("error"), &json!(3), &json!("out\n"), &json!("err\n"))
    );
    assert!(
        document["request_id"]
            .as_str()
            .unwrap()
            .starts_with("exec-"),
        "{document}"
    );
    let arguments = [
        "execute",
        "--cache-key",
        "k",
        "--memory",
        "64",
        "--cpus",
        "1",
        "echo $RANDOM",
    ];
    let first = faas(&mock, &arguments).json();
    assert_eq!(faas(&mock, &arguments).json()["stdout"], first["stdout"]);
}

#[test]
fn execute_exits_with_124_at_the_time_limit_and_125_if_it_did_not_run() {
    let mock = MockFaas::start();
    let late = faas(&mock, &["execute", "--timeout", "500ms", "sleep 30"]).run();
    assert_eq!(late.code, Some(124), "{late:?}");
    let late = faas(
        &mock,
        &["execute", "--json", "--timeout", "500ms", "sleep 30"],
    )
    .run();
    assert_eq!(late.code, Some(124), "{late:?}");
    // The gateway ignores the limit: the client keeps it.
    let gateway = MockFaas::of(FaasKind::Gateway);
    let late = faas(&gateway, &["execute", "--timeout", "500ms", "sleep 3"]).run();
    assert_eq!(late.code, Some(124), "{late:?}");
    assert!(late.stderr.contains("the work may still run"), "{late:?}");

    let unknown = faas(&mock, &["execute", "--env", "none", "true"]).run();
    assert_eq!(unknown.code, Some(125), "{unknown:?}");
    assert!(
        unknown.stderr.contains("the environment does not exist"),
        "{unknown:?}"
    );
    assert!(unknown.stderr.contains(&mock.url()), "{unknown:?}");
    assert_eq!(faas(&mock, &["execute"]).run().code, Some(2));
}

#[test]
fn ctrl_c_ends_the_wait_and_says_that_the_code_may_run_on() {
    let mock = MockFaas::start();
    let mut running = faas(&mock, &["execute", "echo one; sleep 30", "--timeout", "40"]).start();
    assert_eq!(running.line(), "one");
    running.interrupt();
    let ended = running.wait();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    let text =
        "interrupted: the server was not told: the code may run on until its time limit of 40s";
    assert_eq!(ended.stderr.trim_end(), text);
    let still = mock.client().executions().list().unwrap();
    assert_eq!(still[0].status.to_string(), "running");
}

#[test]
fn environments_are_created_listed_shown_and_deleted() {
    let mock = MockFaas::start();
    let arguments = [
        "env",
        "create",
        "my-env",
        "--base",
        "rust:latest",
        "--cache",
        "aggressive",
        "--memory",
        "4096",
        "--cpus",
        "2",
        "--feature",
        "gpu",
        "--feature",
        "net=false",
        "--layer",
        "{\"run\": \"apt-get install jq\"}",
    ];
    assert_eq!(faas(&mock, &arguments).ok(), "environment my-env created\n");
    let table = faas(&mock, &["env", "list"]).ok();
    let rows = cells(&table);
    assert_eq!(
        rows[0],
        [
            "NAME",
            "BASE IMAGE",
            "CPUS",
            "MEMORY",
            "CACHE",
            "LAYERS",
            "FEATURES"
        ]
    );
    let row = [
        "my-env",
        "rust:latest",
        "2",
        "4096 MB",
        "aggressive",
        "1",
        "gpu",
    ];
    assert!(rows.contains(&row.to_vec()), "{table}");
    let document = faas(&mock, &["env", "get", "my-env"]).json();
    assert_eq!(document["base_image"], "rust:latest");
    assert_eq!(document["features"], json!({ "gpu": true, "net": false }));
    assert_eq!(document["layers"][0]["run"], "apt-get install jq");

    let twice = faas(&mock, &arguments).run();
    assert_eq!(twice.code, Some(1), "{twice:?}");
    assert!(
        twice.stderr.contains("POST /api/v1/environments at"),
        "{twice:?}"
    );
    let asked = faas(&mock, &["env", "delete", "my-env"]).run();
    assert_eq!(asked.code, Some(1));
    assert!(
        asked.stderr.contains("Delete environment my-env?"),
        "{asked:?}"
    );
    let deleted = faas(&mock, &["env", "delete", "my-env", "--yes"]).ok();
    assert_eq!(deleted, "environment my-env deleted\n");
    let gone = faas(&mock, &["env", "get", "my-env"]).run();
    assert_eq!(gone.code, Some(1));
    assert!(gone.stderr.contains("environments/my-env"), "{gone:?}");
}

#[test]
fn snapshots_are_created_restored_by_name_listed_and_deleted() {
    let mock = MockFaas::start();
    let kept = faas(&mock, &["execute", "--keep", "echo state > file"]).json();
    let id = kept["request_id"].as_str().unwrap();
    let create = [
        "snapshot",
        "create",
        "--execution-id",
        id,
        "--name",
        "checkpoint-1",
    ];
    let created = faas(&mock, &create).json();
    assert_eq!(created["name"], "checkpoint-1");
    let snapshot = created["id"].as_str().unwrap();

    let branches = faas(
        &mock,
        &["snapshot", "restore", "checkpoint-1", "--branch", "5"],
    )
    .ok();
    let branches: Vec<_> = branches.lines().collect();
    assert_eq!(branches.len(), 5, "{branches:?}");
    faas(
        &mock,
        &["execute", "--branch", branches[0], "echo more >> file"],
    )
    .ok();
    let printed = faas(&mock, &["execute", "--branch", branches[0], "cat file"]).ok();
    assert_eq!(printed, "state\nmore\n");
    let other = faas(&mock, &["execute", "--branch", branches[1], "cat file"]).ok();
    assert_eq!(other, "state\n", "each branch has its own state");
    assert_eq!(
        faas(&mock, &["execute", "--snapshot", snapshot, "cat file"]).ok(),
        "state\n"
    );

    let one = faas(&mock, &["snapshot", "restore", snapshot]).json();
    assert_eq!(one.as_array().unwrap().len(), 1, "by its id: {one}");
    let table = faas(&mock, &["snapshot", "list"]).ok();
    let rows = cells(&table);
    assert_eq!(rows[0], ["ID", "NAME", "EXECUTION", "CREATED", "SIZE"]);
    assert_eq!(rows[1][..3], [snapshot, "checkpoint-1", id]);

    faas(&mock, &create).ok();
    let ambiguous = faas(&mock, &["snapshot", "restore", "checkpoint-1"]).run();
    assert_eq!(ambiguous.code, Some(1));
    assert!(ambiguous.stderr.contains("several snapshots") && ambiguous.stderr.contains(snapshot));
    let unknown = faas(&mock, &["snapshot", "delete", snapshot, "none", "--yes"]).run();
    assert_eq!(unknown.code, Some(1));
    assert!(
        unknown.stderr.contains("no snapshot none at"),
        "{unknown:?}"
    );
    assert_eq!(
        faas(&mock, &["snapshot", "list"])
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let deleted = faas(&mock, &["snapshot", "delete", snapshot, "--yes"]).json();
    assert_eq!(deleted, json!({ "deleted": [snapshot] }));
    faas(&mock, &["snapshot", "restore", "checkpoint-1"]).ok();
    assert_eq!(
        faas(&mock, &["snapshot", "restore", "x", "--branch", "0"])
            .run()
            .code,
        Some(2)
    );
}

#[test]
fn a_route_that_the_server_lacks_is_named() {
    let mock = MockFaas::of(FaasKind::Gateway);
    let ended = faas(&mock, &["env", "list"]).run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("GET /api/v1/environments at"),
        "{ended:?}"
    );
}

#[test]
fn a_rejected_key_is_not_printed() {
    let mock = MockFaas::start();
    let ended = faas(&mock, &["env", "list"]).env(KEY, "hush-hush").run();
    assert_eq!(ended.code, Some(77), "{ended:?}");
    assert!(
        ended.stderr.contains("unknown key") && !ended.stderr.contains("hush"),
        "{ended:?}"
    );
    let wrong = faas(&mock, &["env", "list"])
        .env("FAAS_DIALECT", "french")
        .run();
    assert_eq!(wrong.code, Some(78), "{wrong:?}");
}

#[test]
fn a_lost_response_says_that_the_outcome_is_unknown() {
    let mock = MockFaas::start();
    mock.fault("POST", "/environments", Fault::DoneButNoAnswer);
    let ended = faas(&mock, &["env", "create", "e", "--base", "debian"]).run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let posts = mock
        .requests()
        .into_iter()
        .filter(|r| r.method == "POST")
        .count();
    assert_eq!(posts, 1, "it is sent once");
    until("it was created", || {
        faas(&mock, &["env", "get", "e"]).run().code == Some(0)
    });
}
