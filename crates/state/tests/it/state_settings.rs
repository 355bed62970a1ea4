//! The sources of the settings of a processor, and what it reports about itself.

use std::fs;

use tempfile::tempdir as temp_directory;

use crate::process::start;
use crate::state_child::{address, ask, command, get, request};

#[test]
fn the_environment_overrides_the_file_and_the_file_overrides_the_defaults() {
    let folder = temp_directory().unwrap();
    let file = folder.path().join("settings.yaml");
    fs::write(
        &file,
        "health_port: 1\nprocessor_id: from-the-file\nlog_format: json\nlog_level: DEBUG # all\ncolour: red\n",
    )
    .unwrap();
    let mut command = command(folder.path());
    command
        .env_remove("DORY_PROCESSOR_ID")
        .env("DORY_CONFIG_FILE", &file);
    let mut process = start(command);
    let line = process.line("endpoints: http://");
    assert!(
        line.contains("\"processor_id\":\"from-the-file\""),
        "{line}"
    );
    assert!(
        !line.contains("127.0.0.1:1\""),
        "the port is the environment's: {line}"
    );
    process.line("count ");
    assert!(folder.path().join("from-the-file").exists());
    // In the format that the file configures: the logger was installed before.
    let output = process.log.iter().find(|line| line.contains("colour"));
    let output = output.expect("the unknown setting should be logged");
    assert!(
        output.contains("unknown setting") && output.contains("\"level\":\"WARN\""),
        "{output}"
    );
}

#[test]
fn all_invalid_settings_are_reported_together_with_exit_code_78() {
    let folder = temp_directory().unwrap();
    let file = folder.path().join("settings.yaml");
    fs::write(&file, "health_port: 8080\n  nested: true\n").unwrap();
    let mut command = command(folder.path());
    command
        .env("DORY_CONFIG_FILE", &file)
        .env("DORY_STATE_BACKEND", "floppy")
        .env("DORY_SHUTDOWN_TIMEOUT_SEC", "soon");
    let mut process = start(command);
    assert_eq!(process.end().0.code(), Some(78));
    let output = process.log.join("\n");
    for name in [
        "settings.yaml:2",
        "DORY_STATE_BACKEND",
        "DORY_SHUTDOWN_TIMEOUT_SEC",
    ] {
        assert!(output.contains(name), "{name} is missing in {output}");
    }
}

#[test]
fn the_probe_paths_are_configurable() {
    let folder = temp_directory().unwrap();
    let file = folder.path().join("settings.yaml");
    let nested = "retry: {max_attempts: 3}\nmiddleware:\n  order: [a, b]\n";
    fs::write(
        &file,
        format!("ready_path: /go\npreset: development\n{nested}"),
    )
    .unwrap();
    let mut command = command(folder.path());
    command
        .env("DORY_CONFIG_FILE", &file)
        .env("DORY_HEALTH_PATH", "/live")
        .env("DORY_METRICS_PATH", "/prometheus/figures");
    let mut process = start(command);
    process.line("no effect here: middleware, retry");
    let address = address(&mut process);
    process.line("count ");
    for (path, status) in [
        ("/live", 200),
        ("/go", 200),
        ("/prometheus/figures", 200),
        ("/healthz", 404),
        ("/ready", 404),
        ("/readyz", 404),
        ("/metrics", 404),
    ] {
        assert_eq!(get(&address, path).0, status, "{path}");
    }
    let (status, _) = ask(&address, &request("POST", "/live", "", ""));
    assert_eq!(status, 405);
}

#[test]
fn the_root_serves_html_to_browsers_and_json_to_programs() {
    let folder = temp_directory().unwrap();
    let mut command = command(folder.path());
    command
        .env("DORY_POD_NAME", "<script src=\"//evil\">&'pod")
        .env("DORY_STATE_TOKEN", "very-secret");
    let mut process = start(command);
    let address = address(&mut process);
    process.line("count ");
    let raw = whole(&address, "");
    let (head, page) = raw.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    for expected in [
        "http/1.1 200",
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'",
        "x-content-type-options: nosniff",
        "x-frame-options: deny",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
    ] {
        assert!(head.contains(expected), "{expected} is missing in {head}");
    }
    assert!(
        page.contains("<h1>counting</h1>") && page.contains("<p>Ready.</p>"),
        "{page}"
    );
    assert!(
        page.contains("&lt;script src=&quot;//evil&quot;&gt;&amp;&#39;pod"),
        "{page}"
    );
    assert!(
        !page.contains("<script") && !page.contains("very-secret"),
        "{page}"
    );
    for path in ["/healthz", "/ready", "/metrics", "/state"] {
        assert!(page.contains(&format!("<a href=\"{path}\">")), "{page}");
    }
    let list = whole(&address, "Accept: application/json\r\n");
    let (_, list) = list.split_once("\r\n\r\n").unwrap();
    let list: serde_json::Value = serde_json::from_str(list).unwrap();
    assert_eq!(list["service"], "dory-processor");
    assert_eq!(list["endpoints"][1], "/ready");
}

/// The response to `GET /`, including its head.
fn whole(address: &str, headers: &str) -> String {
    use std::io::{Read, Write};

    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .write_all(request("GET", "/", headers, "").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn rapid_restarts_are_counted_as_configured() {
    let folder = temp_directory().unwrap();
    let run = |env: &[(&str, &str)]| {
        let mut command = command(folder.path());
        command.envs(env.iter().copied());
        let mut process = start(command);
        process.line("count ");
        process.signal("KILL");
        process.end();
        process.log.join("\n")
    };
    let hook = ("DORY_MAX_RESTART_ATTEMPTS", "2");
    assert!(!run(&[hook]).contains("hook:"));
    assert!(!run(&[hook]).contains("hook:"));
    assert!(run(&[hook]).contains("hook: 2 rapid restarts"));
    // The state is discarded only if that is configured, and is then moved aside.
    let log = run(&[("DORY_GOLDEN_IMAGE_THRESHOLD", "3")]);
    assert!(log.contains("DORY_GOLDEN_IMAGE_THRESHOLD"), "{log}");
    assert!(log.contains("startup with 0"), "{log}");
    let aside = crate::state_child::files(folder.path(), |name| name.contains(".corrupt-"));
    assert!(!aside.is_empty());
}

#[test]
fn a_misspelt_variable_is_logged_with_a_suggestion_and_ignored() {
    let folder = temp_directory().unwrap();
    let mut command = command(folder.path());
    command
        .env("DORY_LEASE_SECS", "20") // only used with another store
        .env("DORY_LEASE_SEC", "20")
        .env("DORY_COLOUR_SCHEME", "of another tool");
    let mut process = start(command);
    let line = process.line("did you mean");
    let sentence = "DORY_LEASE_SECS: is not a setting; did you mean DORY_LEASE_SEC?";
    assert!(line.contains(sentence) && line.contains("WARN"), "{line}");
    process.line("count ");
    let log = process.log.join("\n");
    assert_eq!(log.matches("did you mean").count(), 1, "{log}");
}

#[test]
fn metrics_have_the_names_of_dory_sdk_and_correct_values() {
    let folder = temp_directory().unwrap();
    let mut command = command(folder.path());
    command
        .env("DORY_POD_NAME", "pod-1")
        .env("CHILD_INTERVAL_MS", "3600000")
        .env("DORY_CHECKPOINT_SEC", "0.05");
    let mut process = start(command);
    let address = address(&mut process);
    process.line("count 1");
    let size = crate::state_child::eventually(|| {
        let (_, page) = get(&address, "/metrics");
        let size = value(&page, "dory_state_generation");
        (size >= 2.0).then_some(page)
    });
    let newest = crate::state_child::generations(folder.path())
        .pop()
        .unwrap();
    let document = fs::read(newest).unwrap();
    let snapshot = satellite_state::Snapshot::from_document(&document).unwrap();
    assert_eq!(
        value(&size, "dory_state_size_bytes"),
        snapshot.content.state.len() as f64
    );
    for name in [
        "dory_startup_duration_seconds",
        "dory_state_save_duration_seconds",
        "dory_state_load_duration_seconds",
    ] {
        let seconds = value(&size, name);
        assert!(seconds > 0.0 && seconds < 10.0, "{name} {seconds}");
    }
    for name in [
        "dory_shutdown_duration_seconds",
        "dory_restart_count",
        "dory_golden_image_resets_total",
        "dory_health_check_failures_total",
    ] {
        assert_eq!(value(&size, name), 0.0, "{name}");
        assert!(size.contains(&format!("# TYPE {name} ")), "{name}");
    }
    assert!(size.contains("dory_processor_info{processor_id=\"counting\",pod_name=\"pod-1\""));
}

fn value(page: &str, name: &str) -> f64 {
    let line = page
        .lines()
        .find(|line| line.starts_with(&format!("{name} ")));
    let line = line.unwrap_or_else(|| panic!("no {name} in {page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}
