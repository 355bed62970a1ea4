//! The command line: help, check, ls, demo, invalid settings.

use std::process::{Command, Output};

use satellite_sdk::extras::temp_directory;
use satellite_sdk::serve::{Limits, Response, Server};
use satellite_sdk::testing::Fault;
use serde_json::{Value, json};

use crate::engine::IMAGE;
use crate::engine_or_skip;
use crate::host::{Host, Satellite};
use crate::on_each_engine;
use crate::outages::Script;

fn run_command(command: &mut Command, word: &str) -> (i32, String) {
    let output: Output = command.arg(word).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

fn command_without_settings() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_luml-satellite"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap());
    command
}

#[test]
fn help_version_and_an_unknown_command() {
    let (code, text) = run_command(&mut command_without_settings(), "--help");
    assert!(
        code == 0 && text.contains("usage: luml-satellite"),
        "{text}"
    );
    let (code, text) = run_command(&mut command_without_settings(), "--version");
    assert!(code == 0 && text.starts_with("luml-satellite "), "{text}");
    let (code, text) = run_command(&mut command_without_settings(), "dance");
    assert!(code == 64 && text.contains("--help"), "{text}");
}

#[test]
fn invalid_settings_of_sdk_and_satellite_are_reported_in_one_message() {
    let mut command = command_without_settings();
    command
        .env("LUML_GATEWAY_PORT", "many")
        .env("LUML_POLL_INTERVAL_SEC", "soon");
    let (code, text) = run_command(&mut command, "run");
    assert_eq!(code, 78);
    for name in [
        "3 settings",
        "LUML_GATEWAY_PORT",
        "LUML_POLL_INTERVAL_SEC",
        "LUML_SATELLITE_TOKEN",
    ] {
        assert!(text.contains(name), "{name} is missing in {text}");
    }
}

#[test]
fn a_gateway_port_in_use_is_a_clear_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let host = Host::new("true");
    let mut command = host.command();
    command.env("LUML_GATEWAY_PORT", &port);
    let mut satellite = Satellite::start(command);
    assert_eq!(satellite.wait_for_exit().code(), Some(1));
    satellite.wait_for_line("LUML_GATEWAY_PORT");
}

#[test]
fn check_reports_each_failure_with_a_remedy() {
    let host = Host::new("true");
    host.platform.revoke();
    let mut command = host.command();
    command.env("LUML_DOCKER", "/nowhere/docker");
    let (code, text) = run_command(&mut command, "check");
    assert_eq!(code, 1);
    assert!(text.contains("✓ settings"), "{text}");
    assert!(
        text.contains("✗ engine") && text.contains("DOCKER_HOST"),
        "{text}"
    );
    assert!(
        text.contains("✗ token") && text.contains("Satellites page"),
        "{text}"
    );
    assert!(
        text.contains("- image     skipped: needs the engine"),
        "{text}"
    );
    assert!(!text.contains(&host.platform.token()));
}

#[test]
fn check_exits_78_for_invalid_settings_and_marks_skipped_checks() {
    let folder = temp_directory().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mut command = command_without_settings();
    command
        .env("LUML_SATELITE_TOKEN", "hush")
        .env("LUML_SUPPORTED_TASK_TYPES", ", ,")
        .env("LUML_STATE_DIR", &file)
        .env("LUML_DOCKER", "/nowhere/docker");
    let (code, text) = run_command(&mut command, "check");
    assert_eq!(code, 78, "{text}");
    for line in [
        "✗ settings  4 settings are wrong:",
        "LUML_SATELLITE_TOKEN: expected the satellite's token",
        "LUML_SATELITE_TOKEN: is not a setting; did you mean LUML_SATELLITE_TOKEN?",
        "LUML_SUPPORTED_TASK_TYPES: expected a comma separated list",
        &format!("LUML_STATE_DIR: cannot write to {}", file.display()),
        "✗ engine",
        "- network   skipped: needs the engine",
        "- image     skipped: needs the engine",
        "- token     skipped: needs valid settings",
    ] {
        assert!(text.contains(line), "{line:?} is missing in\n{text}");
    }
    assert!(!text.contains("README"), "an edge host has none:\n{text}");
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn a_misspelt_setting_is_a_warning() {
    let host = Host::new("true");
    let mut command = host.command();
    command
        .env("LUML_GATEWAY_PROT", "9000")
        .env("LUML_API_KEY", "of another tool");
    let (_, text) = run_command(&mut command, "check");
    let line = "! settings  LUML_GATEWAY_PROT: is not a setting; did you mean LUML_GATEWAY_PORT?";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("✓ settings"), "{text}");
    assert!(!text.contains("LUML_API_KEY"), "{text}");
}

#[test]
fn check_passes_on_a_correct_setup() {
    let docker = engine_or_skip!();
    let host = Host::new(docker);
    let (code, text) = run_command(&mut host.command(), "check");
    assert_eq!(code, 0, "{text}");
    assert_eq!(text.matches('✓').count(), 7, "{text}");
    for variant in ["pipeline", "pyfunc"] {
        let line = format!("✓ image     {variant}: {IMAGE}");
        assert!(text.contains(&line), "{text}");
    }
    assert!(
        text.contains("selectable for pipeline, pyfunc models"),
        "{text}"
    );
}

#[test]
fn check_fails_if_the_registration_is_rejected() {
    let host = Host::new("true");
    let check = || run_command(&mut host.command(), "check");
    let (_, text) = check();
    assert!(text.contains("✓ register"), "{text}");
    assert!(host.platform.choosable_for("pipeline"));

    let refuses = |fault| host.platform.fault(fault).on("POST", "/pair").forever();
    refuses(Fault::Status(422));
    let (code, text) = check();
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("✗ register") && text.contains("LUML_BASE_URL"),
        "{text}"
    );
}

#[test]
fn check_evaluates_the_platforms_record_and_not_its_own_request() {
    let record = |deploy: Value| {
        json!({
            "id": "s", "orbit_id": "o", "name": "edge-7", "paired": true, "status": "active",
            "capabilities": { "deploy": deploy },
        })
    };
    for (deploy, is_choosable) in [
        (json!({}), false),
        (json!({ "supported_variants": [] }), false),
        (json!({ "supported_variants": ["pipeline"] }), true),
    ] {
        let record = record(deploy).to_string();
        let platform = Server::bind("127.0.0.1:0", Limits::default(), move |request| {
            let is_pair = request.path().ends_with("/pair");
            Response::json(200, if is_pair { record.clone() } else { "[]".into() })
        });
        let platform = platform.unwrap();
        let mut command = Host::new("true").command();
        command.env("LUML_PLATFORM_URL", format!("http://{}", platform.addr()));
        let (_, text) = run_command(&mut command, "check");
        assert_eq!(text.contains("✗ register"), !is_choosable, "{text}");
        let seen = "✓ register  edge-7 (luml-satellite-";
        assert_eq!(text.contains(seen), is_choosable, "{text}");
        let variants = "selectable for pipeline models";
        assert_eq!(text.contains(variants), is_choosable, "{text}");
    }
}

#[test]
fn check_and_deploy_explain_how_to_make_the_default_image_and_do_not_pull() {
    let docker = engine_or_skip!();
    // This machine's engine may have the default image: ask it for a name that it cannot have.
    let script = Script::new(
        r#"case "$1 $2" in "image inspect")
            for image; do :; done
            exec docker image inspect "missing.invalid/$image";;
        esac"#,
    );
    let mut host = Host::new(docker);
    host.program = script.path();
    let command = || {
        let mut command = host.command();
        command.env_remove("LUML_MODEL_IMAGE");
        command
    };
    let sentence = "make it with `luml-model-server image --load`";
    let (code, text) = run_command(&mut command(), "check");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(sentence) && !text.contains("pull"), "{text}");

    let task = host.deploy();
    let _satellite = Satellite::start(command());
    assert_eq!(host.wait_for_task(task), "failed");
    let result = host.platform.result(task);
    assert_eq!(result["reason"], "Docker image not found");
    assert!(
        result["error"].as_str().unwrap().contains(sentence),
        "{result}"
    );
    let calls = std::fs::read_to_string(script.file("log")).unwrap();
    assert!(
        calls.contains("image inspect") && !calls.contains("pull"),
        "{calls}"
    );
}

on_each_engine! {
    ls_lists_deployments_as_a_table,
}

fn ls_lists_deployments_as_a_table(engine: &str) {
    let host = Host::new(engine);
    let task = host.deploy();
    let _satellite = host.start();
    assert_eq!(host.wait_for_task(task), "done");
    host.platform
        .add_deployment(json!({ "name": "another", "status": "pending" }));
    let (code, text) = run_command(&mut host.command(), "ls");
    assert_eq!(code, 0, "{text}");
    assert!(
        !text.contains('\x1b'),
        "no colours if stdout is not a terminal"
    );
    let mine = text
        .lines()
        .find(|line| line.contains(&host.deployment))
        .unwrap();
    for word in ["line", "active", "sat-", "healthy"] {
        assert!(mine.contains(word), "{word} is missing in {mine}");
    }
    assert!(text.contains("another"));
}

/// Runs the demo; returns its output and, as a check, the label that it predicted.
fn demo(arguments: &[&str], docker: Option<&str>) -> (i32, String) {
    let mut command = command_without_settings();
    command.env("HOME", "/tmp").arg("demo");
    if let Some(program) = docker {
        command.env("LUML_DOCKER", program);
    }
    let output = command.args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    (output.status.code().unwrap(), text)
}

/// The demo's model is the model server's own fixture: the class of its first example is 1.
fn has_predicted(text: &str) -> bool {
    text.contains(r#""label":[1]"#) && text.contains("0 model servers left")
}

#[test]
fn the_demo_serves_an_onnx_model_in_a_container_and_cleans_up() {
    let _docker = engine_or_skip!();
    let (code, text) = demo(&[], None);
    assert_eq!(code, 0, "{text}");
    assert!(has_predicted(&text), "{text}");
    assert!(text.contains("removed"), "{text}");
}

#[test]
fn the_demo_serves_an_onnx_model_as_a_process() {
    let (code, text) = demo(&["--engine", "process"], None);
    assert_eq!(code, 0, "{text}");
    assert!(has_predicted(&text), "{text}");
}

#[test]
fn without_an_engine_the_demo_runs_the_model_as_a_process_and_says_so() {
    let (code, text) = demo(&[], Some("/nowhere/docker"));
    assert_eq!(code, 0, "{text}");
    assert!(has_predicted(&text), "{text}");
    assert!(text.contains("engine     none: /nowhere/docker"), "{text}");
    assert!(
        text.contains("process: the model server is a child"),
        "{text}"
    );
}

#[test]
fn two_demos_on_one_host_do_not_disturb_each_other() {
    let _docker = engine_or_skip!();
    let demos = [(); 2].map(|()| std::thread::spawn(|| demo(&[], None)));
    for demo in demos {
        let (code, text) = demo.join().unwrap();
        assert_eq!(code, 0, "{text}");
        assert!(has_predicted(&text), "{text}");
    }
}

#[test]
fn a_demo_that_requires_an_engine_exits_with_69_and_prints_one_line() {
    let (code, text) = demo(&["--engine", "docker"], Some("/nowhere/docker"));
    assert_eq!(code, 69);
    assert_eq!(text.lines().count(), 1, "{text}");
    let (code, text) = demo(&["--engine", "podman"], None);
    assert_eq!(code, 64);
    assert!(text.contains("--engine docker|process"), "{text}");
}
