//! Limits of processes, by a cgroup that is delegated to the satellite as systemd does it. This
//! needs root and cgroup version 2.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{XattrFlags, setxattr};
use serde_json::json;

use crate::engine::PROCESS;
use crate::host::{Host, Satellite, processes_of, uuid};

/// A delegated cgroup; removed when dropped.
struct Delegated(PathBuf);

impl Delegated {
    fn create() -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).ok()?;
        let has = |name| controllers.split_whitespace().any(|one| one == name);
        if !has("memory") || !has("cpu") {
            return None;
        }
        fs::write(root.join("cgroup.subtree_control"), "+memory +cpu").ok()?;
        let group = Delegated(root.join(format!("luml-it-{}", uuid())));
        fs::create_dir(&group.0).ok()?;
        setxattr(&group.0, "user.delegate", b"1", XattrFlags::empty()).ok()?;
        Some(group)
    }

    /// Starts the satellite in the group, as systemd does.
    fn start(&self, host: &Host) -> Satellite {
        let satellite = host.command();
        let mut command = Command::new("/bin/sh");
        let line = "echo 0 > $1/cgroup.procs; exec $2";
        command.args(["-c", line, "sh"]).arg(&self.0);
        command.arg(satellite.get_program());
        for (name, value) in satellite.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Satellite::start(command)
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        for group in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            for _ in 0..100 {
                if fs::remove_dir(group.path()).is_ok() || !group.path().is_dir() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
        let _ = fs::remove_dir(&self.0);
    }
}

macro_rules! delegated_or_skip {
    () => {
        match Delegated::create() {
            Some(group) => group,
            None => {
                eprintln!("SKIPPED: needs root and cgroup version 2 with memory and cpu");
                return;
            }
        }
    };
}

#[test]
fn limits_are_set_and_removed_with_the_model() {
    let group = delegated_or_skip!();
    let host = Host::with(
        PROCESS,
        json!({ "satellite_parameters": { "memory_limit": "64m", "cpu_limit": "500m" } }),
    );
    let task = host.deploy();
    let mut satellite = group.start(&host);
    assert_eq!(host.wait_for_task(task), "done", "{}", satellite.log());
    let log = satellite.log();
    assert!(!log.contains("are not enforced"), "{log}");
    let pid = processes_of(&host.deployment)[0];
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let own = own
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .unwrap();
    let limits = Path::new("/sys/fs/cgroup").join(own);
    let read = |name: &str| fs::read_to_string(limits.join(name)).unwrap();
    assert_eq!(read("memory.max").trim(), (64 << 20).to_string());
    assert_eq!(read("cpu.max").trim(), "50000 100000");

    // A satellite that is started again adopts the model and removes its group.
    satellite.kill();
    let satellite = group.start(&host);
    satellite.wait_for_line("adopted sat-");
    host.platform.request_deletion(&host.deployment, "undeploy");
    assert_eq!(
        host.wait_for_task("undeploy"),
        "done",
        "{}",
        satellite.log()
    );
    assert!(!limits.exists());
}

#[test]
fn a_model_that_exceeds_its_memory_limit_is_killed_and_the_deployment_fails() {
    let group = delegated_or_skip!();
    let host = Host::with(
        PROCESS,
        json!({
            "env_variables": { "MODEL_ALLOCATES_MB": "300", "MODEL_HEALTHY_AFTER_MS": "600000" },
            "satellite_parameters": { "memory_limit": "32m", "restart_policy": "no" },
        }),
    );
    let task = host.deploy();
    let satellite = group.start(&host);
    assert_eq!(host.wait_for_task(task), "failed", "{}", satellite.log());
    let error = host.platform.result(task)["error"].to_string();
    assert!(error.contains("exit code 137"), "{error}");
    assert!(host.containers().is_empty());
}
