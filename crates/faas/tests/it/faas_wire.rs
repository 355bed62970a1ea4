//! The schema of the wire format describes what the client sends and what servers respond. Clients
//! in other languages generate their types from it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;

use boon::{Compiler, SchemaIndex, Schemas};
use satellite_faas::{EnvironmentSpec, ExecutionRequest, FaasKind, MockFaas, Mode, Runtime};
use satellite_serve::testing::RecordedRequest;
use serde_json::{Value, json};

const SCHEMA: &str = include_str!("../../schema/faas-wire.schema.json");

/// The compiled schema and its table of routes.
struct Wire {
    document: Value,
    compiler: Compiler,
    schemas: Schemas,
}

impl Wire {
    fn new() -> Self {
        let document: Value = serde_json::from_str(SCHEMA).unwrap();
        let mut compiler = Compiler::new();
        compiler
            .add_resource("mem:///wire.json", document.clone())
            .unwrap();
        Wire {
            document,
            compiler,
            schemas: Schemas::new(),
        }
    }

    fn routes(&self) -> Vec<Value> {
        self.document["x-routes"].as_array().unwrap().clone()
    }

    /// The route of a request.
    fn route(&self, method: &str, target: &str) -> Value {
        let is_it = |route: &&Value| {
            let path = route["path"].as_str().unwrap();
            route["method"] == method && path_matches(path, target)
        };
        let found = self.routes().iter().find(is_it).cloned();
        found.unwrap_or_else(|| panic!("the schema has no route for {method} {target}"))
    }

    fn check(&mut self, definition: &str, value: &Value) -> Result<(), String> {
        let place = format!("mem:///wire.json#/$defs/{definition}");
        let index: SchemaIndex = self
            .compiler
            .compile(&place, &mut self.schemas)
            .map_err(|error| error.to_string())?;
        self.schemas
            .validate(value, index)
            .map_err(|error| format!("{definition}: {error} in {value}"))
    }
}

/// Whether a target fits a route: `{…}` stands for one segment, and the query must be equal.
fn path_matches(path: &str, target: &str) -> bool {
    let split = |text: &str| {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let segments: Vec<_> = path.split('/').map(str::to_owned).collect();
        (segments, query.to_owned())
    };
    let ((path, query), (target, asked)) = (split(path), split(target));
    query == asked
        && path.len() == target.len()
        && path
            .iter()
            .zip(&target)
            .all(|(expected, found)| expected.starts_with('{') || expected == found)
}

/// Calls every operation of the client, so that every route and every field is used.
fn use_everything(mock: &MockFaas) {
    let faas = mock.client();
    let full = || {
        ExecutionRequest::command(["sh", "-c", "cat"])
            .env("A", "b=c")
            .env("EMPTY", "")
            .stdin("x")
            .working_dir(".")
            .memory_mb(512)
            .cpu_cores(1)
            .runtime(Runtime::Docker)
            .mode(Mode::Cached)
            .cache_key("key")
    };
    let ran = faas
        .execute(full().environment("alpine:latest"))
        .map(|result| result.request_id)
        .unwrap_or_else(|_| "exec-0002".into());
    let _ = faas.execute(full().environment("alpine-fast"));
    let _ = faas.execute("echo out; echo err >&2; exit 3");
    let _ = faas.execute(ExecutionRequest::shell("exit 3").checked(true));
    for output in faas.executions().stream("echo one; echo two >&2").unwrap() {
        output.unwrap();
    }
    let _ = faas.executions().list();
    let _ = faas.executions().get(&ran);
    for follow in [false, true] {
        let _ = faas.executions().logs(&ran, follow).map(Iterator::count);
    }
    let _ = faas.executions().cancel(&ran);

    let environments = faas.environments();
    let spec = EnvironmentSpec::new("rust:latest")
        .layer(json!({ "run": "true" }))
        .cpu_cores(1.5)
        .memory_mb(64)
        .cache_strategy("aggressive")
        .feature("network", false);
    let _ = environments.create("mine", &spec);
    let _ = environments.create("mine", &EnvironmentSpec::default());
    let _ = environments.list();
    let _ = environments.get("mine");
    let _ = environments.update("mine", &EnvironmentSpec::default().memory_mb(32));
    let _ = environments.delete("mine");

    let snapshots = faas.snapshots();
    let saved = snapshots.create(&ran, Some("base")).unwrap().id;
    let _ = snapshots.create(&ran, None);
    let _ = snapshots.create_from_script("true", "script");
    let _ = snapshots.list();
    let _ = snapshots.get(&saved);
    let _ = faas.execute(ExecutionRequest::shell("true").snapshot(&saved));
    let _ = snapshots.restore(&saved).unwrap().execute("true");
    let _ = snapshots.branch(&saved, 2);
    let _ = snapshots.delete(&saved);

    let extras = faas.gateway();
    let _ = extras.fork("true");
    let _ = extras.fork_execution(&ran, "true");
    let _ = extras.create_instance("alpine:latest", Some("mine"));
    let _ = extras.create_instance("alpine:latest", None);
    let _ = extras.instances();
    let _ = extras.instance("instance-0001");
    let _ = extras.exec("instance-0001", "true");
    let _ = extras.stop_instance("instance-0001");
    let _ = extras.prewarm("alpine:latest", 1, Some(Runtime::Auto));
    let _ = extras.pools();
    let _ = extras.metrics();
    let _ = faas.health();
}

/// Sends a request again and returns the status, the content type and the body.
fn replay(mock: &MockFaas, seen: &RecordedRequest) -> (u16, String, String) {
    let host = mock.url().replace("http://", "");
    let mut stream = TcpStream::connect(&host).unwrap();
    let (method, path, key) = (&seen.method, &seen.path, mock.key());
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\
         x-api-key: {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        seen.body.len()
    )
    .unwrap();
    stream.write_all(&seen.body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let is_type = |line: &&str| line.to_ascii_lowercase().starts_with("content-type:");
    let kind = head.lines().find(is_type).unwrap_or_default();
    (status, kind.to_ascii_lowercase(), body.to_owned())
}

/// The JSON of a body, or of each event.
fn documents(kind: &str, body: &str) -> Vec<Value> {
    let texts: Vec<_> = match kind.contains("text/event-stream") {
        true => body
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .collect(),
        false => vec![body],
    };
    let parse = |text: &&str| serde_json::from_str(text).unwrap();
    texts.iter().map(parse).collect()
}

#[test]
fn the_schema_describes_every_request_of_the_client_and_every_response() {
    let mut wire = Wire::new();
    let mut used = BTreeSet::new();
    let mut answered = BTreeSet::new();
    for kind in [FaasKind::Contract, FaasKind::Gateway, FaasKind::Server] {
        let mock = MockFaas::of(kind);
        use_everything(&mock);
        let again = MockFaas::of(kind);
        for seen in mock.requests() {
            let route = wire.route(&seen.method, &seen.path);
            let name = format!("{} {}", seen.method, route["path"].as_str().unwrap());
            match route["request"].as_str() {
                None => assert!(seen.body.is_empty(), "{name} has a body"),
                Some(definition) => {
                    let body = serde_json::from_slice(&seen.body).unwrap();
                    wire.check(definition, &body).unwrap();
                }
            }
            // Ids are counted, so the same requests have the same ids at another mock.
            let (status, content_type, body) = replay(&again, &seen);
            assert_eq!(status, seen.status, "{name}, sent again");
            used.insert(name.clone());
            let definition = match status {
                200..=299 if content_type.contains("event-stream") => &route["event"],
                200..=299 => &route["response"],
                _ if content_type.contains("json") => &json!("ErrorResponse"),
                _ => continue,
            };
            let Some(definition) = definition.as_str() else {
                assert!(body.is_empty(), "{name}: {body}");
                continue;
            };
            for document in documents(&content_type, &body) {
                wire.check(definition, &document).unwrap();
            }
            answered.insert(name);
        }
    }
    for route in wire.routes() {
        let name = format!(
            "{} {}",
            route["method"].as_str().unwrap(),
            route["path"].as_str().unwrap()
        );
        assert!(used.contains(&name), "no call uses {name}");
        let is_absent = name.contains("/instances/{id}") || name.ends_with("/fork");
        let has_answer = !route["response"].is_null() || !route["event"].is_null();
        assert!(
            !has_answer || is_absent || answered.contains(&name),
            "no response of {name} was checked"
        );
    }
}

#[test]
fn the_schema_rejects_what_servers_reject() {
    let mut wire = Wire::new();
    let good = json!({ "command": "true", "env_vars": [["A", "1"]], "timeout_ms": 1 });
    wire.check("GatewayExecuteRequest", &good).unwrap();
    for (name, value) in [
        ("command", json!(["true"])),
        ("env_vars", json!({ "A": "1" })),
        ("env_vars", json!(["A=1"])),
        ("timeout_ms", json!("1s")),
        ("unknown", json!(1)),
    ] {
        let mut wrong = good.clone();
        wrong[name] = value;
        assert!(
            wire.check("GatewayExecuteRequest", &wrong).is_err(),
            "{wrong}"
        );
    }
    assert!(wire.check("ServerExecuteRequest", &good).is_err());
    assert!(
        wire.check("ExecutionEvent", &json!({ "type": "exit" }))
            .is_err()
    );
    assert!(wire.check("Snapshot", &json!({ "name": "no id" })).is_err());
}
