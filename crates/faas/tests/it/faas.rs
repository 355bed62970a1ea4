//! FaaS: every operation of the contract, on a server that really runs commands.

use std::thread;
use std::time::{Duration, Instant};

use satellite_core::ManualClock;
use satellite_core::Variables;
use satellite_faas::{
    EnvironmentSpec, ExecutionRequest, ExecutionStatus, FaasClient, FaasDialect, Mode, Runtime,
};
use satellite_faas::{FaasKind, MockFaas};
use satellite_serve::testing::Fault;

pub fn count(mock: &MockFaas, method: &str, path: &str) -> usize {
    let all = mock.requests();
    let is_it = |r: &&_| {
        let r: &satellite_serve::testing::RecordedRequest = r;
        r.method == method && r.path.contains(path)
    };
    all.iter().filter(is_it).count()
}

/// Waits until a condition, which other threads fulfil, holds.
pub fn until(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "timed out waiting for the condition"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_command_runs_and_returns_its_result() {
    let mock = MockFaas::start();
    let faas = mock.client();
    let result = faas.execute("echo out; echo err >&2; exit 7").unwrap();
    assert_eq!(
        (result.stdout.as_str(), result.stderr.as_str()),
        ("out\n", "err\n")
    );
    assert_eq!(
        (result.exit_code, &result.status),
        (7, &ExecutionStatus::Error)
    );
    let text = result.ok().unwrap_err().to_string();
    assert!(
        text.contains("exit code 7") && text.contains("err"),
        "{text}"
    );
    let words = faas
        .execute(["printf", "%s|", "a b", "it's", "$HOME", ""])
        .unwrap();
    assert_eq!(words.stdout, "a b|it's|$HOME||");
    assert!(words.ok().unwrap().is_success());
}

#[test]
fn every_option_is_sent() {
    let mock = MockFaas::start();
    let request = ExecutionRequest::command(["sh", "-c", "cat; echo $GREETING"])
        .environment("python-ai")
        .timeout(Duration::from_millis(4500))
        .env("GREETING", "it's €")
        .stdin("line\n100%\\\0end")
        .memory_mb(512)
        .cpu_cores(2)
        .runtime(Runtime::Docker)
        .mode(Mode::Ephemeral)
        .cache_key("key");
    let result = mock.client().executions().run(&request).unwrap();
    assert_eq!(result.stdout, "line\n100%\\\0endit's €\n");
    let body: serde_json::Value = serde_json::from_slice(&mock.requests()[0].body).unwrap();
    for (name, value) in [
        ("image", "python-ai".into()),
        ("timeout_ms", 4500.into()),
        ("env_vars", serde_json::json!([["GREETING", "it's €"]])),
        ("memory_mb", 512.into()),
        ("cpu_cores", 2.into()),
        ("runtime", "docker".into()),
        ("mode", "ephemeral".into()),
        ("cache_key", "key".into()),
    ] {
        assert_eq!(body[name], value, "{name}");
    }
    for wrong in [
        ExecutionRequest::shell("  "),
        ExecutionRequest::shell("true").env("A=B", ""),
        ExecutionRequest::shell("true").timeout(Duration::ZERO),
    ] {
        assert!(mock.client().execute(wrong).unwrap_err().is_settings());
    }
    assert_eq!(mock.executions(), 1, "an invalid request was sent");
}

#[test]
fn a_file_is_run_according_to_its_extension() {
    let mock = MockFaas::start();
    let directory = std::env::temp_dir().join(format!("faas-file-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let script = directory.join("script.sh");
    std::fs::write(&script, "#!/bin/sh\necho \"it's $((6 * 7))\"\n").unwrap();
    assert_eq!(
        mock.client().execute_file(&script).unwrap().stdout,
        "it's 42\n"
    );
    let python = directory.join("script.py");
    std::fs::write(&python, "print('hi')").unwrap();
    let _ = mock.client().execute_file(&python).unwrap(); // wherever there is a python3
    let last = mock.requests().pop().unwrap();
    assert!(String::from_utf8(last.body).unwrap().contains("python3 -c"));
    let error = mock
        .client()
        .execute_file(directory.join("none"))
        .unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_batch_is_bounded_ordered_and_survives_failures() {
    let mock = MockFaas::start();
    let faas = mock.builder().max_parallel(3).build().unwrap();
    let mut requests: Vec<_> = (0..12)
        .map(|n| {
            ExecutionRequest::shell(format!("sleep 0.0{}; echo {n}; exit {}", 9 - n % 10, n % 2))
        })
        .collect();
    requests[5] = ExecutionRequest::shell("true").environment("no-such-environment");
    let results = faas.executions().run_batch(&requests);
    assert_eq!(results.len(), 12);
    for (n, result) in results.into_iter().enumerate() {
        match (n, result) {
            (5, result) => assert!(result.unwrap_err().is_not_found()),
            (n, result) => assert_eq!(result.unwrap().stdout, format!("{n}\n")),
        }
    }
    assert!(
        (2..=3).contains(&mock.most_at_once()),
        "{}",
        mock.most_at_once()
    );
    assert!(faas.executions().run_batch(&[]).is_empty());
}

#[test]
fn a_server_that_supports_time_limits_enforces_them() {
    let mock = MockFaas::start();
    let request = ExecutionRequest::shell("echo begun; sleep 30").timeout(Duration::from_secs(4));
    let result = mock.client().execute(&request).unwrap();
    assert_eq!(result.status, ExecutionStatus::Timeout);
    assert_eq!(result.stdout, "begun\n");
    assert!(result.ok().is_err());
}

#[test]
fn a_command_with_endless_output_is_killed() {
    let mock = MockFaas::start();
    mock.max_output(10_000);
    let result = mock.client().execute("yes").unwrap();
    assert_eq!(result.stdout.len(), 10_000);
    assert!(result.error.unwrap().contains("more than 10000 bytes"));
}

#[test]
fn an_execution_with_a_lost_response_is_sent_once_and_found_in_the_list() {
    let mock = MockFaas::start();
    let faas = mock
        .builder()
        .clock(ManualClock::default())
        .build()
        .unwrap();
    mock.fault("POST", "/execute", Fault::DoneButNoAnswer);
    let error = faas.execute("echo only once").unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    assert_eq!(mock.executions(), 1);
    let found = faas.executions().list().unwrap().remove(0);
    assert_eq!(
        (found.command, found.exit_code),
        ("echo only once".into(), Some(0))
    );
    let printed: String = faas
        .executions()
        .logs(&found.id, false)
        .unwrap()
        .map(|output| output.unwrap().to_string())
        .collect();
    assert_eq!(printed, "only once\n");
}

#[test]
fn environments_are_created_updated_and_deleted() {
    let mock = MockFaas::start();
    let faas = mock.client();
    let environments = faas.environments();
    let spec = EnvironmentSpec::new("rust:latest")
        .layer(serde_json::json!({ "run": "cargo install just" }))
        .cpu_cores(2.0)
        .memory_mb(4096)
        .cache_strategy("aggressive")
        .feature("network", false);
    let made = environments.create("my-env", &spec).unwrap();
    assert_eq!(
        (made.name.as_str(), made.base_image.as_str()),
        ("my-env", "rust:latest")
    );
    assert_eq!(made.resources.unwrap().memory_mb, Some(4096));
    assert!(
        environments
            .create("my-env", &spec)
            .unwrap_err()
            .is_conflict()
    );
    assert_eq!(environments.list().unwrap().len(), 4);
    let change = EnvironmentSpec::default().base_image("rust:1.90");
    environments.update("my-env", &change).unwrap();
    let got = environments.get("my-env").unwrap();
    assert_eq!(
        (got.base_image.as_str(), got.layers.len()),
        ("rust:1.90", 1)
    );
    let change = EnvironmentSpec::default()
        .memory_mb(512)
        .feature("gpu", true);
    let changed = environments.update("my-env", &change).unwrap();
    let resources = changed.resources.unwrap();
    assert_eq!(
        (resources.cpu_cores, resources.memory_mb),
        (Some(2.0), Some(512)),
        "the CPU is kept"
    );
    assert_eq!(changed.features.get("network"), Some(&false));
    assert_eq!(changed.features.get("gpu"), Some(&true));
    let run = ExecutionRequest::shell("true").environment("my-env");
    assert!(faas.execute(run).unwrap().is_success());
    mock.fault("DELETE", "my-env", Fault::DoneButNoAnswer);
    environments.delete("my-env").unwrap();
    for gone in [
        environments.get("my-env").map(drop).unwrap_err(),
        environments.delete("my-env").unwrap_err(),
        environments
            .update("my-env", &change)
            .map(drop)
            .unwrap_err(),
    ] {
        assert!(gone.is_not_found() && !gone.is_unsupported(), "{gone}");
    }
}

#[test]
fn branches_of_a_snapshot_have_separate_state() {
    let mock = MockFaas::start();
    let faas = mock.client();
    let snapshots = faas.snapshots();
    let base = snapshots
        .create_from_script("echo base > state", "base")
        .unwrap();
    assert_eq!(base.name.as_deref(), Some("base"));
    let branches = snapshots.branch(&base.id, 4).unwrap();
    thread::scope(|scope| {
        for (n, branch) in branches.iter().enumerate() {
            scope.spawn(move || {
                branch.execute(format!("echo {n} >> state")).unwrap();
                let state = branch.execute("cat state").unwrap().stdout;
                assert_eq!(state, format!("base\n{n}\n"));
            });
        }
    });
    let fresh = ExecutionRequest::shell("cat state; echo more >> state").snapshot(&base.id);
    for _ in 0..2 {
        assert_eq!(faas.execute(&fresh).unwrap().stdout, "base\n");
    }
    assert_eq!(
        snapshots
            .restore(&base.id)
            .unwrap()
            .execute("cat state")
            .unwrap()
            .stdout,
        "base\n"
    );
    assert_eq!(
        snapshots.get(&base.id).unwrap().container_id,
        base.container_id
    );
    assert_eq!(snapshots.list().unwrap().len(), 1);
    snapshots.delete(&base.id).unwrap();
    assert!(snapshots.get(&base.id).unwrap_err().is_not_found());
    assert!(snapshots.restore(&base.id).unwrap_err().is_not_found());
    assert!(snapshots.create("exec-9", None).unwrap_err().is_not_found());
    assert!(snapshots.create_from_script("exit 3", "bad").is_err());
}

#[test]
fn a_cached_result_is_not_computed_again() {
    let mock = MockFaas::start();
    let request = ExecutionRequest::shell("date +%N")
        .mode(Mode::Cached)
        .cache_key("now");
    let [first, second] = [(); 2].map(|()| mock.client().execute(&request).unwrap());
    assert_eq!((first.cached, second.cached), (false, true));
    assert_eq!(first.stdout, second.stdout);
}

#[test]
fn an_unknown_key_is_rejected_and_never_printed() {
    let mock = MockFaas::start();
    let faas = mock.builder().token("hush-hush-hush").build().unwrap();
    let error = faas.execute("true").unwrap_err();
    assert!(error.is_unauthorized(), "{error}");
    assert!(!format!("{error:?} {faas:?}").contains("hush"));
    assert_eq!(faas.health().unwrap().status, "healthy");
}

#[test]
fn the_second_server_is_called_in_its_dialect() {
    let mock = MockFaas::of(FaasKind::Server);
    let faas = mock
        .builder()
        .clock(ManualClock::default())
        .build()
        .unwrap();
    let request = ExecutionRequest::command(["printenv", "A"]).env("A", "b=c");
    assert_eq!(faas.execute(request).unwrap().stdout, "b=c\n");
    assert_eq!(faas.execute("echo $((1 + 1))").unwrap().stdout, "2\n");
    let body: serde_json::Value = serde_json::from_slice(&mock.requests()[1].body).unwrap();
    assert_eq!(
        body["command"],
        serde_json::json!(["sh", "-c", "echo $((1 + 1))"])
    );
    assert!(mock.requests().iter().all(|request| !request.authorization));
    // Every error response is a 400: its code says what went wrong.
    let stranger = mock.builder().token("x").build().unwrap();
    let error = stranger.execute("true").unwrap_err();
    assert_eq!((error.status(), error.is_unauthorized()), (Some(400), true));
    assert!(faas.executions().get("exec-9").unwrap_err().is_not_found());
    mock.limit_rate(2);
    assert!(
        faas.environments().list().is_ok(),
        "the rate limit was not waited out"
    );
    mock.limit_rate(1);
    assert!(
        faas.execute("true").is_ok(),
        "the rejected request was not retried"
    );
    let once = mock.builder().max_retries(0);
    mock.limit_rate(1);
    let error = once.build().unwrap().execute("true").unwrap_err();
    assert!(error.is_rate_limited() && error.is_retryable(), "{error}");
}

#[test]
fn a_client_is_built_from_the_environment() {
    let from = |lookup: fn(&str) -> Option<String>| {
        FaasClient::builder()
            .variables(Variables::from_lookup(lookup))
            .build()
    };
    assert_eq!(from(|_| None).unwrap().url(), "http://localhost:8080");
    let configured = from(|name| match name {
        "FAAS_ENDPOINT" => Some("https://faas.example.com/".to_owned()),
        "FAAS_DIALECT" => Some("server".to_owned()),
        _ => None,
    });
    assert_eq!(configured.unwrap().url(), "https://faas.example.com");
    let wrong = from(|name| match name {
        "FAAS_DIALECT" => Some("latin".to_owned()),
        "FAAS_MAX_PARALLEL" => Some("0".to_owned()),
        "FAAS_ENDPOINT" => Some("http://faas.example.com".to_owned()),
        _ => None,
    });
    assert!(
        wrong
            .unwrap_err()
            .to_string()
            .starts_with("3 settings are wrong")
    );
    assert_eq!(FaasDialect::default(), FaasDialect::Gateway);
}

#[test]
fn variables_and_stdin_are_never_printed() {
    let request = ExecutionRequest::shell("cat")
        .env("TOKEN", "hush-1")
        .stdin("hush-2");
    let shown = format!("{request:?}");
    assert!(
        shown.contains("TOKEN") && !shown.contains("hush"),
        "{shown}"
    );
}
