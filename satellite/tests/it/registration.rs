//! The satellite registers, so that it can be chosen on the platform's page. No engine
//! is needed for that.

use serde_json::{Value, json};

use crate::host::{Host, Satellite, eventually};

#[test]
fn it_registers_without_any_setting_and_can_be_chosen_for_what_its_image_serves() {
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
    assert_eq!(deploy["supported_tags_combinations"], Value::Null);
    let fields = deploy["extra_fields_form_spec"].as_array().unwrap();
    let names: Vec<_> = fields
        .iter()
        .map(|field| field["name"].as_str().unwrap())
        .collect();
    let obeyed = [
        "health_check_timeout",
        "memory_limit",
        "cpu_limit",
        "use_gpu",
        "gpu_count",
        "restart_policy",
    ];
    assert_eq!(names, obeyed);
    assert!(
        !satellite.log().contains("for no model"),
        "{}",
        satellite.log()
    );
}

#[test]
fn its_variants_address_and_images_are_the_operators() {
    let host = Host::new("true");
    let mut command = host.command();
    command
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
    assert_eq!(fields[6]["name"], "image");
}

#[test]
fn an_unknown_variant_or_none_is_a_wrong_setting() {
    for wrong in ["pyfunc,onnx", ",", "pyfunc,", "PyFunc"] {
        let host = Host::new("true");
        let mut command = host.command();
        command.env("LUML_MODEL_VARIANTS", wrong);
        let mut satellite = Satellite::start(command);
        assert_eq!(satellite.end().code(), Some(78), "{wrong}");
        satellite.line("LUML_MODEL_VARIANTS");
        assert!(host.platform.requests().is_empty());
    }
}
