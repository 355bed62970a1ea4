//! Each failure of a deployment is reported in its task and its status, and is cleaned up.

use std::time::{Duration, Instant};

use satellite_sdk::testing::{Fault, mock_task};
use serde_json::{Value, json};

use crate::engine::{IMAGE, run};
use crate::engine_or_skip;
use crate::host::{Host, uuid};
use crate::on_each_engine;

/// Deploys; returns reason and error of the failure, which task and deployment must report.
fn failure(host: &Host) -> (String, String) {
    let task = host.deploy();
    let satellite = host.start();
    assert_eq!(host.wait_for_task(task), "failed", "{}", satellite.log());
    let result = host.platform.result(task);
    let text = |name: &str| result[name].as_str().unwrap().to_owned();
    assert_eq!(host.status(), "failed");
    let reported = &host.platform.deployment(&host.deployment).unwrap()["error_message"];
    assert_eq!(reported["reason"], result["reason"]);
    assert!(host.containers().is_empty(), "all containers are removed");
    (text("reason"), text("error"))
}

on_each_engine! {
    a_missing_artifact_fails_the_deployment,
    a_missing_deployment_fails_the_task,
    a_missing_secret_is_named_in_the_error,
    a_model_that_exits_is_reported_with_its_last_log_lines,
    a_model_in_a_restart_loop_fails_the_deployment,
    a_model_that_is_not_healthy_in_time_fails_the_deployment,
    a_rejected_status_update_fails_the_deployment,
    a_failed_deletion_is_reported,
}

fn a_missing_artifact_fails_the_deployment(engine: &str) {
    let host = Host::with(engine, json!({ "artifact_id": uuid() }));
    let (reason, error) = failure(&host);
    assert_eq!(reason, "failed to get model artifact details");
    assert!(error.contains("Artifact not found"), "{error}");
}

fn a_missing_deployment_fails_the_task(engine: &str) {
    let host = Host::new(engine);
    let payload = json!({ "deployment_id": uuid() });
    host.platform.add_task(mock_task("gone", "deploy", payload));
    let _satellite = host.start();
    assert_eq!(host.wait_for_task("gone"), "failed");
    let reason = &host.platform.result("gone")["reason"];
    assert_eq!(*reason, "failed to get model artifact details");
}

#[test]
fn an_image_that_cannot_be_pulled_fails_the_deployment() {
    let docker = engine_or_skip!();
    let parameters = json!({ "satellite_parameters": { "image": "localhost:9/nothing:1" } });
    let host = Host::with(docker, parameters);
    let task = host.deploy();
    let mut command = host.command();
    command.env("LUML_ALLOWED_IMAGES", "localhost:9/*");
    let _satellite = crate::host::Satellite::start(command);
    assert_eq!(host.wait_for_task(task), "failed");
    assert_eq!(
        host.platform.result(task)["reason"],
        "Docker image not found"
    );
}

#[test]
fn an_image_that_is_not_allowed_fails_the_deployment() {
    let docker = engine_or_skip!();
    let parameters = json!({ "satellite_parameters": { "image": "localhost:9/nothing:1" } });
    let (reason, error) = failure(&Host::with(docker, parameters));
    assert_eq!(reason, "Failed to deploy model");
    assert!(error.contains("LUML_ALLOWED_IMAGES"), "{error}");
}

fn a_missing_secret_is_named_in_the_error(engine: &str) {
    let host = Host::with(
        engine,
        json!({ "env_variables_secrets": { "API_KEY": uuid() } }),
    );
    let (reason, error) = failure(&host);
    assert_eq!(reason, "Failed to get secret");
    assert!(error.contains("API_KEY"), "{error}");
}

#[test]
fn a_container_name_in_use_fails_the_deployment() {
    let docker = engine_or_skip!();
    let host = Host::new(docker);
    let name = format!("sat-{}", host.deployment);
    let made = run(docker, &["create", "--name", &name, IMAGE]);
    assert!(made.status.success(), "{made:?}");
    let (reason, error) = failure(&host);
    assert_eq!(reason, "Failed to create container");
    assert!(error.contains(&name), "{error}");
    let removed = run(docker, &["rm", "--force", &name]);
    assert!(
        removed.status.success(),
        "the foreign's container is still there"
    );
}

fn a_model_that_exits_is_reported_with_its_last_log_lines(engine: &str) {
    for after in ["0", "700"] {
        let host = Host::with(
            engine,
            json!({ "env_variables": {
                "MODEL_EXIT_AFTER_MS": after, "MODEL_HEALTHY_AFTER_MS": "600000",
            } }),
        );
        let begun = Instant::now();
        let (reason, error) = failure(&host);
        assert_eq!(reason, "Container stopped or not found");
        assert!(error.contains("exit code 3"), "{error}");
        assert!(error.contains("exits as configured"), "{error}");
        assert!(!error.contains('\0'));
        // Includes three restarts, and the engine's delay before each.
        assert!(
            begun.elapsed() < Duration::from_secs(120), // and not the 1800 s of the health check
            "{:?}",
            begun.elapsed()
        );
    }
}

fn a_model_in_a_restart_loop_fails_the_deployment(engine: &str) {
    let host = Host::with(
        engine,
        json!({
            "env_variables": { "MODEL_EXIT_AFTER_MS": "0", "MODEL_HEALTHY_AFTER_MS": "600000" },
            "satellite_parameters": { "restart_policy": "always" },
        }),
    );
    let (reason, _) = failure(&host);
    assert_eq!(reason, "Container stopped or not found");
}

fn a_model_that_is_not_healthy_in_time_fails_the_deployment(engine: &str) {
    let host = Host::with(
        engine,
        json!({
            "env_variables": { "MODEL_HEALTHY_AFTER_MS": "600000" },
            "satellite_parameters": { "health_check_timeout": 2 },
        }),
    );
    let (reason, error) = failure(&host);
    assert_eq!(reason, "healthcheck timeout");
    assert!(
        error.contains("the model server is up"),
        "its last lines: {error}"
    );
}

#[test]
fn container_output_cannot_forge_log_lines() {
    let docker = engine_or_skip!();
    let fields = json!({
        "env_variables": { "MODEL_HEALTHY_AFTER_MS": "600000" },
        "satellite_parameters": { "health_check_timeout": 1 },
    });
    let mut host = Host::with(docker, fields);
    // The engine's output for the container's log.
    let script = crate::outages::Script::new(
        r#"case "$1" in logs)
            printf 'dying\n<0>forged\n\033[2J\r12:00:00.000Z ERROR forged\n'
            printf 'and\n<0>forged\n' >&2
            exit 0;;
        esac"#,
    );
    host.program = script.path();
    let task = host.deploy();
    for journal in [false, true] {
        let mut command = host.command();
        match journal {
            true => command.env("JOURNAL_STREAM", "8:12345"),
            false => command.env_remove("JOURNAL_STREAM"),
        };
        if journal {
            let payload = json!({ "deployment_id": host.deployment });
            host.platform
                .add_task(mock_task("again", "deploy", payload));
        }
        let satellite = crate::host::Satellite::start(command);
        let task = if journal { "again" } else { task };
        assert_eq!(host.wait_for_task(task), "failed", "{}", satellite.log());
        satellite.wait_for_line("failed");
        let log = satellite.log();
        assert!(log.contains("forged"), "the last lines are logged: {log}");
        for line in log.lines() {
            let begins = match journal {
                true => ["<3>", "<4>", "<6>"].iter().any(|p| line.starts_with(p)),
                false => line.split(' ').next().unwrap().ends_with('Z'),
            };
            assert!(begins && !line.starts_with("12:00:00"), "{line:?}");
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    }
    host.program = docker.to_owned();
}

fn a_rejected_status_update_fails_the_deployment(engine: &str) {
    let host = Host::new(engine);
    host.platform
        .fault(Fault::Status(422))
        .on("PATCH", "/deployments")
        .times(1);
    let (reason, _) = failure(&host);
    assert_eq!(reason, "failed to finalize deployment");
}

fn a_failed_deletion_is_reported(engine: &str) {
    let host = Host::new(engine);
    host.platform
        .fault(Fault::Status(403))
        .on("DELETE", "/deployments")
        .times(1);
    host.platform.request_deletion(&host.deployment, "undeploy");
    let _satellite = host.start();
    assert_eq!(host.wait_for_task("undeploy"), "failed");
    let result: Value = host.platform.result("undeploy");
    assert_eq!(result["reason"], "Failed to delete deployment.");
    assert_eq!(host.status(), "deletion_failed");
}

#[test]
fn a_container_that_cannot_be_removed_fails_the_undeploy() {
    let docker = engine_or_skip!();
    let mut host = Host::new(docker);
    let task = host.deploy();
    let mut satellite = host.start();
    assert_eq!(host.wait_for_task(task), "done");
    satellite.kill();
    let script = crate::outages::Script::new(
        r#"case "$1" in rm) echo "Error response from daemon: device busy" >&2; exit 1;; esac"#,
    );
    host.program = script.path();
    host.platform.request_deletion(&host.deployment, "undeploy");
    let _satellite = host.start();
    assert_eq!(host.wait_for_task("undeploy"), "failed");
    assert_eq!(
        host.platform.result("undeploy")["reason"],
        "Failed to remove container."
    );
    assert_eq!(host.status(), "deletion_failed");
    host.program = docker.to_owned();
}
