//! `install` and `uninstall` into another root folder. What needs a booted systemd is in
//! cross/systemd-test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use satellite_sdk::extras::temp_directory;

const TOKEN: &str = "dfssat_secret";

fn satellite(arguments: &[&str], root: &Path) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_luml-satellite"));
    command.args(arguments).stdin(Stdio::null());
    if matches!(arguments[0], "install" | "uninstall") {
        command.arg("--root").arg(root);
    }
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains(TOKEN), "{text}");
    (output.status.code().unwrap(), text)
}

/// The files below a folder, with their modes.
fn files(root: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            if metadata.is_dir() {
                folders.push(path);
            } else {
                let path = path.strip_prefix(root).unwrap().to_owned();
                found.push((path, metadata.permissions().mode() & 0o777));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn install_writes_binary_unit_settings_and_token_and_uninstall_removes_them() {
    let folder = temp_directory().unwrap();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    let token = folder.path().join("token");
    fs::write(&token, format!("  {TOKEN}\n")).unwrap();
    let install = ["install", "--token-file", token.to_str().unwrap()];

    let (code, text) = satellite(&[&install[..], &["--dry-run"]].concat(), &root);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("would be installed /etc/luml/satellite.token"));
    assert_eq!(files(&root), []);

    let (code, text) = satellite(&install, &root);
    assert_eq!(code, 0, "{text}");
    let expected = [
        ("etc/luml/satellite.env", 0o644),
        ("etc/luml/satellite.token", 0o600),
        ("etc/systemd/system/luml-satellite.service", 0o644),
        (
            "etc/systemd/system/multi-user.target.wants/luml-satellite.service",
            0o777,
        ),
        ("usr/local/bin/luml-satellite", 0o755),
    ];
    let expected = expected.map(|(path, mode)| (PathBuf::from(path), mode));
    assert_eq!(files(&root), expected);
    let written = fs::read_to_string(root.join("etc/luml/satellite.token")).unwrap();
    assert_eq!(written, format!("{TOKEN}\n"));

    // What the operator has changed stays, and nothing is written twice.
    fs::write(root.join("etc/luml/satellite.env"), "RUST_LOG=debug\n").unwrap();
    let (code, text) = satellite(&["install"], &root);
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains("\ninstalled"), "{text}");
    let settings = fs::read_to_string(root.join("etc/luml/satellite.env")).unwrap();
    assert_eq!(settings, "RUST_LOG=debug\n");

    let (code, text) = satellite(&["uninstall"], &root);
    assert_eq!(code, 0, "{text}");
    assert_eq!(
        files(&root),
        [(PathBuf::from("etc/luml/satellite.env"), 0o644)]
    );
    let (code, text) = satellite(&["uninstall", "--purge"], &root);
    assert_eq!(code, 0, "{text}");
    assert_eq!(files(&root), []);
}

#[test]
fn install_refuses_another_installation_and_what_it_does_not_understand() {
    let folder = temp_directory().unwrap();
    let root = folder.path();
    let (code, text) = satellite(&["install"], root);
    assert_eq!((code, text.contains("--token-file")), (64, true), "{text}");
    for wrong in [
        &["install", "--token-file"][..],
        &["install", "--purge"],
        &["install", "--token-file", "/dev/null"],
        &["upgrade"],
        &["upgrade", "file", "--hold", "soon"],
        &["upgrade", "file", "another"],
    ] {
        let (code, text) = satellite(wrong, root);
        assert_eq!(code, 64, "{wrong:?}: {text}");
    }
    let token = root.join("token");
    fs::write(&token, TOKEN).unwrap();
    for other in [
        "etc/systemd/system/satellite-worker.service",
        "usr/lib/systemd/system/luml-satellite.service",
    ] {
        let path = root.join(other);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        let arguments = ["install", "--token-file", token.to_str().unwrap()];
        let (code, text) = satellite(&arguments, root);
        assert_eq!(code, 73, "{text}");
        fs::remove_file(&path).unwrap();
    }
    assert!(!root.join("usr/local/bin").exists());
}
