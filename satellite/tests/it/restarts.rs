//! A real engine of one's own, really stopped and started in the middle of things.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::extras::{TempDirectory, temp_directory};
use serde_json::json;

use crate::engine::{self, answers, make_image, skipped};
use crate::host::Host;

/// A second dockerd beside the machine's, and the program that speaks to it.
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
        engine.up().then(|| {
            make_image(&engine.program());
            engine
        })
    }

    fn program(&self) -> String {
        self.folder.path().join("docker").display().to_string()
    }

    fn up(&mut self) -> bool {
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
            if answers(&self.program()) {
                return true;
            }
            thread::sleep(Duration::from_millis(100));
        }
        false
    }

    fn down(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            engine::run("kill", &["-s", "TERM", &daemon.id().to_string()]);
            daemon.wait().unwrap();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.down();
    }
}

#[test]
fn an_engine_that_is_stopped_and_started_costs_time_and_nothing_else() {
    let Some(mut engine) = Engine::start() else {
        return skipped("dockerd");
    };
    let program = engine.program();
    // Into looking around, into making the container, and into warming up.
    for after in [50, 350, 1200] {
        let warm_up = json!({ "env_variables": { "MODEL_HEALTHY_AFTER_MS": "2500" } });
        let host = Host::with(&program, warm_up);
        let task = host.deploy();
        let satellite = host.start();
        satellite.line("task deploy (deploy) started");
        thread::sleep(Duration::from_millis(after));
        engine.down();
        thread::sleep(Duration::from_millis(500));
        assert!(engine.up());
        assert_eq!(
            host.ended(task),
            "done",
            "after {after} ms: {}",
            satellite.log()
        );
        host.becomes("active");
        assert_eq!(host.containers().len(), 1);

        // And then while it serves: the container is started again.
        engine.down();
        thread::sleep(Duration::from_millis(1000));
        assert!(engine.up());
        satellite.line("has ended: started again");
        host.becomes("active");

        // And in the middle of an undeploy.
        host.platform.request_deletion(&host.deployment, "undeploy");
        thread::sleep(Duration::from_millis(after));
        engine.down();
        assert!(engine.up());
        assert_eq!(host.ended("undeploy"), "done", "{}", satellite.log());
        assert_eq!(host.status(), "gone");
        assert!(host.containers().is_empty());
    }
}
