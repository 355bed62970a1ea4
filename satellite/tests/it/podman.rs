//! Deploy, query and undeploy with Podman, if it is installed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use satellite_sdk::extras::temp_directory;
use serde_json::json;

use crate::engine;
use crate::gateway::send;
use crate::host::{Host, KEY, Satellite};

/// Podman as root raises limits, which not every machine permits.
const CONTAINERS_CONF: &str = r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"#;

#[test]
fn podman_deploys_queries_and_undeploys() {
    if !engine::is_available("podman") {
        eprintln!("SKIPPED: podman is not here");
        return;
    }
    let folder = temp_directory().unwrap();
    let settings = folder.path().join("containers.conf");
    fs::write(&settings, CONTAINERS_CONF).unwrap();
    let script = folder.path().join("podman");
    let text = format!(
        "#!/bin/sh\nCONTAINERS_CONF={} exec podman \"$@\"\n",
        settings.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let podman = script.to_str().unwrap();

    engine::make_image(podman);
    let host = Host::with(
        podman,
        json!({ "env_variables": { "LD_LIBRARY_PATH": "/x", "PLAIN": "a b" } }),
    );
    let task = host.deploy();
    let mut command = host.command();
    command.env("LUML_MODEL_IMAGE", format!("localhost/{}", engine::IMAGE));
    let satellite = Satellite::start(command);
    assert_eq!(
        host.wait_for_task(task),
        "done",
        "{}",
        host.platform.result(task)
    );
    let environment = engine::inspect(podman, &host.containers()[0])["Config"]["Env"].take();
    for expected in ["LD_LIBRARY_PATH=/x", "PLAIN=a b"] {
        assert!(
            environment.as_array().unwrap().contains(&json!(expected)),
            "{environment}"
        );
    }
    let path = format!("/deployments/{}/compute", host.deployment);
    let body = r#"{"inputs": {"x": [1]}}"#;
    let (status, answer) = send(&satellite.gateway(), "POST", &path, Some(KEY), body);
    assert_eq!((status, &answer["y"]), (200, &json!([3.0])));
    engine::run(podman, &["rm", "--force", &host.containers()[0]]);
    host.wait_for_status("not_responding");
    host.platform.request_deletion(&host.deployment, "undeploy");
    assert_eq!(
        host.wait_for_task("undeploy"),
        "done",
        "{}",
        host.platform.result("undeploy")
    );
    assert!(host.containers().is_empty());
}
