//! A real, separate engine that is stopped and started during deploy and undeploy.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::extras::{TempDirectory, temp_directory};
use serde_json::json;

use crate::engine::{self, is_available, make_image, skipped};
use crate::host::Host;

/// A second dockerd, and a script that connects docker to it.
struct Engine {
    folder: TempDirectory,
    daemon: Option<Child>,
}

impl Engine {
    fn start() -> Option<Self> {
        let folder = temp_directory().unwrap();
        let script = folder.path().join("docker");
        let socket = folder.path().join("socket");
        let text = format!(
            "#!/bin/sh\nexec docker -H unix://{} \"$@\"\n",
            socket.display()
        );
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let mut engine = Engine {
            folder,
            daemon: None,
        };
        engine.start_daemon().then(|| {
            make_image(&engine.program());
            engine
        })
    }

    fn program(&self) -> String {
        self.folder.path().join("docker").display().to_string()
    }

    fn start_daemon(&mut self) -> bool {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let daemon = Command::new("dockerd")
            .args(["--host", &format!("unix://{}", path("socket"))])
            .args(["--data-root", &path("data"), "--exec-root", &path("exec")])
            .args([
                "--pidfile",
                &path("pid"),
                "--bridge=none",
                "--iptables=false",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(daemon) = daemon else { return false };
        self.daemon = Some(daemon);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            if is_available(&self.program()) {
                return true;
            }
            thread::sleep(Duration::from_millis(100));
        }
        false
    }

    fn stop_daemon(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            engine::run("kill", &["-s", "TERM", &daemon.id().to_string()]);
            daemon.wait().unwrap();
        }
    }
}

impl Drop for Engine {
    /// Removes its networks first: the host keeps a bridge, and its range of addresses, of every
    /// network that a daemon leaves behind.
    fn drop(&mut self) {
        let program = self.program();
        engine::run(&program, &["container", "prune", "--force"]);
        engine::run(&program, &["network", "prune", "--force"]);
        self.stop_daemon();
    }
}

#[test]
fn deploy_and_undeploy_survive_a_restart_of_the_engine() {
    let Some(mut engine) = Engine::start() else {
        return skipped("dockerd");
    };
    let program = engine.program();
    // During the inspection, the creation of the container, and the start of the model.
    for after in [50, 350, 1200] {
        let warm_up = json!({ "env_variables": { "MODEL_HEALTHY_AFTER_MS": "2500" } });
        let host = Host::with(&program, warm_up);
        let task = host.deploy();
        let satellite = host.start();
        satellite.wait_for_line("task deploy (deploy) started");
        thread::sleep(Duration::from_millis(after));
        engine.stop_daemon();
        thread::sleep(Duration::from_millis(500));
        assert!(engine.start_daemon());
        assert_eq!(
            host.wait_for_task(task),
            "done",
            "after {after} ms: {}",
            satellite.log()
        );
        host.wait_for_status("active");
        assert_eq!(host.containers().len(), 1);

        // While the model serves: its container is restarted.
        engine.stop_daemon();
        thread::sleep(Duration::from_millis(1000));
        assert!(engine.start_daemon());
        satellite.wait_for_line("exited; restarting it");
        host.wait_for_status("active");

        // During an undeploy.
        host.platform.request_deletion(&host.deployment, "undeploy");
        thread::sleep(Duration::from_millis(after));
        engine.stop_daemon();
        assert!(engine.start_daemon());
        assert_eq!(
            host.wait_for_task("undeploy"),
            "done",
            "{}",
            satellite.log()
        );
        assert_eq!(host.status(), "gone");
        assert!(host.containers().is_empty());
    }
}
