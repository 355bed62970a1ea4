//! `satellite validate`: settings, secrets and output.

use serde_json::Value;

use crate::command::{Folder, ended};
use crate::validate_manifests::manifest;

#[test]
fn all_problems_of_the_settings_are_reported() {
    let folder = Folder::new();
    folder.write(
        "dory.yaml",
        "helth_port: 1\nhealth_port: many\nshutdown_timeout_sec: 900\n",
    );
    let end = folder.run(&["validate"]);
    assert_eq!(end.code, 1, "{end:?}");
    for expected in [
        "DORY_HEALTH_PORT: expected a port",
        "DORY_SHUTDOWN_TIMEOUT_SEC: expected 1 to 300",
    ] {
        assert!(end.stderr.contains(expected), "{end:?}");
    }

    folder.write("dory.yaml", "helth_port: 1\nretry: {max: 3}\n");
    let end = folder.run(&["validate"]);
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.stderr.contains("did you mean health_port?"), "{end:?}");
    assert!(
        end.stderr
            .contains("warning: configuration: dory.yaml: these settings of dory-sdk"),
        "{end:?}"
    );

    let mut command = folder.command(&["validate", "-c", "nowhere.yaml"]);
    let end = ended(command.env("DORY_LOG_LEVLE", "DEBUG"), "");
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.stderr.contains("cannot read nowhere.yaml"), "{end:?}");
    assert!(
        end.stderr.contains("did you mean DORY_LOG_LEVEL?"),
        "{end:?}"
    );
}

#[test]
fn the_file_is_read_as_a_processor_reads_it_and_the_environment_wins() {
    let folder = Folder::new();
    folder.write("other.yaml", "health_port: 9090\nlog_level: ERROR\n");
    let mut command = folder.command(&["validate", "-c", "other.yaml"]);
    let end = ended(command.env("DORY_LOG_LEVEL", "DEBUG"), "");
    assert_eq!(end.code, 0, "{end:?}");
    assert!(
        end.stdout.starts_with("Configuration is valid!\n"),
        "{end:?}"
    );
    assert!(end.stdout.contains("  health_port: 9090\n"), "{end:?}");
    assert!(end.stdout.contains("  log_level: DEBUG\n"), "{end:?}");
}

#[test]
fn secrets_are_never_printed() {
    let folder = Folder::new();
    folder.write("dory.yaml", "state_token: hunter2\n");
    let manifest = manifest("all my-app").replace(
        "        - name: DORY_HEALTH_PORT",
        "        - name: DORY_STATE_TOKEN\n          value: hunter3\n        - name: DORY_HEALTH_PORT",
    );
    folder.write("k8s/all.yaml", &manifest);
    for more in [[].as_slice(), &["--json"]] {
        let mut command = folder.command(&[&["validate"], more].concat());
        command
            .env("AWS_SECRET_ACCESS_KEY", "hunter4")
            .env("AWS_ACCESS_KEY_ID", "me")
            .env("DORY_STATE_BACKEND", "s3")
            .env("DORY_STATE_S3_BUCKET", "states");
        let end = ended(&mut command, "");
        assert_eq!(end.code, 1, "{end:?}");
        let all = end.stdout + &end.stderr;
        assert!(!all.contains("hunter"), "{all}");
        assert!(all.contains("DORY_STATE_TOKEN is in clear text"), "{all}");
    }
}

#[test]
fn json_has_everything_in_one_document() {
    let folder = Folder::new();
    folder.write(
        "k8s/a.yaml",
        &manifest("all my-app --store pvc").replace("Recreate", "RollingUpdate"),
    );
    let end = folder.run(&["validate", "--json"]);
    assert_eq!(end.code, 1, "{end:?}");
    let document: Value = serde_json::from_str(&end.stdout).unwrap();
    assert_eq!(document["valid"], false);
    assert_eq!(document["configuration"]["health_port"], "8080");
    assert!(
        document["problems"][0]
            .as_str()
            .unwrap()
            .contains("use Recreate"),
        "{document}"
    );
}
