//! What a model server answers.

use std::fs;

use serde_json::{Value, json};

use crate::program::{Running, model};

/// Whether two outputs are the same: floats within `tolerance`, all else exactly.
fn same(own: &Value, expected: &Value, tolerance: f64) -> bool {
    match (own, expected) {
        (Value::Array(own), Value::Array(expected)) => {
            own.len() == expected.len()
                && own
                    .iter()
                    .zip(expected)
                    .all(|(own, expected)| same(own, expected, tolerance))
        }
        (Value::Number(own), Value::Number(expected)) if expected.is_f64() => {
            let (own, expected) = (own.as_f64().unwrap(), expected.as_f64().unwrap());
            (own - expected).abs() <= tolerance * expected.abs().max(1.0)
        }
        _ => own == expected,
    }
}

fn matches_reference(name: &str, tolerance: f64) {
    let server = Running::serving(&format!("{name}.fnnx"), &[]);
    let cases = fs::read(model(&format!("{name}.json"))).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&cases).unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let answer = server.compute(&json!({ "inputs": case["inputs"] }));
        assert_eq!(answer.status, 200, "{}", answer.text);
        let (own, expected) = (
            answer.json.as_object().unwrap(),
            case["outputs"].as_object().unwrap(),
        );
        assert_eq!(own.len(), expected.len());
        for (output, expected) in expected {
            let own = &own[output];
            assert!(
                same(own, expected, tolerance),
                "{output}: {own}, expected {expected}"
            );
        }
    }
}

#[test]
fn a_classifier_computes_what_onnxruntime_computes() {
    matches_reference("classifier", 1e-4);
}

#[test]
fn every_element_type_passes_unchanged() {
    matches_reference("dtypes", 1e-7);
}

#[test]
fn a_pipeline_passes_values_from_step_to_step() {
    matches_reference("two-steps", 1e-9);
}

#[test]
fn a_convolution_takes_images_of_any_size() {
    matches_reference("convolution", 1e-4);
}

#[test]
fn weights_may_be_in_a_file_of_their_own() {
    matches_reference("external", 1e-5);
}

#[test]
fn an_output_may_be_a_number_instead_of_a_list() {
    matches_reference("slow", 1e-5);
}

#[test]
fn a_list_of_requests_is_answered_with_a_list() {
    let server = Running::serving("external.fnnx", &[]);
    let request = |rows: Value| json!({ "inputs": { "x": rows }, "dynamic_attributes": {} });
    let (one, two) = (
        request(json!([[1, 2, 3]])),
        request(json!([[0, 0, 0], [3, 2, 1]])),
    );
    let answer = server.compute(&json!([one, two]));
    let each = [server.compute(&one).json, server.compute(&two).json];
    assert_eq!((answer.status, &answer.json), (200, &json!(each)));
    let wrong = server.compute(&json!([one, request(json!([[1, 2, "3"]]))]));
    assert!(
        wrong.error(400).starts_with("[1].inputs.x[0][2]: "),
        "{}",
        wrong.text
    );
}

#[test]
fn an_error_has_the_path_inside_the_body() {
    let server = Running::serving("two-steps.fnnx", &[]);
    for (body, expected) in [
        ("", "the body is not valid JSON"),
        ("[]", "the list of requests is empty"),
        ("7", "expected an object with inputs"),
        ("{}", "inputs is missing"),
        (r#"{"inputs":[]}"#, "inputs: invalid type"),
        (r#"{"inputs":{},"inputs":{}}"#, "inputs: left is missing"),
        (
            r#"{"inputs":{"left":[[1,2]]}}"#,
            "inputs: right is missing: float64 of the shape [n, 2]",
        ),
        (r#"{"inputs":{"left":[[1,NaN]]}}"#, "write \"NaN\""),
        (
            r#"{"inputs":{"wrong":1}}"#,
            "inputs.wrong: is not an input of the model, which has left, right",
        ),
        (
            r#"{"inputs":{"left":[[1,2]],"left":[[1,2]]}}"#,
            "inputs.left: appears twice",
        ),
        (
            r#"{"inputs":{"left":1}}"#,
            "inputs.left: invalid type: integer `1`, expected a list",
        ),
        (
            r#"{"inputs":{"left":[]}}"#,
            "inputs.left: the list is empty",
        ),
        (
            r#"{"inputs":{"left":[1]}}"#,
            "inputs.left[0]: invalid type: integer `1`, expected a list of 2 (the shape is [n, 2])",
        ),
        (
            r#"{"inputs":{"left":[[1,2],[3]]}}"#,
            "inputs.left[1]: has 1 items, expected 2",
        ),
        (
            r#"{"inputs":{"left":[[1,2,3,4]]}}"#,
            "inputs.left[0]: has 4 items, expected 2",
        ),
        (
            r#"{"inputs":{"left":[[1,[2]]]}}"#,
            "inputs.left[0][1]: found a list: it is nested too deeply",
        ),
        (
            r#"{"inputs":{"left":[[1,{"a":2}]]}}"#,
            "inputs.left[0][1]: found an object, expected a number",
        ),
        (
            r#"{"inputs":{"left":[[1,2],[1,"nan"]]}}"#,
            "inputs.left[1][1]: found the string \"nan\"",
        ),
        (
            r#"{"inputs":{"left":[[1,2]],"right":[[1,2]]},"dynamic_attributes":{"mode":1}}"#,
            "dynamic_attributes.mode: invalid type",
        ),
    ] {
        let answer = server.send("POST", "/compute", body);
        let text = answer.error(400);
        assert!(text.contains(expected), "{body}: {text}");
    }
    // Each input is right by itself, but the model adds them.
    let inputs = json!({ "left": [[1, 2], [3, 4]], "right": [[1, 2], [3, 4], [5, 6]] });
    let answer = server.compute(&json!({ "inputs": inputs }));
    let text = answer.error(400);
    let expected = "inputs: n is 2 in left and 3 in right: add: ";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn numbers_have_to_fit_their_type() {
    let server = Running::serving("dtypes.fnnx", &[]);
    let cases = fs::read(model("dtypes.json")).unwrap();
    let cases: Value = serde_json::from_slice(&cases).unwrap();
    for (input, value, accepted) in [
        ("int8_in", json!(128), false),
        ("int8_in", json!(2.0), true),
        ("int8_in", json!(2.5), false),
        ("uint64_in", json!(u64::MAX), true),
        ("uint64_in", json!(-1), false),
        ("int64_in", json!("3"), false),
        ("int64_in", json!(null), false),
        ("float16_in", json!(1e6), false),
        ("float16_in", json!("-Infinity"), true),
        ("float32_in", json!(1e39), false),
        ("float32_in", json!(null), true),
        ("float32_in", json!(true), true),
        ("float64_in", json!("infinity"), false),
        ("bool_in", json!(1), true),
        ("bool_in", json!(2), false),
        ("string_in", json!("\u{0}é"), true),
        ("string_in", json!(7), true),
        ("string_in", json!(0.5), false),
    ] {
        let mut inputs = cases[0]["inputs"].clone();
        inputs[input][1][0] = value.clone();
        let answer = server.compute(&json!({ "inputs": inputs }));
        if accepted {
            assert_eq!(answer.status, 200, "{input} {value}: {}", answer.text);
        } else {
            let path = format!("inputs.{input}[1][0]: ");
            assert!(answer.error(400).starts_with(&path), "{}", answer.text);
        }
    }
}

#[test]
fn the_documents_of_the_artifact_are_served() {
    let server = Running::serving("two-steps.fnnx", &[]);
    let manifest = server.get("/manifest").json;
    assert_eq!(manifest["name"], "patched last");
    assert_eq!(
        manifest["producer_tags"],
        json!(["test::v1", "test::patched"])
    );
    assert!(
        server
            .get("/reference_profile")
            .error(404)
            .contains("no reference profile")
    );
    let openapi = server.get("/openapi.json").json;
    let schemas = &openapi["components"]["schemas"];
    let left = &schemas["ComputeRequest"]["properties"]["inputs"]["properties"]["left"];
    assert_eq!(left["items"]["maxItems"], 2);
    assert_eq!(left["description"], "Array[float64] of the shape [n, 2]");
    assert!(schemas["ComputeResponse"]["properties"]["scaled"].is_object());
    assert_eq!(
        schemas["DynamicAttributesModel"]["properties"]["mode"]["type"],
        "string"
    );
    let example = &openapi["paths"]["/compute"]["post"]["requestBody"]["content"]["application/json"]
        ["example"];
    assert_eq!(
        server.compute(example).status,
        200,
        "the example of the document is valid"
    );

    let server = Running::serving("classifier.fnnx", &[]);
    let profile = server.get("/reference_profile").json;
    assert_eq!(profile["features"]["x"]["std"], 1.0);
    assert_eq!(server.get("/healthz").json, json!({ "status": "healthy" }));
}

#[test]
fn other_paths_and_methods_are_refused() {
    let server = Running::serving("external.fnnx", &[("LUML_MODEL_BODY_MB", "1")]);
    assert!(server.get("/nothing").error(404).contains("no such path"));
    assert!(server.get("/compute").error(405).contains("POST"));
    assert!(
        server
            .send("POST", "/manifest", "{}")
            .error(405)
            .contains("GET")
    );
    let large = " ".repeat((1 << 20) + 1);
    assert!(
        server
            .send("POST", "/compute", &large)
            .error(413)
            .contains("1048576 bytes")
    );
    let chunked = chunked(&server.address, &large);
    assert!(chunked.starts_with("HTTP/1.1 413 "), "{chunked}");
    assert!(chunked.contains(r#"{"error":"#), "{chunked}");
    assert_eq!(
        server.figure("luml_model_requests_total{status=\"413\"}"),
        2.0
    );
}

/// The response to a body whose length is not announced.
fn chunked(address: &str, body: &str) -> String {
    use std::io::Write;
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let head = "POST /compute HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    for part in body.as_bytes().chunks(1 << 16) {
        // The server may respond before it has everything.
        let _ = write!(stream, "{:x}\r\n", part.len());
        let _ = stream.write_all(part);
        let _ = stream.write_all(b"\r\n");
    }
    let _ = stream.write_all(b"0\r\n\r\n");
    crate::program::all(stream)
}

#[test]
fn the_plans_for_sizes_are_bounded_and_counted() {
    let server = Running::serving("external.fnnx", &[("LUML_MODEL_PLANS", "2")]);
    assert_eq!(
        server.figure("luml_model_plans_built"),
        1.0,
        "the one of the warm-up"
    );
    for rows in [1, 2, 3, 4, 4, 1] {
        let answer = server.compute(&json!({ "inputs": { "x": vec![[1, 2, 3]; rows] } }));
        assert_eq!(answer.json["y"].as_array().unwrap().len(), rows);
    }
    // 1 was built by the warm-up and dropped for 3.
    assert_eq!(server.figure("luml_model_plans_built"), 5.0);
    assert_eq!(server.figure("luml_model_plans "), 2.0);
    assert_eq!(server.figure("luml_model_compute_seconds_count"), 6.0);
    assert_eq!(
        server.figure("luml_model_requests_total{status=\"200\"}"),
        6.0
    );
    assert!(server.figure("luml_model_resident_bytes") > 0.0);
}
