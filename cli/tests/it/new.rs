//! `satellite new`: crates. `cross/template-test` builds and tests them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::command::Folder;

#[test]
fn each_kind_of_crate_is_complete_and_has_its_name_everywhere() {
    for (kind, own) in [
        (None, ["k8s/deployment.yaml", "src/main.rs"].as_slice()),
        (
            Some("--processor"),
            &["k8s/deployment.yaml", "k8s/rbac.yaml", "src/main.rs"],
        ),
        (
            Some("--docker"),
            &["k8s/deployment.yaml", "src/docker.rs", "src/main.rs"],
        ),
    ] {
        let folder = Folder::new();
        let arguments: Vec<_> = ["new", "edge-one"].into_iter().chain(kind).collect();
        folder.done(&arguments);
        let common = [
            ".cargo/config.toml",
            ".dockerignore",
            ".gitignore",
            "Cargo.toml",
            "Dockerfile",
            "README.md",
            "build-static",
            "edge-one.service",
        ];
        let mut expected: Vec<_> = common
            .iter()
            .chain(own)
            .map(|f| format!("edge-one/{f}"))
            .collect();
        expected.sort();
        assert_eq!(folder.files(), expected);
        for file in &expected {
            let text = folder.read(file);
            assert!(!text.contains("my-satellite"), "{file}: {text}");
        }
        let script = folder.path().join("edge-one/build-static");
        assert_eq!(
            script.metadata().unwrap().permissions().mode() & 0o111,
            0o111
        );
        let image = folder.read("edge-one/Dockerfile");
        assert!(image.contains("FROM scratch\n") && image.contains("USER 65532:65532\n"));
        folder.done(&["validate", "edge-one/k8s"]);
    }
}

#[test]
fn the_manifest_names_the_checkout_that_was_given() {
    let folder = Folder::new();
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    folder.done(&[
        "new",
        "edge",
        "--processor",
        "--sdk-path",
        sdk.to_str().unwrap(),
    ]);
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--offline",
            "--no-deps",
            "--format-version",
            "1",
        ])
        .current_dir(folder.path().join("edge"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(metadata["packages"][0]["name"], "edge");
    let manifest = folder.read("edge/Cargo.toml");
    let expected = format!("[patch.crates-io]\nsatellite-sdk = {{ path = {sdk:?} }}\n");
    assert!(manifest.contains(&expected), "{manifest}");

    let end = folder.run(&["new", "other", "--sdk-path", "nowhere"]);
    assert_eq!(end.code, 1, "{end:?}");
    assert!(!folder.path().join("other").exists());
}

#[test]
fn names_that_cargo_or_kubernetes_reject_are_refused() {
    let folder = Folder::new();
    for name in ["1st", "My-App", "a_b", "serde", "test", "match", "../x", ""] {
        let end = folder.run(&["new", name]);
        assert_eq!(end.code, 2, "{name}: {end:?}");
    }
    let end = folder.run(&["new", "a", "--processor", "--docker"]);
    assert_eq!(end.code, 2, "{end:?}");
    assert_eq!(folder.files(), [""; 0]);
}

#[test]
fn work_in_the_folder_is_not_overwritten() {
    let folder = Folder::new();
    folder.done(&["new", "edge"]);
    folder.write("edge/src/main.rs", "// mine\n");
    let end = folder.run(&["new", "edge"]);
    assert_eq!(end.code, 1, "{end:?}");
    assert!(
        end.stderr.contains("edge/src/main.rs already exists"),
        "{end:?}"
    );
    assert_eq!(folder.read("edge/src/main.rs"), "// mine\n");
}
