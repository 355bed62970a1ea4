//! The engine becomes unavailable at each step, and recovers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use satellite_sdk::extras::{TempDirectory, temp_directory};

use crate::engine_or_skip;
use crate::host::Host;
use crate::on_each_engine;

/// A script in place of the docker program: runs injected commands, then docker.
pub struct Script(TempDirectory);

impl Script {
    /// `lines` are run by sh before docker; `$COUNT` is the number of the call, from 1, and
    /// `$DIR` a private folder.
    pub fn new(lines: &str) -> Self {
        let folder = temp_directory().unwrap();
        let text = format!(
            "#!/bin/sh\nDIR={}\nCOUNT=1\n\
             while ! mkdir $DIR/call$COUNT 2>/dev/null; do [ -d $DIR ] || exit 1; COUNT=$((COUNT + 1)); done\n\
             echo \"$COUNT $*\" >> $DIR/log\n{lines}\nexec docker \"$@\"\n",
            folder.path().display()
        );
        let path = folder.path().join("docker");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Script(folder)
    }

    pub fn path(&self) -> String {
        self.file("docker").display().to_string()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

const UNAVAILABLE: &str = "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. \
                    Is the docker daemon running?' >&2; exit 1";

#[test]
fn a_deploy_retries_while_the_engine_is_unavailable_at_any_step() {
    let docker = engine_or_skip!();
    for step in ["ps", "network", "image", "run", "container", "rm"] {
        // Unavailable from the first call of this step until the file `back` exists.
        let script = Script::new(&format!(
            "[ \"$1\" = {step} ] && [ ! -e $DIR/back ] && touch $DIR/unavailable\n\
             [ -e $DIR/unavailable ] && [ ! -e $DIR/back ] && {{ {UNAVAILABLE}; }}"
        ));
        let mut host = Host::new(docker);
        host.program = script.path();
        let task = host.deploy();
        let satellite = host.start();
        if step != "rm" {
            satellite.wait_for_line("Cannot connect to the Docker daemon");
            thread::sleep(Duration::from_millis(700));
            assert_eq!(
                host.platform.status(task),
                "running",
                "{step}: the task does not fail meanwhile"
            );
            assert_eq!(host.status(), "pending");
        }
        fs::write(script.file("back"), "").unwrap();
        assert_eq!(
            host.wait_for_task(task),
            "done",
            "{step}: {}",
            satellite.log()
        );
        assert_eq!(host.containers().len(), 1, "{step}");
        host.program = docker.to_owned();
    }
}

#[test]
fn an_engine_that_fails_after_creating_the_container_leaves_only_one() {
    let docker = engine_or_skip!();
    let script = Script::new(&format!(
        "[ \"$1\" = run ] && [ ! -e $DIR/once ] && {{ touch $DIR/once; docker \"$@\" >/dev/null; {UNAVAILABLE}; }}"
    ));
    let mut host = Host::new(docker);
    host.program = script.path();
    let task = host.deploy();
    let _satellite = host.start();
    assert_eq!(host.wait_for_task(task), "done");
    assert_eq!(host.containers().len(), 1);
    host.program = docker.to_owned();
}

#[test]
fn an_undeploy_retries_while_the_engine_is_unavailable() {
    let docker = engine_or_skip!();
    for step in ["ps", "stop", "rm"] {
        let mut host = Host::new(docker);
        let task = host.deploy();
        let mut satellite = host.start();
        assert_eq!(host.wait_for_task(task), "done");
        satellite.kill();
        let script = Script::new(&format!(
            "[ \"$1\" = {step} ] && [ ! -e $DIR/back ] && touch $DIR/unavailable\n\
             [ -e $DIR/unavailable ] && [ ! -e $DIR/back ] && {{ {UNAVAILABLE}; }}"
        ));
        host.program = script.path();
        host.platform.request_deletion(&host.deployment, "undeploy");
        let _satellite = host.start();
        thread::sleep(Duration::from_millis(1500));
        assert_ne!(host.platform.status("undeploy"), "failed");
        fs::write(script.file("back"), "").unwrap();
        assert_eq!(host.wait_for_task("undeploy"), "done", "{step}");
        assert_eq!(host.status(), "gone");
        host.program = docker.to_owned();
        assert!(host.containers().is_empty());
    }
}

#[test]
fn an_undeploy_waits_for_a_removal_that_another_call_has_begun() {
    let docker = engine_or_skip!();
    // A killed program's removal goes on in the engine for two calls more.
    let script = Script::new(
        "[ \"$1\" = rm ] && mkdir $DIR/rm1 2>/dev/null && \
         { echo \"Error response from daemon: removal of container $4 is already in progress\" >&2; exit 1; }\n\
         [ \"$1\" = rm ] && mkdir $DIR/rm2 2>/dev/null && \
         { echo \"Error response from daemon: removal of container $4 is already in progress\" >&2; exit 1; }",
    );
    let mut host = Host::new(docker);
    let task = host.deploy();
    host.program = script.path();
    let _satellite = host.start();
    assert_eq!(host.wait_for_task(task), "done");
    host.platform.request_deletion(&host.deployment, "undeploy");
    assert_eq!(host.wait_for_task("undeploy"), "done");
    assert!(script.file("rm2").exists());
    host.program = docker.to_owned();
    assert!(host.containers().is_empty());
}

#[test]
fn a_hanging_engine_does_not_block_the_stop_and_its_program_is_killed() {
    let docker = engine_or_skip!();
    let script = Script::new("[ \"$1\" = ps ] && { echo $$ > $DIR/pid; sleep 1000; }");
    let mut host = Host::new(docker);
    host.program = script.path();
    host.deploy();
    let mut satellite = host.start();
    crate::host::eventually("the call", || script.file("pid").exists());
    thread::sleep(Duration::from_millis(200));
    let pid = fs::read_to_string(script.file("pid")).unwrap();
    let signalled = crate::engine::run("kill", &["-TERM", &satellite.pid().to_string()]);
    assert!(signalled.status.success());
    assert_eq!(satellite.wait_for_exit().code(), Some(0));
    let process = PathBuf::from("/proc").join(pid.trim());
    crate::host::eventually("the program's end", || !process.exists());
    host.program = docker.to_owned();
}

#[test]
fn a_missing_image_is_pulled_with_progress_in_the_log() {
    let docker = engine_or_skip!();
    let image = format!("luml-satellite-it-pulled:{}", crate::host::uuid());
    let script = Script::new(&format!(
        "[ \"$1\" = pull ] && {{ echo '1a2b3c: Pulling fs layer'; echo '1a2b3c: Pull complete'; \
         exec docker tag {} {image}; }}",
        crate::engine::IMAGE
    ));
    let mut host = Host::new(docker);
    host.program = script.path();
    let task = host.deploy();
    let mut command = host.command();
    command.env("LUML_MODEL_IMAGE", &image);
    let satellite = crate::host::Satellite::start(command);
    assert_eq!(host.wait_for_task(task), "done", "{}", satellite.log());
    for reported in [
        format!("pulling {image}"),
        "1a2b3c: Pull complete".to_owned(),
    ] {
        assert!(
            satellite.log().contains(&reported),
            "{reported}: {}",
            satellite.log()
        );
    }
    host.program = docker.to_owned();
    for id in host.containers() {
        crate::engine::run(docker, &["rm", "--force", &id]);
    }
    crate::engine::run(docker, &["rmi", &image]);
}

#[test]
fn a_pull_in_progress_ends_with_the_satellite() {
    let docker = engine_or_skip!();
    let script = Script::new("[ \"$1\" = pull ] && { echo $$ > $DIR/pid; exec sleep 1000; }");
    let mut host = Host::new(docker);
    host.program = script.path();
    host.deploy();
    let mut command = host.command();
    command.env("LUML_MODEL_IMAGE", "luml-satellite-it-absent:1");
    let mut satellite = crate::host::Satellite::start(command);
    crate::host::eventually("the pull", || script.file("pid").exists());
    thread::sleep(Duration::from_millis(300));
    let pid = fs::read_to_string(script.file("pid")).unwrap();
    crate::engine::run("kill", &["-TERM", &satellite.pid().to_string()]);
    assert_eq!(satellite.wait_for_exit().code(), Some(0));
    let process = PathBuf::from("/proc").join(pid.trim());
    crate::host::eventually("the pull's end", || !process.exists());
    assert_eq!(
        host.platform.status("deploy"),
        "running",
        "the next process continues it"
    );
    host.program = docker.to_owned();
}

on_each_engine! {
    a_program_that_cannot_be_started_fails_the_deployment_without_retries,
}

fn a_program_that_cannot_be_started_fails_the_deployment_without_retries(engine: &str) {
    let large = "x".repeat(200_000);
    let host = Host::with(
        engine,
        serde_json::json!({ "env_variables": { "LARGE": large } }),
    );
    let task = host.deploy();
    let _satellite = host.start();
    assert_eq!(host.wait_for_task(task), "failed");
    assert_eq!(
        host.platform.result(task)["reason"],
        "Failed to create container"
    );
}
