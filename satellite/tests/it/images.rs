//! The image is selected by the variant in the artifact's record.

use serde_json::{Value, json};

use crate::engine::{IMAGE, inspect, run};
use crate::engine_or_skip;
use crate::host::{Host, Satellite, uuid};

/// A deployment whose artifact has this record.
fn host_with(docker: &str, artifact: Value) -> Host {
    let id = uuid();
    let host = Host::with(docker, json!({ "artifact_id": id }));
    host.platform
        .add_artifact(&id, artifact, "http://files/m/line?sig=hush");
    host
}

fn satellite(host: &Host, images: &str) -> Satellite {
    let mut command = host.command();
    command
        .env_remove("LUML_MODEL_IMAGE")
        .env("LUML_MODEL_IMAGES", images);
    Satellite::start(command)
}

#[test]
fn each_variant_is_served_by_its_own_image() {
    let docker = engine_or_skip!();
    let [pipeline, pyfunc] = [(); 2].map(|()| format!("luml-satellite-it-variant:{}", uuid()));
    for tag in [&pipeline, &pyfunc] {
        assert!(run(docker, &["tag", IMAGE, tag]).status.success());
    }
    let images = format!("pyfunc={pyfunc},pipeline={pipeline}");
    for (artifact, expected) in [
        (json!({ "manifest": { "variant": "pipeline" } }), &pipeline),
        (json!({ "manifest": { "variant": "pyfunc" } }), &pyfunc),
        // Python can serve both.
        (json!({ "manifest": {} }), &pyfunc),
        (json!({ "manifest": null }), &pyfunc),
    ] {
        let is_known = artifact["manifest"]["variant"].is_string();
        let host = host_with(docker, artifact);
        let task = host.deploy();
        let satellite = satellite(&host, &images);
        assert_eq!(host.wait_for_task(task), "done", "{}", satellite.log());
        let container = inspect(docker, &host.containers()[0]);
        assert_eq!(container["Config"]["Image"], json!(expected));
        let said = satellite.log().contains("has no manifest.variant");
        assert_eq!(said, !is_known, "{}", satellite.log());
    }
    for tag in [&pipeline, &pyfunc] {
        run(docker, &["rmi", tag]);
    }
}

#[test]
fn a_variant_without_an_image_fails_and_the_setting_is_named() {
    let docker = engine_or_skip!();
    for (variant, expected) in [
        ("pyfunc", "set LUML_MODEL_IMAGES=pyfunc=IMAGE"),
        ("onnx", "\"onnx\"; expected pipeline or pyfunc"),
    ] {
        let host = host_with(docker, json!({ "manifest": { "variant": variant } }));
        let task = host.deploy();
        let _satellite = satellite(&host, &format!("pipeline={IMAGE}"));
        assert_eq!(host.wait_for_task(task), "failed");
        let result = host.platform.result(task);
        assert_eq!(result["reason"], "Docker image not found");
        let error = result["error"].as_str().unwrap();
        assert!(error.contains(expected), "{error}");
        assert!(host.containers().is_empty());
    }
}
