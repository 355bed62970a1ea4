//! The engine goes away in the middle of each step, and comes back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use satellite_sdk::extras::{TempDirectory, temp_directory};

use crate::engine_or_skip;
use crate::host::Host;

/// A program in docker's place: does what it is told to, then what docker does.
pub struct Script(TempDirectory);

impl Script {
    /// `lines` are run by sh before docker itself; `$COUNT` is the number of the
    /// call, from 1, and `$DIR` a folder of its own.
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

const AWAY: &str = "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. \
                    Is the docker daemon running?' >&2; exit 1";

#[test]
fn an_engine_that_goes_away_at_any_step_of_a_deploy_is_waited_for() {
    let docker = engine_or_skip!();
    for step in ["ps", "network", "image", "run", "container", "rm"] {
        // Away from the first call of this step on, until it is told to be back.
        let script = Script::new(&format!(
            "[ \"$1\" = {step} ] && [ ! -e $DIR/back ] && touch $DIR/away\n\
             [ -e $DIR/away ] && [ ! -e $DIR/back ] && {{ {AWAY}; }}"
        ));
        let mut host = Host::new(docker);
        host.program = script.path();
        let task = host.deploy();
        let satellite = host.start();
        if step != "rm" {
            satellite.line("Cannot connect to the Docker daemon");
            thread::sleep(Duration::from_millis(700));
            assert_eq!(
                host.platform.status(task),
                "running",
                "{step}: nothing fails meanwhile"
            );
            assert_eq!(host.status(), "pending");
        }
        fs::write(script.file("back"), "").unwrap();
        assert_eq!(host.ended(task), "done", "{step}: {}", satellite.log());
        assert_eq!(host.containers().len(), 1, "{step}");
        host.program = docker.to_owned();
    }
}

#[test]
fn an_engine_that_does_its_work_and_dies_before_it_answers_leaves_one_container() {
    let docker = engine_or_skip!();
    let script = Script::new(&format!(
        "[ \"$1\" = run ] && [ ! -e $DIR/once ] && {{ touch $DIR/once; docker \"$@\" >/dev/null; {AWAY}; }}"
    ));
    let mut host = Host::new(docker);
    host.program = script.path();
    let task = host.deploy();
    let _satellite = host.start();
    assert_eq!(host.ended(task), "done");
    assert_eq!(host.containers().len(), 1);
    host.program = docker.to_owned();
}

#[test]
fn an_engine_that_goes_away_during_an_undeploy_is_waited_for() {
    let docker = engine_or_skip!();
    for step in ["ps", "stop", "rm"] {
        let mut host = Host::new(docker);
        let task = host.deploy();
        let mut satellite = host.start();
        assert_eq!(host.ended(task), "done");
        satellite.kill();
        let script = Script::new(&format!(
            "[ \"$1\" = {step} ] && [ ! -e $DIR/back ] && touch $DIR/away\n\
             [ -e $DIR/away ] && [ ! -e $DIR/back ] && {{ {AWAY}; }}"
        ));
        host.program = script.path();
        host.platform.request_deletion(&host.deployment, "undeploy");
        let _satellite = host.start();
        thread::sleep(Duration::from_millis(1500));
        assert_ne!(host.platform.status("undeploy"), "failed");
        fs::write(script.file("back"), "").unwrap();
        assert_eq!(host.ended("undeploy"), "done", "{step}");
        assert_eq!(host.status(), "gone");
        host.program = docker.to_owned();
        assert!(host.containers().is_empty());
    }
}

#[test]
fn an_engine_that_hangs_does_not_hang_the_satellite_and_its_program_goes_with_it() {
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
    assert_eq!(satellite.end().code(), Some(0));
    let process = PathBuf::from("/proc").join(pid.trim());
    crate::host::eventually("the program's end", || !process.exists());
    host.program = docker.to_owned();
}

#[test]
fn an_image_that_is_absent_is_pulled_with_progress_in_the_log() {
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
    assert_eq!(host.ended(task), "done", "{}", satellite.log());
    for told in [
        format!("pulling {image}"),
        "1a2b3c: Pull complete".to_owned(),
    ] {
        assert!(
            satellite.log().contains(&told),
            "{told}: {}",
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
fn a_pull_under_way_ends_with_the_satellite() {
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
    assert_eq!(satellite.end().code(), Some(0));
    let process = PathBuf::from("/proc").join(pid.trim());
    crate::host::eventually("the pull's end", || !process.exists());
    assert_eq!(
        host.platform.status("deploy"),
        "running",
        "the next process takes it up"
    );
    host.program = docker.to_owned();
}

#[test]
fn a_call_that_cannot_be_made_fails_its_deployment_and_does_not_wait_for_an_engine() {
    let docker = engine_or_skip!();
    let large = "x".repeat(200_000);
    let host = Host::with(
        docker,
        serde_json::json!({ "env_variables": { "LARGE": large } }),
    );
    let task = host.deploy();
    let _satellite = host.start();
    assert_eq!(host.ended(task), "failed");
    assert_eq!(
        host.platform.result(task)["reason"],
        "Failed to create container"
    );
}
