//! What the platform believes follows what the engine runs.

use crate::engine::{IMAGE, run};
use crate::engine_or_skip;
use crate::host::{Host, Satellite, eventually, uuid};

#[test]
fn an_active_deployment_without_a_container_does_not_respond() {
    let docker = engine_or_skip!();
    let host = Host::new(docker);
    let task = host.deploy();
    let _satellite = host.start();
    assert_eq!(host.ended(task), "done");
    run(docker, &["rm", "--force", &host.containers()[0]]);
    host.becomes("not_responding");
    let told = &host.platform.deployment(&host.deployment).unwrap()["error_message"];
    // The engine may still be removing it when it is first seen.
    let reason = told["reason"].as_str().unwrap();
    assert!(["container not found", "container is not running"].contains(&reason));
}

#[test]
fn a_model_that_stops_answering_and_recovers_is_active_again() {
    let docker = engine_or_skip!();
    let host = Host::new(docker);
    let task = host.deploy();
    let _satellite = host.start();
    assert_eq!(host.ended(task), "done");
    let id = &host.containers()[0];
    run(docker, &["kill", "--signal", "STOP", id]);
    host.becomes("not_responding");
    run(docker, &["kill", "--signal", "CONT", id]);
    host.becomes("active");
    let record = host.platform.deployment(&host.deployment).unwrap();
    assert!(record["error_message"].is_null());
    assert_eq!(record["tags"], serde_json::json!(["mine"]));
}

#[test]
fn a_container_that_is_stopped_is_started_again_each_time() {
    let docker = engine_or_skip!();
    let host = Host::new(docker);
    let task = host.deploy();
    let satellite = host.start();
    assert_eq!(host.ended(task), "done");
    for _ in 0..2 {
        run(docker, &["stop", &host.containers()[0]]);
        host.becomes("not_responding");
        host.becomes("active");
    }
    satellite.line("restarting it");
}

#[test]
fn a_new_process_adopts_what_runs() {
    let docker = engine_or_skip!();
    let host = Host::new(docker);
    let task = host.deploy();
    let mut satellite = host.start();
    assert_eq!(host.ended(task), "done");
    let before = host.containers();
    satellite.kill();
    let satellite = host.start();
    satellite.line("is healthy on port");
    let path = format!("/deployments/{}/compute", host.deployment);
    let body = r#"{"inputs": {"x": [1]}}"#;
    let (status, _) = crate::gateway::ask(
        &satellite.gateway(),
        "POST",
        &path,
        Some(crate::host::KEY),
        body,
    );
    assert_eq!(status, 200);
    assert_eq!(host.containers(), before);
    assert_eq!(host.status(), "active");
}

#[test]
fn own_containers_of_unknown_deployments_go_after_a_grace_and_strangers_stay() {
    let docker = engine_or_skip!();
    let host = Host::new(docker);
    let task = host.deploy();
    let mut satellite = host.start();
    assert_eq!(host.ended(task), "done");
    satellite.kill();
    let stranger = uuid();
    let label = format!("df.deployment_id={stranger}");
    run(
        docker,
        &[
            "run",
            "--detach",
            "--label",
            &label,
            "--label",
            "df.satellite=another",
            IMAGE,
        ],
    );
    // The platform forgets the deployment while the satellite is away.
    host.platform.request_deletion(&host.deployment, "undeploy");
    host.platform
        .client()
        .update_task_status("undeploy", "done", "")
        .unwrap();
    host.platform
        .client()
        .delete_deployment(&host.deployment)
        .unwrap();

    let mut command = host.command();
    command.env("LUML_ORPHAN_GRACE_SEC", "2");
    let satellite = Satellite::start(command);
    satellite.line("polls");
    std::thread::sleep(std::time::Duration::from_millis(900));
    assert_eq!(host.containers().len(), 1, "not before the grace is over");
    eventually("the orphan to go", || host.containers().is_empty());
    let left = crate::engine::containers(docker, &stranger);
    assert_eq!(left.len(), 1, "the stranger's container stays");
    run(docker, &["rm", "--force", &left[0]]);
}
