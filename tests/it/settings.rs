//! The settings of a worker from the operator's view: a real process, its environment,
//! its log and its exit code.

use std::fs;

use satellite_sdk::extras::temp_directory;
use satellite_sdk::testing::{MockPlatform, mock_task};
use satellite_sdk::{Builder, Task, Variables, done};
use serde_json::json;

use crate::child::{bare_command, command, start};

#[test]
fn a_misspelt_variable_causes_one_warning_with_a_suggestion() {
    let platform = MockPlatform::start();
    platform.add_task(mock_task("t", "echo", json!({})));
    let mut command = command(&platform);
    command
        .env("LUML_MAX_BACKOF_SEC", "5")
        .env("LUML_HEALTH_HOTS", "") // set to nothing: not set
        .env("LUML_API_KEY", "of another tool")
        .env("CHILD_UNTIL_IDLE", "1");
    let mut process = start(command);
    assert_eq!(process.end().0.code(), Some(0));
    assert_eq!(platform.status("t"), "done");
    let log = process.log.join("\n");
    let warnings: Vec<_> = process
        .log
        .iter()
        .filter(|l| l.contains("did you mean"))
        .collect();
    assert_eq!(warnings.len(), 1, "{log}");
    let sentence = "LUML_MAX_BACKOF_SEC: is not a setting; did you mean LUML_MAX_BACKOFF_SEC?";
    assert!(
        warnings[0].contains("WARN") && warnings[0].contains(sentence),
        "{log}"
    );
}

#[test]
fn a_variable_read_by_the_program_is_not_reported_as_misspelt() {
    let platform = MockPlatform::start();
    let log_of = |own: &str| {
        let mut command = command(&platform);
        command
            .env("LUML_HEALTH_PORTS", "1")
            .env("CHILD_OWN_SETTING", own)
            .env("CHILD_UNTIL_IDLE", "1");
        let mut process = start(command);
        assert_eq!(process.end().0.code(), Some(0));
        process.log.join("\n")
    };
    assert!(log_of("MY_PORT").contains("did you mean LUML_HEALTH_PORT?"));
    assert!(!log_of("LUML_HEALTH_PORTS").contains("did you mean"));
}

#[test]
fn all_wrong_settings_are_reported_together_with_exit_code_78() {
    let folder = temp_directory().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "kept").unwrap();
    let mut command = bare_command();
    command
        .env("LUML_TOKEN", "hush")
        .env("LUML_SUPPORTED_TASK_TYPES", " , ,")
        .env("LUML_STATE_DIR", &file)
        .env("LUML_POLL_INTERVAL_SEC", "soon");
    let mut process = start(command);
    assert_eq!(process.end().0.code(), Some(78));
    let log = process.log.join("\n");
    for sentence in [
        "5 settings are wrong:",
        "LUML_SATELLITE_TOKEN: expected the satellite's token",
        "LUML_TOKEN: is not a setting; did you mean LUML_SATELLITE_TOKEN?",
        "LUML_SUPPORTED_TASK_TYPES: expected a comma separated list",
        &format!(
            "LUML_STATE_DIR: cannot write to {0}: {0} is not a folder",
            file.display()
        ),
        "LUML_POLL_INTERVAL_SEC: expected a number of seconds",
    ] {
        assert!(log.contains(sentence), "{sentence:?} is missing in\n{log}");
    }
    assert!(!log.contains("hush"), "{log}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
}

/// Nobody can create files in `/proc`, not even root.
#[cfg(target_os = "linux")]
#[test]
fn an_unwritable_state_folder_causes_exit_code_78() {
    for folder in ["/proc", "/proc/not-there/state"] {
        let platform = MockPlatform::start();
        let mut command = command(&platform);
        command.env("LUML_STATE_DIR", folder);
        let mut process = start(command);
        assert_eq!(process.end().0.code(), Some(78), "{folder}");
        let log = process.log.join("\n");
        let sentence = format!("LUML_STATE_DIR: cannot write to {folder}: ");
        assert!(log.contains(&sentence), "{log}");
        assert!(
            platform.requests().is_empty(),
            "nothing is claimed before that"
        );
    }
}

#[test]
fn the_state_folder_is_created_on_build_and_the_check_leaves_no_files() {
    let platform = MockPlatform::start();
    let folder = temp_directory().unwrap();
    let state = folder.path().join("a/b");
    let mut builder = platform
        .worker()
        .state_dir(&state)
        .handler("echo", |task: Task| done(task.payload));
    builder.settings().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let _satellite = builder.build().unwrap();
    let mut names: Vec<_> = fs::read_dir(&state)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["journal", "lock"]);
}

#[test]
fn the_platform_client_needs_no_state_folder() {
    let platform = MockPlatform::start();
    let client = platform.worker().state_dir(file!()).platform().unwrap();
    assert!(client.poll_tasks().unwrap().is_empty());
}

#[test]
fn a_missing_handler_is_reported_with_all_other_errors() {
    let platform = MockPlatform::start();
    let error = platform.worker().build().unwrap_err();
    assert!(error.is_settings());
    assert!(error.to_string().contains("`Builder::handler`"), "{error}");

    let nothing = Builder::new().variables(Variables::from_lookup(|_| None));
    let error = nothing.build().unwrap_err().to_string();
    assert!(error.starts_with("2 settings are wrong:"), "{error}");
    assert!(
        error.contains("handler: ") && error.contains("LUML_SATELLITE_TOKEN: "),
        "{error}"
    );

    let mut read_before = platform.worker();
    read_before.settings().unwrap();
    assert!(read_before.build().unwrap_err().is_settings());
}

#[test]
fn the_first_log_line_names_the_polled_types() {
    let platform = MockPlatform::start();
    let mut limited = command(&platform);
    limited
        .env("LUML_SUPPORTED_TASK_TYPES", "echo, sleep")
        .env("CHILD_UNTIL_IDLE", "1");
    let line = start(limited).line(" polls ");
    assert!(
        line.contains("for tasks of type echo, sleep (handlers: count, "),
        "{line}"
    );

    let mut unlimited = command(&platform);
    unlimited.env("CHILD_UNTIL_IDLE", "1");
    let line = start(unlimited).line(" polls ");
    assert!(
        line.contains("for tasks of every type (handlers: count, "),
        "{line}"
    );
}
