//! `satellite init`: a project whose program really runs.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use crate::command::Folder;

#[test]
fn a_project_has_program_image_settings_and_manifests_that_validate() {
    for (language, files) in [
        (
            "python",
            [
                "Dockerfile",
                "dory.yaml",
                "k8s/deployment.yaml",
                "k8s/rbac.yaml",
                "main.py",
            ]
            .as_slice(),
        ),
        (
            "go",
            &[
                "Dockerfile",
                "dory.yaml",
                "go.mod",
                "k8s/deployment.yaml",
                "k8s/rbac.yaml",
                "main.go",
            ],
        ),
        (
            "shell",
            &[
                "Dockerfile",
                "dory.yaml",
                "k8s/deployment.yaml",
                "k8s/rbac.yaml",
                "main.sh",
            ],
        ),
        (
            "none",
            &["dory.yaml", "k8s/deployment.yaml", "k8s/rbac.yaml"],
        ),
    ] {
        let folder = Folder::new();
        let options = [
            "--language",
            language,
            "--image",
            "shop/count:1",
            "--health-port",
            "9090",
        ];
        let end = folder.done(&[&["init", "count"], options.as_slice()].concat());
        assert_eq!(folder.files(), files, "{language}");
        assert!(end.stdout.contains("Created: dory.yaml\n"), "{end:?}");
        // The settings are those of the pod.
        let end = folder.done(&["validate", "--strict"]);
        assert!(end.stdout.contains("  health_port: 9090\n"), "{end:?}");
        assert!(end.stdout.contains("1 processor"), "{end:?}");
        if language != "none" {
            let image = folder.read("Dockerfile");
            assert!(
                image.contains("EXPOSE 9090\n") && image.contains("shop/count:1"),
                "{image}"
            );
            assert!(image.contains("\nUSER 65532:65532\n"), "{image}");
        }
    }
}

#[test]
fn nothing_is_written_if_one_file_is_in_the_way() {
    let folder = Folder::new();
    folder.write("main.py", "mine\n");
    let end = folder.run(&["init", "my-app"]);
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.stderr.contains("main.py already exists"), "{end:?}");
    assert_eq!(folder.files(), ["main.py"]);
    assert_eq!(folder.run(&["init", "My App/.."]).code, 2);
    assert_eq!(folder.files(), ["main.py"]);
}

#[test]
fn a_dry_run_writes_nothing_and_a_second_run_changes_nothing() {
    let folder = Folder::new();
    folder.done(&["init", "my-app", "--dry-run", "--output", "there"]);
    assert_eq!(folder.files(), [""; 0]);
    folder.done(&["init", "my-app", "--output", "there"]);
    let end = folder.done(&["init", "my-app", "--output", "there"]);
    assert!(!end.stdout.contains("Created:"), "{end:?}");
    assert!(
        end.stdout.contains("Unchanged: there/dory.yaml\n"),
        "{end:?}"
    );
}

/// The example of a language, without a sidecar.
fn start(folder: &Folder, program: &str, file: &str) -> Child {
    Command::new(program)
        .arg(file)
        .current_dir(folder.path())
        .env("STATE_DIR", folder.path().join("kept"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The next number that it prints.
fn count(lines: &mut impl Iterator<Item = std::io::Result<String>>) -> u64 {
    let line = lines.next().unwrap().unwrap();
    line.strip_prefix("count ").unwrap().parse().unwrap()
}

#[test]
fn the_examples_keep_their_state_and_end_on_sigterm() {
    for (language, program, file) in [("python", "python3", "main.py"), ("shell", "sh", "main.sh")]
    {
        let folder = Folder::new();
        folder.done(&["init", "my-app", "--language", language]);
        let mut last = 0;
        for _ in 0..2 {
            let mut child = start(&folder, program, file);
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            for _ in 0..2 {
                let next = count(&mut lines);
                assert_eq!(next, last + 1, "{language}");
                last = next;
            }
            let pid = child.id().to_string();
            assert!(
                Command::new("kill")
                    .args(["-TERM", &pid])
                    .status()
                    .unwrap()
                    .success()
            );
            // It may have counted once more before the signal.
            for line in lines {
                last = count(&mut std::iter::once(line));
            }
            let status = child.wait().unwrap();
            assert_eq!(
                (status.code(), status.signal()),
                (Some(0), None),
                "{language}"
            );
        }
    }
}
