//! `satellite basilica deploy`.

use std::path::Path;
use std::time::Duration;

use satellite_basilica::{ApiVersion, MockBasilica};
use satellite_serve::testing::Fault;
use serde_json::json;

use crate::basilica::{DEPLOY, basilica};
use crate::program::{cells, until};

#[test]
fn deploy_sends_every_option_of_the_rentals_api() {
    let mock = MockBasilica::start();
    let key = Path::new(env!("CARGO_TARGET_TMPDIR")).join("key.pub");
    std::fs::write(&key, "ssh-ed25519 AAAAC3Nz me@edge\n").unwrap();
    let arguments = [
        "deploy",
        "nginx:latest",
        "--executor",
        "executor-2",
        "--ssh-key",
        key.to_str().unwrap(),
        "--cpus",
        "2",
        "--memory",
        "4096",
        "--storage",
        "2048",
        "--gpus",
        "1",
        "--gpu-type",
        "H100",
        "-p",
        "8080:80",
        "-p",
        "53:53/udp",
        "-v",
        "/srv/models:/models:ro",
        "-e",
        "A=1",
        "-e",
        "B",
        "--",
        "nginx",
        "-g",
        "daemon off;",
    ];
    let text = basilica(&mock, &arguments).env("B", "hush").ok();
    assert!(text.starts_with("id       "), "{text}");
    assert!(
        text.contains("machine  executor-2") && text.contains("ssh      ssh -p "),
        "{text}"
    );
    assert!(!text.contains("hush"), "{text}");
    assert_eq!(
        mock.deployed()[0],
        json!({
            "executor_selection": { "type": "executor_id", "executor_id": "executor-2" },
            "container_image": "nginx:latest",
            "ssh_public_key": "ssh-ed25519 AAAAC3Nz me@edge",
            "environment": { "A": "1", "B": "hush" },
            "ports": [
                { "container_port": 80, "host_port": 8080, "protocol": "tcp" },
                { "container_port": 53, "host_port": 53, "protocol": "udp" },
            ],
            "resources": {
                "cpu_cores": 2.0, "memory_mb": 4096, "storage_mb": 2048, "gpu_count": 1,
                "gpu_types": ["H100"],
            },
            "command": ["nginx", "-g", "daemon off;"],
            "volumes": [
                { "host_path": "/srv/models", "container_path": "/models", "read_only": true },
            ],
            "no_ssh": false,
        })
    );
    let gpus = [
        "deploy",
        "nginx:latest",
        "--no-ssh",
        "--gpus",
        "2",
        "--gpu-type",
        "H100",
        "--min-gpu-memory",
        "80",
    ];
    let document = basilica(&mock, &gpus).json();
    assert_eq!(document["resources"]["gpu_count"], 2);
    assert_eq!(
        mock.deployed()[1]["executor_selection"]["gpu_requirements"],
        json!({ "min_memory_gb": 80, "gpu_type": "H100", "gpu_count": 2 })
    );
}

#[test]
fn deploy_sends_every_option_of_the_deployments_api() {
    let mock = MockBasilica::speaking(ApiVersion::Deployments);
    let arguments = [
        "deploy",
        "vllm/vllm-openai",
        "--api",
        "deployments",
        "--name",
        "my-model",
        "--gpus",
        "1",
        "--gpu-type",
        "H100",
        "-p",
        "8000",
        "--replicas",
        "2",
        "--ttl",
        "2h",
        "--public",
        "--wait",
    ];
    let document = basilica(&mock, &arguments).json();
    assert!(
        document["id"].as_str().unwrap().starts_with("my-model-"),
        "{document}"
    );
    assert_eq!(document["status"], "running");
    let sent = &mock.deployed()[0];
    assert_eq!(
        (&sent["replicas"], &sent["ttlSeconds"]),
        (&json!(2), &json!(7200))
    );
    assert_eq!(
        (&sent["port"], &sent["public"]),
        (&json!(8000), &json!(true))
    );
    assert_eq!(
        sent["resources"]["gpus"],
        json!({ "count": 1, "model": ["H100"] })
    );
    let call = basilica(&mock, &["nodes", "--cpu"]).env("BASILICA_API_VERSION", "deployments");
    assert_eq!(cells(&call.ok())[0][0], "ID");
}

#[test]
fn deploy_rejects_what_the_api_does_not_support_before_anything_is_sent() {
    let mock = MockBasilica::start();
    for (arguments, code, text) in [
        (
            &["deploy", "nginx", "--no-ssh"][..],
            78,
            "executor_id: expected",
        ),
        (
            &["deploy", "nginx", "--executor", "e", "--no-ssh", "--public"],
            78,
            "replicas, ttl, public",
        ),
        (&["deploy", "nginx", "-p", "http"], 2, "8080:80"),
        (
            &["deploy", "nginx", "-v", "/a"],
            2,
            "/srv/models:/models:ro",
        ),
        (
            &["deploy", "nginx", "--ssh-key", "none"],
            1,
            "cannot read none",
        ),
    ] {
        let ended = basilica(&mock, arguments).run();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains(text), "{text} in {ended:?}");
    }
    assert!(mock.requests().is_empty());
}

#[test]
fn after_a_lost_response_the_candidates_are_named() {
    let mock = MockBasilica::start();
    mock.fault("POST", "", Fault::DoneButNoAnswer);
    let ended = basilica(&mock, &DEPLOY).run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let id = basilica(&mock, &["list"]).json()[0]["id"].clone();
    let named = format!("this may be it: {}", id.as_str().unwrap());
    assert!(ended.stderr.contains(&named), "{named} in {ended:?}");
    assert_eq!(mock.deployed().len(), 1, "it was sent once");
}

#[test]
fn ctrl_c_in_a_wait_leaves_the_deployment_starting() {
    let mock = MockBasilica::start();
    // The service accepts the deployment, and then does not answer.
    mock.fault("GET", "/rentals/", Fault::Stall(Duration::from_secs(600)));
    let running = basilica(&mock, &[&DEPLOY[..], &["--wait"]].concat()).start();
    until("its status is requested", || {
        mock.requests()
            .iter()
            .any(|r| r.method == "GET" && r.path.contains("/rentals/"))
    });
    running.interrupt();
    let ended = running.wait();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("goes on; `satellite basilica status "),
        "{ended:?}"
    );
    assert_eq!(mock.deployed().len(), 1);
}
