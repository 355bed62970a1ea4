//! The deployments' status follows the state of the containers.

use crate::engine::{IMAGE, run};
use crate::engine_or_skip;
use crate::host::{Host, Satellite, eventually, uuid};
use crate::on_each_engine;

#[test]
fn an_active_deployment_without_a_container_becomes_not_responding() {
    let docker = engine_or_skip!();
    let host = Host::new(docker);
    let task = host.deploy();
    let _satellite = host.start();
    assert_eq!(host.wait_for_task(task), "done");
    run(docker, &["rm", "--force", &host.containers()[0]]);
    host.wait_for_status("not_responding");
    let reported = &host.platform.deployment(&host.deployment).unwrap()["error_message"];
    // The engine may still be removing the container at the first check.
    let reason = reported["reason"].as_str().unwrap();
    assert!(["container not found", "container is not running"].contains(&reason));
}

on_each_engine! {
    a_model_that_hangs_and_recovers_becomes_active_again,
    a_stopped_container_is_restarted_each_time,
    a_new_process_adopts_running_containers,
}

fn a_model_that_hangs_and_recovers_becomes_active_again(engine: &str) {
    let host = Host::new(engine);
    let task = host.deploy();
    let _satellite = host.start();
    assert_eq!(host.wait_for_task(task), "done");
    let id = &host.containers()[0];
    host.signal(id, "STOP");
    host.wait_for_status("not_responding");
    host.signal(id, "CONT");
    host.wait_for_status("active");
    let record = host.platform.deployment(&host.deployment).unwrap();
    assert!(record["error_message"].is_null());
    assert_eq!(record["tags"], serde_json::json!(["mine"]));
}

fn a_stopped_container_is_restarted_each_time(engine: &str) {
    let host = Host::new(engine);
    let task = host.deploy();
    let satellite = host.start();
    assert_eq!(host.wait_for_task(task), "done");
    for _ in 0..2 {
        host.signal(&host.containers()[0], "TERM");
        host.wait_for_status("not_responding");
        host.wait_for_status("active");
    }
    satellite.wait_for_line("restarting it");
}

fn a_new_process_adopts_running_containers(engine: &str) {
    let host = Host::new(engine);
    let task = host.deploy();
    let mut satellite = host.start();
    assert_eq!(host.wait_for_task(task), "done");
    let before = host.containers();
    satellite.kill();
    let satellite = host.start();
    satellite.wait_for_line("is healthy on port");
    let path = format!("/deployments/{}/compute", host.deployment);
    let body = r#"{"inputs": {"x": [1]}}"#;
    let gateway = satellite.gateway();
    eventually("the gateway to know the adopted container", || {
        let (status, _) =
            crate::gateway::send(&gateway, "POST", &path, Some(crate::host::KEY), body);
        status == 200
    });
    assert_eq!(host.containers(), before);
    assert_eq!(host.status(), "active");
}

#[test]
fn orphaned_containers_are_removed_after_the_grace_period_and_foreign_ones_are_kept() {
    let docker = engine_or_skip!();
    let host = Host::new(docker);
    let task = host.deploy();
    let mut satellite = host.start();
    assert_eq!(host.wait_for_task(task), "done");
    satellite.kill();
    let foreign = uuid();
    let label = format!("df.deployment_id={foreign}");
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
    // The deployment is deleted on the platform while the satellite is down.
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
    satellite.wait_for_line("polls");
    std::thread::sleep(std::time::Duration::from_millis(900));
    assert_eq!(
        host.containers().len(),
        1,
        "not before the grace period is over"
    );
    eventually("the removal of the orphan", || host.containers().is_empty());
    let left = crate::engine::containers(docker, &foreign);
    assert_eq!(left.len(), 1, "the foreign container is kept");
    run(docker, &["rm", "--force", &left[0]]);
}
