//! Deploy and undeploy, and tasks that run concurrently.

use std::time::Instant;

use satellite_sdk::testing::mock_task;
use serde_json::json;

use crate::engine::{NETWORK, inspect};
use crate::gateway::send;
use crate::host::{Host, KEY, eventually, uuid};
use crate::on_each_engine;

on_each_engine! {
    a_model_is_deployed_queried_and_undeployed,
    undeploy_succeeds_without_a_container_or_deployment,
    a_model_that_never_becomes_healthy_does_not_block_other_tasks,
    a_deletion_while_the_model_starts_cancels_the_deploy,
    a_second_deploy_replaces_the_container,
}

fn a_model_is_deployed_queried_and_undeployed(engine: &str) {
    let secret = uuid();
    let host = Host::with(
        engine,
        json!({
            "env_variables": { "PLAIN": "a\nb", "WINS": "own" },
            "env_variables_secrets": { "WINS": secret, "DOCKER_HOST": secret, "API_KEY": secret },
            "dynamic_attributes_secrets": { "api_key": secret },
            "satellite_parameters": { "memory_limit": "64m", "cpu_limit": 0.5 },
        }),
    );
    host.platform.add_secret(&secret, "the key", "tcp://hush:1");
    let task = host.deploy();
    let satellite = host.start();
    assert_eq!(
        host.wait_for_task(task),
        "done",
        "{}",
        host.platform.result(task)
    );
    let url = format!("/deployments/{}", host.deployment);
    assert_eq!(host.platform.result(task), json!({ "inference_url": url }));

    let record = host.platform.deployment(&host.deployment).unwrap();
    assert_eq!(record["status"], "active");
    assert_eq!(record["inference_url"], json!(url));
    assert_eq!(
        record["tags"],
        json!(["mine"]),
        "the user's fields are kept"
    );
    let attributes = &record["schemas"]["components"]["schemas"]["DynamicAttributesModel"];
    let names: Vec<_> = attributes["properties"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(
        names,
        ["language"],
        "callers need not give attributes from secrets"
    );

    let [id] = &host.containers()[..] else {
        panic!("one container")
    };
    let labels = host.labels(id);
    assert_eq!(labels["df.deployment_id"], json!(host.deployment));
    assert_eq!(labels["df.task_id"], json!(task));
    assert_eq!(
        labels["df.model_id"].as_str().map(str::len),
        Some(32),
        "an MD5"
    );
    let environment = host.variables(id);
    for expected in [
        "PLAIN=a\nb",
        "WINS=own",
        "API_KEY=tcp://hush:1",
        "DOCKER_HOST=tcp://hush:1",
        "MODEL_ARTIFACT_URL=http://files/m/line?sig=hush",
        "MODEL_NAME=line",
        &format!("DEPLOYMENT_ID={}", host.deployment),
    ] {
        assert!(
            environment.iter().any(|one| one == expected),
            "{expected:?} in {environment:?}"
        );
    }
    match host.is_process() {
        true => is_reachable_only_from_this_host(&host, id),
        false => is_limited_as_requested(engine, &host, id),
    }

    let gateway = satellite.gateway();
    let path = format!("/deployments/{}/compute", host.deployment);
    let (status, answer) = send(
        &gateway,
        "POST",
        &path,
        Some(KEY),
        r#"{"inputs": {"x": [20.5]}}"#,
    );
    assert_eq!(
        (status, answer),
        (200, json!({ "y": [42.0], "attributes": ["api_key"] }))
    );

    host.platform.request_deletion(&host.deployment, "undeploy");
    assert_eq!(host.wait_for_task("undeploy"), "done");
    assert_eq!(
        host.platform.result("undeploy"),
        json!({ "container_removed": true })
    );
    assert_eq!(host.status(), "gone");
    assert!(host.containers().is_empty());
    let (status, _) = send(&gateway, "POST", &path, Some(KEY), "{}");
    assert_eq!(status, 404);
}

fn is_limited_as_requested(docker: &str, host: &Host, id: &str) {
    let container = inspect(docker, id);
    assert_eq!(
        container["Name"],
        json!(format!("/sat-{}", host.deployment))
    );
    let limits = &container["HostConfig"];
    assert_eq!(limits["Memory"], 64 << 20);
    assert_eq!(limits["NanoCpus"], 500_000_000);
    assert_eq!(
        limits["RestartPolicy"],
        json!({ "Name": "on-failure", "MaximumRetryCount": 3 })
    );
    assert!(container["NetworkSettings"]["Networks"][NETWORK].is_object());
    let published = &container["NetworkSettings"]["Ports"]["8080/tcp"][0];
    assert_eq!(
        published["HostIp"], "127.0.0.1",
        "the model is reachable only from this host"
    );
}

/// The kernel's table of sockets has addresses in hexadecimal, least significant byte first.
fn is_reachable_only_from_this_host(host: &Host, id: &str) {
    let port = host.record(id)["port"].as_u64().unwrap();
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let listening: Vec<&str> = sockets
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (local, state) = (words.nth(1)?, words.nth(1)?);
            let (address, local_port) = local.split_once(':')?;
            let is_this = u64::from_str_radix(local_port, 16) == Ok(port) && state == "0A";
            is_this.then_some(address)
        })
        .collect();
    assert_eq!(listening, ["0100007F"], "port {port} in {sockets}");
}

fn undeploy_succeeds_without_a_container_or_deployment(engine: &str) {
    let host = Host::new(engine);
    host.platform.request_deletion(&host.deployment, "undeploy");
    let _satellite = host.start();
    assert_eq!(host.wait_for_task("undeploy"), "done");
    assert_eq!(
        host.platform.result("undeploy"),
        json!({ "container_removed": false })
    );
    let payload = json!({ "deployment_id": host.deployment });
    host.platform
        .add_task(mock_task("again", "undeploy", payload));
    assert_eq!(host.wait_for_task("again"), "done");
}

fn a_model_that_never_becomes_healthy_does_not_block_other_tasks(engine: &str) {
    let host = Host::with(
        engine,
        json!({ "env_variables": { "MODEL_HEALTHY_AFTER_MS": "600000" } }),
    );
    host.deploy();
    let _satellite = host.start();
    eventually("the container", || host.containers().len() == 1);
    let other = uuid();
    host.platform.add_deployment(json!({ "id": other }));
    let begun = Instant::now();
    host.platform.request_deletion(&other, "undeploy");
    assert_eq!(host.wait_for_task("undeploy"), "done");
    // Two poll intervals of 0.2 s, and a few calls of the engine's program.
    assert!(begun.elapsed().as_secs_f64() < 3.0, "{:?}", begun.elapsed());
    assert_eq!(host.platform.status("deploy"), "running");
}

fn a_deletion_while_the_model_starts_cancels_the_deploy(engine: &str) {
    for wait_for_container in [false, true] {
        let warm_up = json!({ "env_variables": { "MODEL_HEALTHY_AFTER_MS": "2500" } });
        let host = Host::with(engine, warm_up);
        let task = host.deploy();
        let _satellite = host.start();
        if wait_for_container {
            eventually("the container", || host.containers().len() == 1);
        }
        host.platform.request_deletion(&host.deployment, "undeploy");
        assert_eq!(host.wait_for_task("undeploy"), "done");
        assert_eq!(host.wait_for_task(task), "failed");
        assert_eq!(host.status(), "gone");
        assert!(host.containers().is_empty());
    }
}

fn a_second_deploy_replaces_the_container(engine: &str) {
    let host = Host::new(engine);
    let task = host.deploy();
    let _satellite = host.start();
    assert_eq!(host.wait_for_task(task), "done");
    let first = host.containers();
    let payload = json!({ "deployment_id": host.deployment });
    host.platform
        .add_task(mock_task("again", "deploy", payload));
    assert_eq!(host.wait_for_task("again"), "done");
    let second = host.containers();
    assert_eq!(second.len(), 1);
    assert_ne!(first, second);
}
