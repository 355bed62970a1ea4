//! The satellite registers, so that users can select it on the platform's page. This needs no
//! engine.

use serde_json::{Value, json};

use crate::engine::PROCESS;
use crate::host::{Host, Satellite, eventually};

#[test]
fn it_registers_by_default_and_can_be_selected_for_its_models() {
    let host = Host::new("true");
    let satellite = host.start();
    let platform = &host.platform;
    eventually("a choosable satellite", || {
        platform.choosable_for("pipeline")
    });
    assert!(platform.choosable_for("pyfunc") && !platform.choosable_for("onnx"));
    assert_eq!(platform.not_choosable("pyfunc", &["any tag"]), None);
    let record = platform.satellite();
    let base_url = record["base_url"].as_str().unwrap();
    assert_eq!(base_url.trim_end_matches('/'), "http://localhost");
    let slug = format!("luml-satellite-{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(record["slug"], json!(slug));
    let deploy = &record["capabilities"]["deploy"];
    assert_eq!(deploy["version"], 1);
    assert_eq!(
        record["capabilities"]["monitoring"],
        json!({ "version": 1 })
    );
    assert_eq!(deploy["supported_tags_combinations"], Value::Null);
    let fields = deploy["extra_fields_form_spec"].as_array().unwrap();
    let names: Vec<_> = fields
        .iter()
        .map(|field| field["name"].as_str().unwrap())
        .collect();
    let supported = [
        "health_check_timeout",
        "memory_limit",
        "cpu_limit",
        "use_gpu",
        "gpu_count",
        "restart_policy",
        "monitoring_enabled",
    ];
    assert_eq!(names, supported);
    assert!(
        !satellite.log().contains("for no model"),
        "{}",
        satellite.log()
    );
}

#[test]
fn the_operator_sets_variants_base_url_and_images() {
    let host = Host::new("true");
    let mut command = host.command();
    command
        .env_remove("LUML_MODEL_IMAGE")
        .env("LUML_MODEL_IMAGES", "pyfunc=python:1")
        .env("LUML_MODEL_VARIANTS", "pyfunc")
        .env("LUML_BASE_URL", "https://edge-7.example")
        .env("LUML_ALLOWED_IMAGES", "own/*");
    let _satellite = Satellite::start(command);
    let platform = &host.platform;
    eventually("a choosable satellite", || platform.choosable_for("pyfunc"));
    assert!(!platform.choosable_for("pipeline"));
    let record = platform.satellite();
    let base_url = record["base_url"].as_str().unwrap();
    assert_eq!(base_url.trim_end_matches('/'), "https://edge-7.example");
    let fields = &record["capabilities"]["deploy"]["extra_fields_form_spec"];
    assert_eq!(fields[7]["name"], "image");
}

#[test]
fn an_unknown_or_empty_variant_is_an_invalid_setting() {
    for wrong in ["pyfunc,onnx", ",", "pyfunc,", "PyFunc"] {
        let host = Host::new("true");
        let mut command = host.command();
        command.env("LUML_MODEL_VARIANTS", wrong);
        let mut satellite = Satellite::start(command);
        assert_eq!(satellite.wait_for_exit().code(), Some(78), "{wrong}");
        satellite.wait_for_line("LUML_MODEL_VARIANTS");
        assert!(host.platform.requests().is_empty());
    }
}

#[test]
fn the_url_of_a_collector_is_checked_unless_it_is_for_the_models_only() {
    let name = "OTEL_EXPORTER_OTLP_ENDPOINT";
    for wrong in ["http://", "http://user:hush@collector:4318", "https://a b"] {
        let host = Host::new("true");
        let mut command = host.command();
        command.env(name, wrong);
        let mut satellite = Satellite::start(command);
        assert_eq!(satellite.wait_for_exit().code(), Some(78), "{wrong}");
        let line = satellite.wait_for_line(name);
        assert!(!line.contains("hush"), "{line}");
    }
    let host = Host::new("true");
    let mut command = host.command();
    command.env(name, "unix:///run/collector.sock");
    let _satellite = Satellite::start(command);
    eventually("registered", || host.platform.choosable_for("pipeline"));
}

#[test]
fn it_registers_exactly_the_variants_that_have_an_image() {
    for (name, value, variants) in [
        ("LUML_MODEL_PORT", "8080", json!(["pipeline"])),
        (
            "LUML_MODEL_IMAGES",
            "pyfunc=python:1",
            json!(["pipeline", "pyfunc"]),
        ),
        ("LUML_MODEL_IMAGE", "both:1", json!(["pipeline", "pyfunc"])),
        ("LUML_MODEL_VARIANTS", "pipeline", json!(["pipeline"])),
    ] {
        let host = Host::new("true");
        let mut command = host.command();
        command.env_remove("LUML_MODEL_IMAGE").env(name, value);
        let _satellite = Satellite::start(command);
        eventually("a registration", || host.platform.choosable_for("pipeline"));
        let deploy = &host.platform.satellite()["capabilities"]["deploy"];
        assert_eq!(deploy["supported_variants"], variants, "{name}={value}");
    }
}

#[test]
fn with_the_process_engine_it_registers_only_what_a_process_can_serve() {
    let host = Host::new(PROCESS);
    let _satellite = host.start();
    eventually("a registration", || host.platform.choosable_for("pipeline"));
    assert!(!host.platform.choosable_for("pyfunc"));
    let fields =
        host.platform.satellite()["capabilities"]["deploy"]["extra_fields_form_spec"].take();
    let fields = fields.to_string();
    assert!(fields.contains("memory_limit"), "{fields}");
    assert!(
        !fields.contains("gpu") && !fields.contains("image"),
        "{fields}"
    );
}
