//! The engine, used by the tests directly through its program.

use std::collections::BTreeSet;
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

pub const IMAGE: &str = "luml-satellite-it:latest";
/// In place of an engine's program: the satellite runs model servers as its processes.
pub const PROCESS: &str = "process";

/// The model server, as a program.
pub const MODEL: &str = env!("CARGO_BIN_EXE_luml-satellite-test-model");

pub const NETWORK: &str = "luml-satellite-it-network";

/// The engine's program, if the engine is available.
pub fn docker() -> Option<&'static str> {
    static FOUND: OnceLock<bool> = OnceLock::new();
    let found = *FOUND.get_or_init(|| {
        let found = is_available("docker");
        if found {
            make_image("docker");
            // Before the tests begin: concurrent creates give Docker two networks of the same
            // name.
            let exists = run("docker", &["network", "inspect", NETWORK]).status;
            if !exists.success() {
                run("docker", &["network", "create", NETWORK]);
            }
        }
        found
    });
    found.then_some("docker")
}

/// Returns the engine's program. Without an engine the test is skipped, or fails.
#[macro_export]
macro_rules! engine_or_skip {
    () => {
        match $crate::engine::docker() {
            Some(docker) => docker,
            None => {
                $crate::engine::skipped("docker");
                return;
            }
        }
    };
}

/// Runs each of these functions as a test with each engine.
#[macro_export]
macro_rules! on_each_engine {
    ($($name:ident),* $(,)?) => {
        mod docker {
            $(#[test]
            fn $name() {
                super::$name($crate::engine_or_skip!());
            })*
        }

        mod process {
            $(#[test]
            fn $name() {
                super::$name($crate::engine::PROCESS);
            })*
        }
    };
}

pub fn skipped(program: &str) {
    let required = std::env::var("SATELLITE_REQUIRE_ENGINE").is_ok_and(|v| v == "1");
    assert!(
        !required,
        "SATELLITE_REQUIRE_ENGINE=1, but {program} has no engine"
    );
    eprintln!("SKIPPED: {program} has no engine");
}

pub fn is_available(program: &str) -> bool {
    let info = Command::new(program).arg("info").output();
    info.is_ok_and(|output| output.status.success())
}

/// Builds an image of the model server.
pub fn make_image(program: &str) {
    let listed = Command::new("ldd").arg(MODEL).output().unwrap();
    let libraries: BTreeSet<String> = String::from_utf8_lossy(&listed.stdout)
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(str::to_owned)
        .collect();
    let archive = Command::new("tar")
        .args([
            "--create",
            "--dereference",
            "--absolute-names",
            "--file",
            "-",
        ])
        .arg(format!("--transform=s|^{MODEL}$|/model|"))
        .arg(MODEL)
        .args(libraries)
        .output()
        .unwrap();
    assert!(archive.status.success(), "{archive:?}");
    let file = std::env::temp_dir().join(format!("luml-satellite-it-{}.tar", std::process::id()));
    std::fs::write(&file, archive.stdout).unwrap();
    let entry = r#"ENTRYPOINT ["/model"]"#;
    let imported = run(
        program,
        &["import", "--change", entry, file.to_str().unwrap(), IMAGE],
    );
    std::fs::remove_file(file).unwrap();
    assert!(imported.status.success(), "{imported:?}");
}

pub fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

/// The ids of all containers of this deployment.
pub fn containers(program: &str, deployment: &str) -> Vec<String> {
    let filter = format!("label=df.deployment_id={deployment}");
    let output = run(
        program,
        &["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter],
    );
    let ids = String::from_utf8(output.stdout).unwrap();
    ids.split_whitespace().map(str::to_owned).collect()
}

pub fn inspect(program: &str, container: &str) -> Value {
    let output = run(program, &["container", "inspect", container]);
    let mut found: Value = serde_json::from_slice(&output.stdout).unwrap();
    found[0].take()
}
