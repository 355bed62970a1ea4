//! The commands and their exit codes.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::program::{Running, command, model, ran};

fn output(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let output = ran(arguments, variables);
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn what_is_not_supported_is_named_before_anything_is_served() {
    for (name, code, expected) in [
        (
            "unknown-operator",
            69,
            "the operator Frobnicate (node \"the-node\") is not supported",
        ),
        ("unknown-domain", 69, "is of the domain \"com.microsoft\""),
        ("future-opset", 69, "opset 99 of ai.onnx is not supported"),
        (
            "unknown-in-branch",
            69,
            "the operator Frobnicate is not supported",
        ),
        (
            "wrong-dtype",
            65,
            "is Array[float32], but ops.json declares Array[float64]",
        ),
        ("pyfunc", 69, "needs Python 3.12.3"),
    ] {
        let path = model(&format!("{name}.fnnx"));
        let path = path.to_str().unwrap();
        let (own, table, log) = output(&["check", path], &[]);
        assert!(own == code && log.contains(expected), "{name}: {own} {log}");
        assert!(table.contains("variant"), "{table}");
        let mut server = Running::start(command(&["run", path, "--port", "0"]));
        assert_eq!(server.ended().code(), Some(code), "{name}");
        server.wait_for(expected);
    }
}

#[test]
fn a_pyfunc_names_the_image_that_serves_it() {
    let path = model("pyfunc.fnnx");
    let check = |variables: &[_]| output(&["check", path.to_str().unwrap()], variables).2;
    assert!(check(&[]).contains("LUML_MODEL_IMAGES=pyfunc=IMAGE"));
    for (name, value) in [
        ("LUML_MODEL_IMAGE", "example.org/python:3"),
        (
            "LUML_MODEL_IMAGES",
            "pipeline=a:1, pyfunc=example.org/python:3",
        ),
    ] {
        let named = check(&[(name, value)]);
        let expected = "the image example.org/python:3: set \
                        LUML_MODEL_IMAGES=pyfunc=example.org/python:3";
        assert!(named.contains(expected), "{name}: {named}");
    }
}

#[test]
fn wrong_arguments_settings_and_files_have_their_codes() {
    let good = model("external.fnnx");
    let good = good.to_str().unwrap();
    for (arguments, variables, code, expected) in [
        (&["dance"][..], &[][..], 64, "\"dance\" is not a command"),
        (&["check"], &[], 64, "the model is missing"),
        (
            &["check", good, "more"],
            &[],
            64,
            "\"more\" is not expected",
        ),
        (&["run", good, "--port", "many"], &[], 64, "--port"),
        (&["run", good, "--colour"], &[], 64, "no option --colour"),
        (&["bench", good, "--threads=0"], &[], 64, "--threads"),
        (&["check", "/nowhere"], &[], 66, "/nowhere"),
        (
            &["check", good],
            &[("LUML_MODEL_PLANS", "0")],
            78,
            "LUML_MODEL_PLANS",
        ),
        (&[], &[], 78, "MODEL_ARTIFACT_URL"),
        (
            &["run", good, "--host", "192.0.2.1"],
            &[],
            71,
            "cannot listen",
        ),
    ] {
        let (own, _, log) = output(arguments, variables);
        assert!(
            own == code && log.contains(expected),
            "{arguments:?}: {own} {log}"
        );
    }
    let (code, help, _) = output(&["--help"], &[]);
    assert!(code == 0 && help.contains("usage: luml-model-server"));
}

#[test]
fn bench_prints_latency_and_throughput() {
    let path = model("classifier.fnnx");
    let arguments = [
        "bench",
        path.to_str().unwrap(),
        "--seconds=1",
        "--threads",
        "2",
        "--batch=3",
    ];
    let (code, table, _) = output(&arguments, &[]);
    assert_eq!(code, 0);
    for row in [
        "loaded in",
        "p50",
        "p99",
        "requests a second",
        "items a second",
    ] {
        assert!(table.contains(row), "{table}");
    }
}

#[test]
fn the_image_has_the_program_and_how_to_run_it() {
    // The header of a static executable for 64-bit ARM.
    let mut program = vec![0; 4096];
    program[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    program[18] = 183;
    let folder = tempfile::tempdir().unwrap();
    let (binary, image) = (
        folder.path().join("binary"),
        folder.path().join("image.tar"),
    );
    fs::write(&binary, &program).unwrap();
    let arguments = [
        "image",
        "--binary",
        binary.to_str().unwrap(),
        "--output",
        image.to_str().unwrap(),
        "--tag=example/server",
    ];
    assert_eq!(output(&arguments, &[]).0, 0);
    let list = |file: &std::path::Path| {
        let listed = Command::new("tar").arg("-tvf").arg(file).output().unwrap();
        String::from_utf8(listed.stdout).unwrap()
    };
    let unpacked = folder.path().join("unpacked");
    tar::Archive::new(fs::File::open(&image).unwrap())
        .unpack(&unpacked)
        .unwrap();
    let manifest = fs::read(unpacked.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest[0]["RepoTags"][0], "example/server:latest");
    let config = fs::read(unpacked.join(manifest[0]["Config"].as_str().unwrap())).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["architecture"], "arm64");
    assert_eq!(config["config"]["Entrypoint"][0], "/bin/luml-model-server");
    let layer = manifest[0]["Layers"][0].as_str().unwrap();
    let id = config["rootfs"]["diff_ids"][0].as_str().unwrap();
    assert_eq!(
        id,
        format!("sha256:{}", layer.strip_suffix(".tar").unwrap())
    );
    let content = list(&unpacked.join(layer));
    assert!(content.contains("-rwxr-xr-x 0/0"), "{content}");
    assert!(content.contains("drwxrwxrwt 0/0"), "{content}");

    let script = folder.path().join("script");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    let (code, _, log) = output(&["image", "--binary", script.to_str().unwrap()], &[]);
    assert!(
        code == 69 && log.contains("is not a Linux executable"),
        "{log}"
    );
}
