//! The real FaaS gateway: where it deviates from the contract.

use std::time::{Duration, Instant};

use satellite_core::client::Ended;
use satellite_faas::FaasKind;
use satellite_faas::MockFaas;
use satellite_faas::{EnvironmentSpec, ExecutionRequest, Mode, Output, Runtime};

use crate::faas::{count, until};

fn gateway() -> MockFaas {
    MockFaas::of(FaasKind::Gateway)
}

#[test]
fn an_exit_code_is_had_from_the_shell_where_the_gateway_answers_0() {
    let mock = gateway();
    let faas = mock.client();
    let script = "echo out; echo err >&2; exit 7";
    let plain = faas.execute(script).unwrap();
    assert_eq!(
        plain.exit_code, 0,
        "the gateway quirk that this test is about"
    );
    assert!(plain.is_merged());
    let checked = ExecutionRequest::shell(script).checked(true);
    let result = faas.execute(&checked).unwrap();
    assert_eq!(result.exit_code, 7);
    assert!(!result.is_success() && result.is_merged());
    assert_eq!(
        result.stdout.len(),
        "out\nerr\n".len(),
        "the marker is removed"
    );
    assert_eq!(result.extra["output"], result.stdout.as_str());
    assert!(!format!("{result:?}").contains("exit-"), "{result:?}");
    let words = ExecutionRequest::command(["sh", "-c", "exit 3"]).checked(true);
    assert_eq!(faas.execute(&words).unwrap().exit_code, 3);
    // A shell that did not report its exit code is not a success.
    let killed = ExecutionRequest::shell("kill -9 $$").checked(true);
    assert!(
        faas.execute(&killed)
            .unwrap_err()
            .to_string()
            .contains("exit code")
    );
    // A server that returns real exit codes works too.
    let honest = MockFaas::start();
    assert_eq!(honest.client().execute(&checked).unwrap().exit_code, 7);
}

#[test]
fn the_shell_changes_into_a_directory_that_the_gateway_ignores() {
    let mock = gateway();
    let pwd = ExecutionRequest::shell("pwd").working_dir("/");
    assert_ne!(
        mock.client().execute(&pwd).unwrap().stdout,
        "/\n",
        "the gateway quirk that this test is about"
    );
    assert_eq!(
        mock.client().execute(pwd.checked(true)).unwrap().stdout,
        "/\n"
    );
    let none = ExecutionRequest::shell("pwd")
        .working_dir("/none")
        .checked(true);
    assert_eq!(mock.client().execute(none).unwrap().exit_code, 125);
}

#[test]
fn the_client_enforces_a_time_limit_that_the_gateway_ignores() {
    let mock = gateway();
    let begun = Instant::now();
    let request = ExecutionRequest::shell("sleep 30").timeout(Duration::from_secs(1));
    let error = mock.client().execute(request).unwrap_err();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "a tenth after the limit, plus delays of a busy machine"
    );
    assert!(error.is_timeout() && error.is_outcome_unknown(), "{error}");
    assert!(!error.is_retryable(), "the work may still run");
    assert!(
        error.to_string().contains("the work may still run"),
        "{error}"
    );
    assert_eq!(mock.executions(), 1, "it was sent once and keeps running");
}

#[test]
fn missing_routes_are_unsupported_and_named() {
    let mock = gateway();
    let faas = mock.client();
    let spec = EnvironmentSpec::new("alpine:latest");
    let snapshot = faas.snapshots().create("anything", None).unwrap();
    let missing = [
        ("GET /api/v1/executions", faas.executions().list().map(drop)),
        (
            "GET /api/v1/executions/e",
            faas.executions().get("e").map(drop),
        ),
        ("DELETE /api/v1/executions/e", faas.executions().cancel("e")),
        (
            "GET /api/v1/executions/e/logs",
            faas.executions().logs("e", false).map(drop),
        ),
        (
            "GET /api/v1/environments",
            faas.environments().list().map(drop),
        ),
        (
            "POST /api/v1/environments",
            faas.environments().create("e", &spec).map(drop),
        ),
        (
            "GET /api/v1/environments/e",
            faas.environments().get("e").map(drop),
        ),
        (
            "PUT /api/v1/environments/e",
            faas.environments().update("e", &spec).map(drop),
        ),
        (
            "DELETE /api/v1/environments/e",
            faas.environments().delete("e"),
        ),
        (
            "GET /api/v1/snapshots/s",
            faas.snapshots().get("s").map(drop),
        ),
        ("DELETE /api/v1/snapshots/s", faas.snapshots().delete("s")),
        (
            "POST /api/v1/snapshots/s/branch",
            faas.snapshots().branch("s", 2).map(drop),
        ),
        (
            "GET /api/v1/instances/i",
            faas.gateway().instance("i").map(drop),
        ),
        (
            "POST /api/v1/instances/i/exec",
            faas.gateway().exec("i", "true").map(drop),
        ),
    ];
    for (route, result) in missing {
        let error = result.unwrap_err();
        assert!(error.is_unsupported() && !error.is_not_found(), "{error}");
        assert!(error.to_string().starts_with(route), "{error}");
    }
    assert!(faas.snapshots().restore("none").unwrap_err().is_not_found());
    assert!(
        !faas
            .snapshots()
            .restore(&snapshot.id)
            .unwrap()
            .id()
            .is_empty()
    );
    assert_eq!(faas.snapshots().list().unwrap().len(), 1);
}

#[test]
fn a_server_without_streaming_returns_all_output_at_once() {
    let mock = gateway();
    let mut stream = mock
        .client()
        .executions()
        .stream("echo one; echo two")
        .unwrap();
    let all: Vec<_> = stream.by_ref().map(Result::unwrap).collect();
    assert_eq!(all, [Output::Stdout("one\ntwo\n".into()), Output::Exit(0)]);
    assert_eq!(stream.ended(), Some(Ended::Complete));
}

#[test]
fn a_500_without_a_reason_is_told_as_such() {
    let mock = gateway();
    let shell = || ExecutionRequest::shell("true");
    let failing = [
        shell().environment("no-such-image:latest"),
        shell().runtime(Runtime::Firecracker),
        shell().mode(Mode::Branched),
        shell().mode(Mode::Persistent),
    ];
    for (n, request) in failing.into_iter().enumerate() {
        let error = mock.client().execute(request).unwrap_err();
        assert_eq!(error.status(), Some(500));
        let text = error.to_string();
        assert!(
            text.contains("gave no reason") && !text.contains("image"),
            "{text}"
        );
        assert_eq!(count(&mock, "POST", "/execute"), n + 1, "sent once");
    }
    assert_eq!(mock.executions(), 0);
    mock.add_image("mine:1");
    assert!(mock.client().execute(shell().environment("mine:1")).is_ok());
}

#[test]
fn a_checkpointed_execution_that_did_not_run_is_an_error() {
    let mock = gateway();
    let faas = mock.client();
    let checkpointed = ExecutionRequest::shell("echo hi").mode(Mode::Checkpointed);
    let error = faas.execute(&checkpointed).unwrap_err();
    assert!(error.is_unsupported(), "{error}");
    assert!(error.to_string().contains("without running"), "{error}");
    let error = faas.executions().stream(&checkpointed).unwrap_err();
    assert!(error.is_unsupported(), "{error}");
    // A server that implements the contract runs it.
    let honest = MockFaas::start();
    let honest = honest.client();
    assert_eq!(honest.execute(&checkpointed).unwrap().stdout, "hi\n");
    let streamed = honest.executions().stream(&checkpointed).unwrap();
    let streamed: String = streamed.map(|output| output.unwrap().to_string()).collect();
    assert_eq!(streamed, "hi\n");
}

#[test]
fn a_failed_script_creates_no_snapshot_in_any_dialect() {
    for kind in [FaasKind::Contract, FaasKind::Gateway, FaasKind::Server] {
        let mock = MockFaas::of(kind);
        let faas = mock.client();
        let error = faas
            .snapshots()
            .create_from_script("exit 9", "bad")
            .unwrap_err();
        match kind {
            FaasKind::Gateway => assert!(error.is_unsupported(), "{error}"),
            _ => assert!(error.to_string().contains("exit code 9"), "{error}"),
        }
        assert!(faas.snapshots().list().unwrap().is_empty());
    }
}

#[test]
fn routes_without_a_body_are_sent_none() {
    let mock = gateway();
    let faas = mock.client();
    let snapshot = faas.snapshots().create("anything", None).unwrap();
    let branch = faas.snapshots().restore(&snapshot.id).unwrap();
    faas.gateway().stop_instance(branch.id()).unwrap();
    let all = mock.requests();
    let bodies: Vec<_> = all
        .iter()
        .filter(|r| r.path.ends_with("/restore") || r.path.ends_with("/stop"))
        .map(|r| r.body.len())
        .collect();
    assert_eq!(bodies, [0, 0]);
}

#[test]
fn the_gateways_additional_routes_work() {
    let mock = gateway();
    let faas = mock.client();
    let extras = faas.gateway();
    let error = extras.fork("echo hi").unwrap_err();
    assert!(error.is_unsupported(), "{error}");
    assert!(error.to_string().contains("no variant ran"), "{error}");
    let parent = faas.execute("echo parent > state").unwrap();
    let child = extras
        .fork_execution(&parent.request_id, "cat state")
        .unwrap();
    assert_eq!(child.stdout, "parent\n");
    let made = extras
        .create_instance("alpine:latest", Some("mine"))
        .unwrap();
    assert_eq!(extras.instances().unwrap()[0].id, made.id);
    extras.stop_instance(&made.id).unwrap();
    extras.prewarm("alpine:latest", 3, None).unwrap();
    assert_eq!(extras.pools().unwrap()[0], "alpine:latest");
    assert_eq!(extras.metrics().unwrap()["total_requests"], 1);
    assert!(faas.health().unwrap().docker);
}

#[test]
#[cfg(target_os = "linux")]
fn no_execution_outlives_the_mock() {
    let mock = gateway();
    let mark = format!("29.{:06}", std::process::id());
    let script = format!("sleep {mark} & sleep {mark}");
    let request = ExecutionRequest::shell(script).timeout(Duration::from_millis(50));
    assert!(mock.client().execute(request).is_err());
    let runs = || {
        let all = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("cmdline")).ok());
        all.filter(|line| line.starts_with("sleep") && line.contains(&mark))
            .count()
    };
    assert_eq!(runs(), 2, "the gateway does not stop it");
    drop(mock);
    until(|| runs() == 0);
}
