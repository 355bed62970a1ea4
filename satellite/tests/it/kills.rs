//! SIGKILL at each step, and the recovery by a new process.

use crate::engine_or_skip;
use crate::host::{Host, Satellite};
use crate::on_each_engine;
use crate::outages::Script;

/// Kills the satellite at its nth call of the engine's program, before or after the call has
/// taken effect. False if there were fewer calls.
fn killed_at(docker: &str, call: u32, after: bool, host: &mut Host, task: &str) -> bool {
    let lines = match after {
        false => format!("[ $COUNT = {call} ] && {{ kill -KILL $PPID; sleep 0.2; exit 1; }}"),
        true => format!(
            "[ $COUNT = {call} ] && {{ docker \"$@\" >/dev/null 2>&1; kill -KILL $PPID; exit 1; }}"
        ),
    };
    let script = Script::new(&lines);
    host.program = script.path();
    let mut command = host.command();
    command.env("LUML_RECONCILE_INTERVAL_SEC", "3600"); // only the task's own calls count
    let mut satellite = Satellite::start(command);
    let begun = std::time::Instant::now();
    let killed = loop {
        if std::fs::read_to_string(script.file("log"))
            .is_ok_and(|log| log.lines().count() as u32 >= call)
        {
            satellite.wait_for_exit();
            break true;
        }
        if host.platform.status(task) == "done" || begun.elapsed().as_secs() > 30 {
            break false; // there were fewer calls
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    host.program = docker.to_owned();
    killed
}

#[test]
fn a_deploy_killed_between_any_two_calls_is_completed_by_the_next_process() {
    let docker = engine_or_skip!();
    let mut kills = 0;
    'calls: for call in 1..=12 {
        for after in [false, true] {
            let mut host = Host::new(docker);
            let task = host.deploy();
            if !killed_at(docker, call, after, &mut host, task) {
                break 'calls;
            }
            kills += 1;
            let satellite = host.start();
            assert_eq!(
                host.wait_for_task(task),
                "done",
                "call {call}: {}",
                satellite.log()
            );
            host.wait_for_status("active");
            assert_eq!(host.containers().len(), 1, "call {call}, after: {after}");
        }
    }
    println!("{kills} kills");
    assert!(kills >= 8, "{kills} kills");
}

#[test]
fn an_undeploy_killed_between_any_two_calls_is_completed_by_the_next_process() {
    let docker = engine_or_skip!();
    let mut kills = 0;
    'calls: for call in 1..=8 {
        for after in [false, true] {
            let mut host = Host::new(docker);
            let task = host.deploy();
            let mut satellite = host.start();
            assert_eq!(host.wait_for_task(task), "done");
            satellite.kill();
            host.platform.request_deletion(&host.deployment, "undeploy");
            if !killed_at(docker, call, after, &mut host, "undeploy") {
                break 'calls;
            }
            kills += 1;
            let _satellite = host.start();
            assert_eq!(host.wait_for_task("undeploy"), "done", "call {call}");
            assert_eq!(host.status(), "gone");
            assert!(host.containers().is_empty(), "call {call}, after: {after}");
        }
    }
    println!("{kills} kills");
    assert!(kills >= 6, "{kills} kills");
}

on_each_engine! {
    a_task_killed_at_any_step_of_the_sdk_is_completed_by_the_next_process,
}

fn a_task_killed_at_any_step_of_the_sdk_is_completed_by_the_next_process(engine: &str) {
    let steps = [
        "claim answered",
        "journal on the disk#2",
        "handler",
        "handler returned",
        "journal on the disk#3",
        "report",
        "report answered",
    ];
    for journal in [true, false] {
        for step in steps {
            if !journal && step.starts_with("journal") {
                continue;
            }
            let host = Host::new(engine);
            if !journal && host.is_process() {
                continue; // it needs a state folder, and so has a journal
            }
            let command = || {
                let mut command = host.command();
                if journal {
                    command.env("LUML_STATE_DIR", host.state());
                }
                command
            };
            let task = host.deploy();
            let mut killed = command();
            killed.env("SATELLITE_KILL_AT", step);
            Satellite::start(killed).wait_for_exit();
            let next = Satellite::start(command());
            let how = format!("{step}, journal: {journal}");
            assert_eq!(host.wait_for_task(task), "done", "{how}: {}", next.log());
            host.wait_for_status("active");
            assert_eq!(host.containers().len(), 1, "{how}");
        }
    }
}
