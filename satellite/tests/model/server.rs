//! A model server for the tests, in an image or as a process. It implements the API of model
//! servers. The model is `y = 2x + 1`.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use satellite_sdk::serve::{Limits, Request, Response, Server};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use signal_hook::consts::SIGTERM;

/// Serves on `LUML_MODEL_HOST` and `LUML_MODEL_PORT`, by default on port 8080, until it is
/// stopped. `MODEL_REFERENCE_PROFILE` is its reference profile. Tests inject faults with `MODEL_HEALTHY_AFTER_MS`, `MODEL_EXIT_AFTER_MS`,
/// `MODEL_ALLOCATES_MB`, `MODEL_PRINTS`, which lists the variables whose values it writes
/// to its output, and `MODEL_DRAINED_FILE`, which it writes half of `LUML_MODEL_DRAIN_SEC` after
/// it was told to stop.
pub fn serve() -> ExitCode {
    let started = Instant::now();
    let healthy_after = milliseconds("MODEL_HEALTHY_AFTER_MS").unwrap_or_default();
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let host = variable("LUML_MODEL_HOST", "0.0.0.0");
    let address = format!("{host}:{}", variable("LUML_MODEL_PORT", "8080"));
    let server = Server::bind(&*address, Limits::default(), move |request| {
        let healthy = started.elapsed() >= healthy_after;
        answer(request, healthy)
    });
    let _server = match server {
        Ok(server) => server,
        Err(error) => {
            eprintln!("the model server cannot listen: {error}");
            return ExitCode::FAILURE;
        }
    };
    // The kernel delivers no signal to a container's first process without a handler.
    let drained = std::env::var("MODEL_DRAINED_FILE").ok();
    let is_immediate = Arc::new(AtomicBool::new(drained.is_none()));
    let registered = signal_hook::flag::register_conditional_shutdown(SIGTERM, 0, is_immediate);
    if let Err(error) = registered {
        eprintln!("the model server cannot handle SIGTERM: {error}");
    }
    if let Some(file) = drained {
        thread::spawn(move || drain(&file));
    }
    println!("the model server is up");
    print_variables();
    let _memory = vec![1_u8; number("MODEL_ALLOCATES_MB").unwrap_or(0) << 20];
    match milliseconds("MODEL_EXIT_AFTER_MS") {
        Some(after) => {
            thread::sleep(after);
            eprintln!("the model server exits as configured\0");
            ExitCode::from(3)
        }
        None => loop {
            thread::park();
        },
    }
}

/// Waits for SIGTERM, finishes after half of the time that it has, and says so in a file.
fn drain(file: &str) {
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGTERM]) else {
        return;
    };
    signals.forever().next();
    let limit = std::env::var("LUML_MODEL_DRAIN_SEC").unwrap_or_default();
    thread::sleep(Duration::from_secs_f64(limit.parse().unwrap_or(1000.0)) / 2);
    let _ = std::fs::write(file, limit);
    std::process::exit(0);
}

/// Leaks the values as a program might: in a message, as JSON, and broken over two lines.
fn print_variables() {
    let names = std::env::var("MODEL_PRINTS").unwrap_or_default();
    for name in names.split(',').filter(|name| !name.is_empty()) {
        let value = std::env::var(name).unwrap_or_default();
        println!("{name} is {value}.");
        println!("{}", json!({ name: value }));
        let half = value.chars().count() / 2;
        let (first, second): (Vec<_>, Vec<_>) =
            value.chars().enumerate().partition(|(at, _)| *at < half);
        let text = |part: Vec<(usize, char)>| part.into_iter().map(|(_, c)| c).collect::<String>();
        eprintln!("{name}: {}\n{}.", text(first), text(second));
    }
}

fn milliseconds(name: &str) -> Option<Duration> {
    number(name).map(|number| Duration::from_millis(number as u64))
}

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

fn answer(request: &mut Request<'_>, healthy: bool) -> Response {
    match (request.method(), request.path()) {
        ("GET", "/healthz") if healthy => json_of(200, &json!({ "status": "healthy" })),
        ("GET", "/healthz") => json_of(503, &json!({ "error": "warming up" })),
        ("GET", "/manifest") => json_of(200, &json!({ "name": "y = 2x + 1", "inputs": ["x"] })),
        ("GET", "/openapi.json") => json_of(200, &openapi()),
        ("GET", "/reference_profile") => match std::env::var("MODEL_REFERENCE_PROFILE") {
            Ok(profile) => Response::json(200, profile),
            Err(_) => json_of(
                404,
                &json!({ "error": "the model has no reference profile" }),
            ),
        },
        ("POST", "/compute") => compute(request),
        _ => json_of(404, &json!({ "error": "not found" })),
    }
}

fn compute(request: &mut Request<'_>) -> Response {
    #[derive(Deserialize)]
    struct Compute {
        inputs: Inputs,
        #[serde(default)]
        dynamic_attributes: Option<Map<String, Value>>,
    }
    #[derive(Deserialize)]
    struct Inputs {
        x: Vec<f64>,
    }
    let body = request.read_body().unwrap_or_default();
    match serde_json::from_slice::<Compute>(&body) {
        Ok(compute) => {
            let y: Vec<f64> = compute.inputs.x.iter().map(|x| 2.0 * x + 1.0).collect();
            // The names of the attributes that arrived, but not their values.
            let attributes = compute.dynamic_attributes.unwrap_or_default();
            let attributes: Vec<&String> = attributes.keys().collect();
            json_of(200, &json!({ "y": y, "attributes": attributes }))
        }
        Err(error) => json_of(400, &json!({ "error": error.to_string() })),
    }
}

fn json_of(status: u16, value: &Value) -> Response {
    Response::json(status, value.to_string())
}

fn openapi() -> Value {
    let list = json!({ "type": "array", "items": { "type": "number" } });
    json!({
        "openapi": "3.1.0",
        "info": { "title": "y = 2x + 1", "version": "1" },
        "paths": { "/compute": { "post": { "responses": { "200": { "description": "y" } } } } },
        "components": { "schemas": {
            "ComputeRequest": { "type": "object", "properties": {
                "inputs": { "type": "object", "properties": { "x": list } },
                "dynamic_attributes": { "$ref": "#/components/schemas/DynamicAttributesModel" },
            } },
            "ComputeResponse": { "type": "object", "properties": { "y": list } },
            "DynamicAttributesModel": { "type": "object", "properties": {
                "api_key": { "type": "string" },
                "language": { "type": "string" },
            } },
        } },
    })
}
