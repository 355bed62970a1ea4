//! Where the settings of a processor come from, and what it tells of itself.

use std::fs;

use tempfile::tempdir as temp_directory;

use crate::process::start;
use crate::state_child::{address, command, get};

#[test]
fn the_environment_goes_before_the_file_and_the_file_before_the_defaults() {
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
}

#[test]
fn what_is_wrong_is_named_at_once_with_exit_code_78() {
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
    let told = process.log.join("\n");
    for name in [
        "settings.yaml:2",
        "DORY_STATE_BACKEND",
        "DORY_SHUTDOWN_TIMEOUT_SEC",
    ] {
        assert!(told.contains(name), "{name} is missing in {told}");
    }
}

#[test]
fn a_misspelt_variable_is_named_with_the_nearest_name_and_stops_nothing() {
    let folder = temp_directory().unwrap();
    let mut command = command(folder.path());
    command
        .env("DORY_LEASE_SECS", "20") // asked for with another store only
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
fn metrics_have_the_references_names_and_true_values() {
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
