//! The same path with Podman, where it is there.

use crate::engine;
use crate::gateway::ask;
use crate::host::{Host, KEY};

#[test]
fn podman_runs_the_same_path() {
    if !engine::answers("podman") {
        eprintln!("SKIPPED: podman is not here");
        return;
    }
    engine::make_image("podman");
    let host = Host::new("podman");
    let task = host.deploy();
    let mut command = host.command();
    command.env("LUML_MODEL_IMAGE", format!("localhost/{}", engine::IMAGE));
    let satellite = crate::host::Satellite::start(command);
    assert_eq!(host.ended(task), "done", "{}", host.platform.result(task));
    let path = format!("/deployments/{}/compute", host.deployment);
    let body = r#"{"inputs": {"x": [1]}}"#;
    let (status, answer) = ask(&satellite.gateway(), "POST", &path, Some(KEY), body);
    assert_eq!((status, &answer["y"]), (200, &serde_json::json!([3.0])));
    host.platform.request_deletion(&host.deployment, "undeploy");
    assert_eq!(
        host.ended("undeploy"),
        "done",
        "{}",
        host.platform.result("undeploy")
    );
    assert!(host.containers().is_empty());
}
