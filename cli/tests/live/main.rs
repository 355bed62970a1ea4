//! `satellite sky` against the real SkyPilot server, with `SATELLITE_LIVE=1`. Otherwise
//! nothing is started and the test reports that it was skipped.

#![cfg(unix)]
#![allow(clippy::unwrap_used)] // a test that cannot go on should say so

#[allow(dead_code)] // the other tests use the rest
#[path = "../it/program.rs"]
mod program;
#[allow(dead_code)]
#[path = "../../../tests/live/server.rs"]
mod server;

use serde_json::Value;

use program::{Ended, Program, until};
use server::Server;

const A10G: &str = "resources:\n  infra: fluidstack # the cheapest\n  accelerators: A10G:1\n";

#[test]
fn the_commands_run_against_a_real_server() {
    let Some(server) = Server::start(false) else {
        return;
    };
    let sky = |arguments: &[&str]| {
        let (host, port) = server.address();
        let arguments: Vec<_> = ["sky"].iter().chain(arguments).copied().collect();
        Program::new(&arguments).env("SKYPILOT_API_SERVER_URL", format!("http://{host}:{port}"))
    };
    plans(&sky);
    let launch = [
        "launch",
        "-c",
        "cli",
        "-y",
        "--infra",
        "slurm/live",
        "--cpus",
        "1",
        "--env",
    ];
    let command = ["WHO=it's é", "--", "echo hello $WHO; sleep 1; echo bye"];
    let ended = sky(&[&launch[..], &command].concat()).run();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.stdout.contains("hello it's é") && ended.stdout.contains("bye"),
        "{ended:?}"
    );
    let cluster = &sky(&["status", "cli"]).json()[0];
    assert_eq!(
        (&cluster["name"], &cluster["status"]),
        (&"cli".into(), &"UP".into())
    );
    assert!(sky(&["status", "c*"]).ok().contains("Slurm"));

    commands(&sky);
    jobs(&sky);
    fails(&sky(&["stop", "cli", "-y"]).run(), 1, "NotSupportedError");
    sky(&["down", "cli", "-y"]).ok();
    fails(
        &sky(&["status", "cli"]).run(),
        1,
        "cluster cli does not exist",
    );
    assert!(sky(&["cost"]).ok().contains("cli"));
}

fn fails(ended: &Ended, code: i32, text: &str) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert!(ended.stderr.contains(text), "{text} in {ended:?}");
}

/// What needs no cluster.
fn plans(sky: &impl Fn(&[&str]) -> Program) {
    // Left over from a run that failed.
    let _ = sky(&["down", "cli", "--purge", "-y"]).run();
    assert_eq!(sky(&["status"]).ok(), "no clusters\n");
    let checked = sky(&["check", "fluidstack", "slurm"]).json();
    assert_eq!(checked["clouds"]["default"]["Fluidstack"][0], "compute");
    let estimate = sky(&["cost", "-", "--hours", "24"]).input(A10G).json();
    assert_eq!(
        (&estimate["cost_per_hour"], &estimate["is_exact"]),
        (&1.624.into(), &true.into())
    );
    let changed = sky(&["cost", "-", "--gpus", "H100:2", "--num-nodes", "2"])
        .input(A10G)
        .json();
    assert_eq!(changed["cost_per_hour"], 11.96);
    let planned = sky(&["launch", "--dryrun", "-"]).input(A10G).ok();
    assert_eq!(planned, "dry run: nothing was launched\n");
    let (shown, code) = sky(&[
        "launch",
        "-c",
        "no",
        "--infra",
        "fluidstack",
        "--gpus",
        "A10G:1",
    ])
    .input("n\n")
    .on_terminal();
    assert!(shown.contains("for $1.62 an hour?"), "{shown}");
    assert_eq!(code, Some(1));
}

fn commands(sky: &impl Fn(&[&str]) -> Program) {
    let mut running = sky(&["exec", "cli", "echo one; sleep 5; echo two >&2; exit 7"]).start();
    assert_eq!(running.line(), "one");
    let ended = running.wait();
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(7), "two\n"),
        "{ended:?}"
    );
    let document = sky(&["exec", "cli", "printf 'a\\nb'"]).json();
    assert_eq!(
        (&document["stdout"], &document["exit_code"]),
        (&"a\nb".into(), &0.into())
    );
    let killed = sky(&["exec", "cli", "--timeout", "2", "sleep 60"]).run();
    assert_eq!(killed.code, Some(124), "{killed:?}");
    fails(&sky(&["exec", "nobody", "true"]).run(), 125, "nobody");
}

fn jobs(sky: &impl Fn(&[&str]) -> Program) {
    let failing = sky(&["exec", "cli", "-"])
        .input("name: failing\nrun: echo no; exit 3\n")
        .run();
    assert_eq!(failing.code, Some(100), "{failing:?}");
    assert!(failing.stdout.contains("no\n"), "{failing:?}");

    let mut running = sky(&["exec", "cli", "echo begun; sleep 600"]).start();
    assert_eq!(running.line(), "begun");
    running.interrupt();
    fails(&running.wait(), 130, "goes on");
    let all = sky(&["queue", "cli"]).json();
    let job = |status: &str| {
        let all = all.as_array().unwrap();
        let job = all.iter().find(|job| job["status"] == status).unwrap();
        job["job_id"].to_string()
    };
    let last = job("RUNNING");
    fails(&sky(&["logs", "cli", &last, "--status"]).run(), 101, "");
    // The log is for people, also that of a command.
    until("it has begun", || {
        sky(&["logs", "cli", &last]).ok().contains(") begun\n")
    });
    sky(&["cancel", "cli", &last, "-y"]).ok();
    assert_eq!(
        sky(&["logs", "cli", &last, "--status"]).run().code,
        Some(103)
    );
    assert_eq!(sky(&["logs", "cli", &last, "-f"]).run().code, Some(103));

    let failed = job("FAILED");
    assert_eq!(sky(&["logs", "cli", &failed, "-f"]).run().code, Some(100));
    fails(
        &sky(&["logs", "cli", "99"]).run(),
        1,
        "job 99 does not exist",
    );
    let table = sky(&["queue", "cli"]).ok();
    assert!(
        table.contains("failing") && table.contains("CANCELLED"),
        "{table}"
    );
    let detached: Value = sky(&["exec", "cli", "-d", "-"])
        .input("run: sleep 600\n")
        .json();
    assert!(detached["job_id"].is_u64(), "{detached}");
    sky(&["cancel", "cli", "--all", "-y"]).ok();
    assert_eq!(sky(&["queue", "cli", "--skip-finished"]).ok(), "no jobs\n");
}
