//! The process engine: model servers as child processes, which a kill of the satellite does
//! not lose, double or mistake for others.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use serde_json::json;

use crate::engine::{MODEL, PROCESS, run};
use crate::gateway::send;
use crate::host::{Host, KEY, Satellite, eventually, processes_of, uuid};

fn deployed(fields: serde_json::Value) -> (Host, Satellite) {
    let host = Host::with(PROCESS, fields);
    let task = host.deploy();
    let satellite = host.start();
    let status = host.wait_for_task(task);
    assert_eq!(status, "done", "{}", satellite.log());
    (host, satellite)
}

fn predict(host: &Host, satellite: &Satellite) -> u16 {
    let path = format!("/deployments/{}/compute", host.deployment);
    let body = r#"{"inputs": {"x": [1]}}"#;
    send(&satellite.gateway(), "POST", &path, Some(KEY), body).0
}

fn terminate(satellite: &mut Satellite) {
    run("kill", &["-TERM", &satellite.pid().to_string()]);
    assert_eq!(satellite.wait_for_exit().code(), Some(0));
}

/// A process that has nothing to do with the satellite.
struct Stranger(Child);

impl Stranger {
    fn start() -> Self {
        Stranger(Command::new("sleep").arg("1000").spawn().unwrap())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_deploy_killed_at_any_step_is_completed_with_exactly_one_process() {
    for step in [
        "model folder",
        "model record",
        "model spawned",
        "model recorded",
        "model started",
    ] {
        let host = Host::new(PROCESS);
        let task = host.deploy();
        let mut killed = host.command();
        killed.env("SATELLITE_KILL_AT", step);
        let end = Satellite::start(killed).wait_for_exit();
        assert_eq!(end.code(), None, "{step}: killed by a signal");
        let next = host.start();
        assert_eq!(host.wait_for_task(task), "done", "{step}: {}", next.log());
        host.wait_for_status("active");
        assert_eq!(host.containers().len(), 1, "{step}");
        eventually("one process", || processes_of(&host.deployment).len() == 1);
        let folders = fs::read_dir(host.state().join("models")).unwrap().count();
        assert_eq!(folders, 1, "{step}: incomplete folders are removed");
        assert_eq!(predict(&host, &next), 200);
    }
}

#[test]
fn an_undeploy_killed_at_any_step_is_completed_and_leaves_no_process() {
    for step in ["model stopped", "model removed"] {
        let (host, mut satellite) = deployed(json!({}));
        satellite.kill();
        host.platform.request_deletion(&host.deployment, "undeploy");
        let mut killed = host.command();
        killed.env("SATELLITE_KILL_AT", step);
        Satellite::start(killed).wait_for_exit();
        let _next = host.start();
        assert_eq!(host.wait_for_task("undeploy"), "done", "{step}");
        assert_eq!(host.status(), "gone");
        assert!(host.containers().is_empty(), "{step}");
        assert!(processes_of(&host.deployment).is_empty(), "{step}");
    }
}

#[test]
fn a_model_survives_a_kill_of_the_satellite_and_is_still_stopped_by_an_undeploy() {
    let (host, mut satellite) = deployed(json!({}));
    let before = processes_of(&host.deployment);
    satellite.kill();
    let satellite = host.start();
    satellite.wait_for_line("adopted sat-");
    satellite.wait_for_line("is healthy on port");
    assert_eq!(predict(&host, &satellite), 200);
    assert_eq!(processes_of(&host.deployment), before);
    host.platform.request_deletion(&host.deployment, "undeploy");
    assert_eq!(host.wait_for_task("undeploy"), "done");
    assert!(processes_of(&host.deployment).is_empty());
}

#[test]
fn a_model_server_has_the_time_to_stop_that_it_was_told() {
    let file = std::env::temp_dir().join(format!("drained-{}", uuid()));
    // A deployment cannot ask for more time than the engine grants.
    let variables = json!({ "MODEL_DRAINED_FILE": file, "LUML_MODEL_DRAIN_SEC": "1000" });
    let host = Host::with(PROCESS, json!({ "env_variables": variables }));
    let task = host.deploy();
    let mut command = host.command();
    command.env("LUML_MODEL_DRAIN_SEC", "16");
    let satellite = Satellite::start(command);
    let status = host.wait_for_task(task);
    assert_eq!(status, "done", "{}", satellite.log());
    host.platform.request_deletion(&host.deployment, "undeploy");
    assert_eq!(host.wait_for_task("undeploy"), "done");
    let drained = fs::read_to_string(&file).unwrap_or_default();
    let _ = fs::remove_file(&file);
    assert_eq!(drained, "16.000", "it was killed before it had finished");
}

#[test]
fn a_process_that_reused_the_pid_is_neither_adopted_nor_killed() {
    let (host, mut satellite) = deployed(json!({}));
    satellite.kill();
    let id = &host.containers()[0];
    host.signal(id, "KILL");
    eventually("its end", || processes_of(&host.deployment).is_empty());
    // The kernel gives its pid to another process.
    let mut stranger = Stranger::start();
    let mut record = host.record(id);
    record["process"]["pid"] = json!(stranger.0.id());
    let path = host.state().join("models").join(id).join("record");
    fs::write(path, record.to_string()).unwrap();

    let satellite = host.start();
    satellite.wait_for_line("exited; restarting it");
    satellite.wait_for_line("is healthy on port");
    assert_eq!(predict(&host, &satellite), 200);
    assert_eq!(processes_of(&host.deployment).len(), 1);
    host.platform.request_deletion(&host.deployment, "undeploy");
    assert_eq!(host.wait_for_task("undeploy"), "done");
    assert!(stranger.0.try_wait().unwrap().is_none(), "it still runs");
}

#[test]
fn a_stop_of_the_satellite_ends_its_models_and_the_next_start_restarts_them() {
    let secret = uuid();
    let host = Host::with(
        PROCESS,
        json!({ "env_variables_secrets": { "API_KEY": secret } }),
    );
    host.platform.add_secret(&secret, "the key", "first");
    let task = host.deploy();
    let mut satellite = host.start();
    assert_eq!(host.wait_for_task(task), "done");
    terminate(&mut satellite);
    // If the loop is blocked, the SDK ends the process without waiting for its descendants.
    eventually("the model's end", || {
        processes_of(&host.deployment).is_empty()
    });
    assert_eq!(host.containers().len(), 1, "its record is kept");

    // Its variables were only in memory: they are fetched again.
    host.platform.add_secret(&secret, "the key", "second");
    let satellite = host.start();
    satellite.wait_for_line("is healthy on port");
    host.wait_for_status("active");
    assert_eq!(predict(&host, &satellite), 200);
    let variables = host.variables(&host.containers()[0]);
    assert!(variables.contains(&"API_KEY=second".to_owned()));
}

#[test]
fn a_stop_while_a_model_starts_leaves_the_task_to_the_next_process() {
    let host = Host::with(
        PROCESS,
        json!({ "env_variables": { "MODEL_HEALTHY_AFTER_MS": "2000" } }),
    );
    let task = host.deploy();
    let mut satellite = host.start();
    eventually("the model's process", || {
        !processes_of(&host.deployment).is_empty()
    });
    terminate(&mut satellite);
    // If the loop is blocked, the SDK ends the process without waiting for its descendants.
    eventually("the model's end", || {
        processes_of(&host.deployment).is_empty()
    });
    assert_eq!(host.platform.status(task), "running");
    let satellite = host.start();
    assert_eq!(host.wait_for_task(task), "done", "{}", satellite.log());
    assert_eq!(processes_of(&host.deployment).len(), 1);
}

#[test]
fn a_model_that_crashes_is_restarted_and_serves_again() {
    let (host, satellite) = deployed(json!({}));
    let id = &host.containers()[0];
    for _ in 0..2 {
        let before = host.pid(id);
        host.signal(id, "KILL");
        satellite.wait_for_line("ended with exit code 137; restarting it");
        eventually("a new process", || host.pid(id) != before);
        eventually("a prediction", || predict(&host, &satellite) == 200);
        host.wait_for_status("active");
    }
    assert_eq!(host.record(id)["restarts"], 2);
    assert_eq!(processes_of(&host.deployment).len(), 1);
}

#[test]
fn helpers_of_a_model_server_end_with_it() {
    let host = Host::new(PROCESS);
    let server = host.state().join("server");
    fs::create_dir_all(host.state()).unwrap();
    fs::write(&server, format!("#!/bin/sh\nsleep 1000 &\nexec {MODEL}\n")).unwrap();
    run("chmod", &["+x", server.to_str().unwrap()]);
    let task = host.deploy();
    let mut command = host.command();
    command.env("LUML_MODEL_SERVER", &server);
    let satellite = Satellite::start(command);
    assert_eq!(host.wait_for_task(task), "done", "{}", satellite.log());
    assert_eq!(processes_of(&host.deployment).len(), 2);
    host.platform.request_deletion(&host.deployment, "undeploy");
    assert_eq!(host.wait_for_task("undeploy"), "done");
    eventually("the helper's end", || {
        processes_of(&host.deployment).is_empty()
    });
}

#[test]
fn a_model_runs_as_the_configured_user() {
    if !Path::new("/proc/self/status").exists() || !is_root() {
        eprintln!("SKIPPED: only root can run a process as another user");
        return;
    }
    let host = Host::new(PROCESS);
    let task = host.deploy();
    let mut command = host.command();
    command.env("LUML_MODEL_USER", "64123:64124");
    let satellite = Satellite::start(command);
    assert_eq!(host.wait_for_task(task), "done", "{}", satellite.log());
    let pid = processes_of(&host.deployment)[0];
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for line in [
        "Uid:\t64123\t64123\t64123\t64123",
        "Gid:\t64124\t64124\t64124\t64124",
        "Groups:\t",
    ] {
        assert!(status.contains(line), "{line} is missing in {status}");
    }
    let score = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    assert_eq!(score.trim(), "500", "it is killed before the satellite");
}

fn is_root() -> bool {
    run("id", &["-u"]).stdout == b"0\n"
}

#[test]
fn models_that_a_process_cannot_serve_are_rejected_with_a_sentence() {
    for (fields, artifact, expected) in [
        (
            json!({}),
            json!({ "manifest": { "variant": "pyfunc" } }),
            "LUML_MODEL_IMAGES=pyfunc=IMAGE",
        ),
        (
            json!({ "satellite_parameters": { "use_gpu": true } }),
            json!({}),
            "LUML_ENGINE=process",
        ),
        (
            json!({ "env_variables": { "LD_PRELOAD": "/tmp/x.so" } }),
            json!({}),
            "LD_PRELOAD",
        ),
    ] {
        let artifact_id = uuid();
        let mut fields = fields;
        fields["artifact_id"] = json!(artifact_id);
        let host = Host::with(PROCESS, fields);
        host.platform
            .add_artifact(&artifact_id, artifact, "http://files/m");
        let task = host.deploy();
        let _satellite = host.start();
        assert_eq!(host.wait_for_task(task), "failed");
        let result = host.platform.result(task).to_string();
        assert!(result.contains(expected), "{result}");
        assert!(processes_of(&host.deployment).is_empty());
        assert!(host.containers().is_empty());
    }
}

#[test]
fn a_program_that_cannot_be_executed_is_reported_with_its_log() {
    let host = Host::with(
        PROCESS,
        json!({ "satellite_parameters": { "restart_policy": "no" } }),
    );
    let broken = host.state().join("broken");
    fs::write(&broken, "#!/nowhere/interpreter\n").unwrap();
    run("chmod", &["+x", broken.to_str().unwrap()]);
    let task = host.deploy();
    let mut command = host.command();
    command.env("LUML_MODEL_SERVER", &broken);
    let _satellite = Satellite::start(command);
    assert_eq!(host.wait_for_task(task), "failed");
    let error = host.platform.result(task)["error"].to_string();
    assert!(error.contains("exit code 127"), "{error}");
    assert!(error.contains("cannot run"), "{error}");
}

#[test]
fn orphaned_processes_are_removed_after_the_grace_period() {
    let (host, mut satellite) = deployed(json!({}));
    satellite.kill();
    // The deployment is deleted on the platform while the satellite is down.
    host.platform.request_deletion(&host.deployment, "undeploy");
    let client = host.platform.client();
    client.update_task_status("undeploy", "done", "").unwrap();
    client.delete_deployment(&host.deployment).unwrap();
    let mut command = host.command();
    command.env("LUML_ORPHAN_GRACE_SEC", "2");
    let satellite = Satellite::start(command);
    satellite.wait_for_line("adopted sat-");
    eventually("the removal of the orphan", || host.containers().is_empty());
    assert!(processes_of(&host.deployment).is_empty());
}

#[test]
fn check_shows_what_serves_each_variant() {
    let host = Host::new(PROCESS);
    let output = host.command().arg("check").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for line in [
        "✓ engine    processes, recorded in ",
        &format!("✓ image     pipeline: {MODEL}"),
        "- image     pyfunc: not served: LUML_ENGINE=process serves no pyfunc models",
        "selectable for pipeline models",
    ] {
        assert!(text.contains(line), "{line:?} is missing in\n{text}");
    }
    let mut command = host.command();
    command.env_remove("LUML_MODEL_SERVER").env("PATH", "/bin");
    let output = command.arg("check").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    if !Path::new(MODEL)
        .with_file_name("luml-model-server")
        .exists()
    {
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("LUML_MODEL_SERVER"), "{text}");
    }
}

#[test]
fn invalid_settings_of_the_process_engine_are_named() {
    for (name, value, expected) in [
        ("LUML_STATE_DIR", "", "LUML_ENGINE: process needs a folder"),
        (
            "LUML_ENGINE",
            "podman",
            "LUML_ENGINE: expected docker or process",
        ),
        (
            "LUML_MODEL_SERVER",
            "/nowhere",
            "LUML_MODEL_SERVER: expected the path",
        ),
        (
            "LUML_MODEL_USER",
            "nobody-here",
            "LUML_MODEL_USER: expected a user",
        ),
        (
            "LUML_MODEL_VARIANTS",
            "pyfunc",
            "LUML_MODEL_VARIANTS: LUML_ENGINE=process",
        ),
    ] {
        let host = Host::new(PROCESS);
        let mut command = host.command();
        command.env(name, value);
        let mut satellite = Satellite::start(command);
        assert_eq!(satellite.wait_for_exit().code(), Some(78), "{name}");
        satellite.wait_for_line(expected);
    }
}
