//! Secrets are in the container's environment and nowhere else.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use satellite_sdk::extras::temp_directory;
use satellite_sdk::testing::Fault;
use serde_json::json;

use crate::engine::MODEL;
use crate::host::{Host, Satellite, uuid};
use crate::on_each_engine;

on_each_engine! {
    secrets_are_not_in_arguments_logs_files_or_the_satellites_environment,
    secrets_are_masked_in_the_last_lines_of_a_failed_container,
    last_lines_are_omitted_if_a_secret_to_mask_cannot_be_read,
    a_failed_deployment_is_logged_once,
}

fn secrets_are_not_in_arguments_logs_files_or_the_satellites_environment(engine: &str) {
    let secret = uuid();
    let host = Host::with(
        engine,
        json!({ "env_variables_secrets": { "API_KEY": secret, "LD_PRELOAD_KEY": secret } }),
    );
    let value = format!("hush-{}", uuid());
    host.platform.add_secret(&secret, "the key", &value);
    let task = host.deploy();

    let looking = Arc::new(AtomicBool::new(true));
    let (look, wanted, token) = (Arc::clone(&looking), value.clone(), host.platform.token());
    // The call of the engine that carries the name of the variable, or the launch itself.
    let call = if host.is_process() { MODEL } else { "API_KEY" };
    let watcher = thread::spawn(move || {
        let mut seen = 0;
        while look.load(Ordering::Relaxed) {
            for process in fs::read_dir("/proc").unwrap().flatten() {
                let Ok(arguments) = fs::read(process.path().join("cmdline")) else {
                    continue;
                };
                let arguments = String::from_utf8_lossy(&arguments);
                seen += u32::from(arguments.contains(call));
                assert!(!arguments.contains(&wanted), "{arguments}");
                assert!(!arguments.contains(&token), "{arguments}");
            }
        }
        seen
    });
    let mut command = host.command();
    let folder = temp_directory().unwrap();
    command
        .env("RUST_LOG", "trace")
        .env("HOME", folder.path())
        .env("TMPDIR", folder.path())
        .env("LUML_STATE_DIR", host.state());
    let satellite = Satellite::start(command);
    assert_eq!(host.wait_for_task(task), "done");
    looking.store(false, Ordering::Relaxed);
    let seen = watcher.join().unwrap();
    assert!(seen > 0, "the watcher never saw the call");

    let environment = fs::read(format!("/proc/{}/environ", satellite.pid())).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains(&value));
    let log = satellite.log();
    assert!(log.contains("DEBUG") && !log.contains(&value));
    assert!(!log.contains(&host.platform.token()));
    // Release builds leave out the trace messages of libraries, which dump whole responses.
    let mut released = log.lines().filter(|line| !line.contains(" TRACE "));
    assert!(
        !released.any(|line| line.contains("sig=hush")),
        "the presigned URL is a secret as well"
    );

    let mut files = 0;
    let mut hides = |path: &Path, bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        for hidden in [&value, &host.platform.token(), "sig=hush"] {
            assert!(!text.contains(hidden), "{}", path.display());
        }
        files += 1;
    };
    each_file(folder.path(), &mut hides);
    each_file(host.state(), &mut hides);
    let journal = fs::read_to_string(host.state().join("journal")).unwrap();
    assert!(journal.contains("finished") && files >= 3, "{files} files");
}

fn secrets_are_masked_in_the_last_lines_of_a_failed_container(engine: &str) {
    let (key, certificate, attribute) = (uuid(), uuid(), uuid());
    let host = Host::with(
        engine,
        json!({
            "env_variables_secrets": { "API_KEY": key, "CERTIFICATE": certificate },
            "dynamic_attributes_secrets": { "password": attribute },
            "env_variables": {
                "MODEL_PRINTS": "API_KEY,CERTIFICATE,MODEL_ARTIFACT_URL,COPY",
                // A value that a client's request would have passed to the container.
                "COPY": "the-attributes-value",
                "MODEL_EXIT_AFTER_MS": "0", "MODEL_HEALTHY_AFTER_MS": "600000",
            },
            "satellite_parameters": { "restart_policy": "no" },
        }),
    );
    let platform = &host.platform;
    platform.add_secret(&key, "key", "h\"ush/kéy-value");
    platform.add_secret(
        &certificate,
        "certificate",
        "MIIEvQIBADANBg\nkqhkiG9w0BAQEF",
    );
    platform.add_secret(&attribute, "password", "the-attributes-value");
    let task = host.deploy();
    let mut command = host.command();
    command
        .env("RUST_LOG", "debug")
        .env("LUML_STATE_DIR", host.state());
    let satellite = Satellite::start(command);
    assert_eq!(host.wait_for_task(task), "failed");
    satellite.wait_for_line("failed in"); // the SDK's log line about the task

    let result = platform.result(task);
    let error = result["error"].as_str().unwrap();
    assert!(error.contains("API_KEY is ***."), "{error}");
    assert!(error.contains(r#"{"API_KEY":"***"}"#), "{error}");
    assert!(error.contains("the model server is up"), "{error}");
    let record = platform.deployment(&host.deployment).unwrap();
    assert_eq!(record["error_message"]["error"], result["error"]);
    let journal = fs::read_to_string(host.state().join("journal")).unwrap();
    assert!(journal.contains("the model server is up"), "{journal}");
    let message = record["error_message"].to_string();
    for shown in [result.to_string(), message, satellite.log(), journal] {
        // Neither a whole value nor half of one, as it was broken over lines.
        for hidden in [
            "h\"ush",
            "ush/k",
            "y-value",
            "MIIEvQ",
            "kqhkiG9",
            "sig=",
            "hush",
            "attributes-value",
        ] {
            assert!(!shown.contains(hidden), "{hidden} is in {shown}");
        }
    }
}

fn last_lines_are_omitted_if_a_secret_to_mask_cannot_be_read(engine: &str) {
    let attribute = uuid();
    let host = Host::with(
        engine,
        json!({
            "dynamic_attributes_secrets": { "password": attribute },
            "env_variables": {
                "MODEL_EXIT_AFTER_MS": "0", "MODEL_HEALTHY_AFTER_MS": "600000",
            },
            "satellite_parameters": { "restart_policy": "no" },
        }),
    );
    host.platform
        .add_secret(&attribute, "password", "the-attributes-value");
    let refused = host.platform.fault(Fault::Status(403));
    refused
        .on("GET", &format!("/secrets/{attribute}"))
        .forever();
    let task = host.deploy();
    let _satellite = host.start();
    assert_eq!(host.wait_for_task(task), "failed");
    let result = host.platform.result(task);
    let error = result["error"].as_str().unwrap();
    assert!(error.contains("exit code 3"), "{error}");
    assert!(error.contains("its last lines are not shown"), "{error}");
    assert!(
        error.contains("password") && !error.contains(&attribute),
        "{error}"
    );
    assert!(!error.contains("the model server"), "{error}");
}

fn a_failed_deployment_is_logged_once(engine: &str) {
    let host = Host::with(engine, json!({ "artifact_id": uuid() }));
    let task = host.deploy();
    let mut satellite = host.start();
    assert_eq!(host.wait_for_task(task), "failed");
    satellite.wait_for_line("failed in");
    satellite.kill();
    let log = satellite.log();
    assert_eq!(log.matches("Artifact not found").count(), 1, "{log}");
    assert!(!log.contains("Failure {"), "{log}");
    let started = format!("deploy of deployment {} started", host.deployment);
    assert!(log.contains(&started), "{log}");
}

fn each_file(folder: &Path, look: &mut dyn FnMut(&Path, &[u8])) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => each_file(&path, look),
            false => look(&path, &fs::read(&path).unwrap()),
        }
    }
}
