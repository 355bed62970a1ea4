//! Executions: parses a request, runs it and builds the response.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::answers::error_response;
use super::kind::FaasKind;
use super::runner::{self, End, Job};
use super::server::{Execution, Shared};
use super::{files, output};
use satellite_serve::Response;
use satellite_serve::testing::{ReceivedRequest, query};

/// A parsed and validated request.
struct Command {
    command: Value,
    words: Vec<String>,
    envs: Vec<(String, String)>,
    image: Value,
    limit: Duration,
    directory: PathBuf,
    cache_key: Option<String>,
}

/// `POST …/execute`, and routes with the same format.
pub(super) fn execute(
    shared: &Arc<Shared>,
    request: &ReceivedRequest<'_>,
    from: Option<&str>,
) -> Response {
    let command = match parse(shared, &request.body, from) {
        Ok(command) => command,
        Err(error) => return error,
    };
    if let Some(key) = &command.cache_key {
        if let Some(known) = shared.lock().cached.get(key) {
            let mut known = known.clone();
            if shared.kind != FaasKind::Gateway {
                known["cached"] = true.into();
            }
            return Response::json(200, known.to_string());
        }
    }
    if let Some(response) = fake_checkpoint(shared, &request.body) {
        return response;
    }
    let (id, is_cancelled) = start(shared, &command);
    let is_streamed =
        shared.kind != FaasKind::Gateway && query(request.query, "stream") == Some("true");
    if !is_streamed {
        let result = run(shared, &command, &id, &is_cancelled);
        return Response::json(200, result.to_string());
    }
    let (at, running) = (Arc::clone(shared), id.clone());
    thread::spawn(move || run(&at, &command, &running, &is_cancelled));
    output::stream(shared, &id, true)
}

/// `POST …/fork` of the gateway: both variants lack a parent and so fail, and the
/// response omits failed variants.
pub(super) fn fork(shared: &Arc<Shared>, request: &ReceivedRequest<'_>) -> Response {
    match parse(shared, &request.body, None) {
        Err(error) if error.status() != 500 => error,
        _ => Response::json(200, "[]"),
    }
}

/// The gateway responds to checkpointed executions with a fixed text and runs nothing.
fn fake_checkpoint(shared: &Shared, body: &[u8]) -> Option<Response> {
    let fields: Value = serde_json::from_slice(body).ok()?;
    if shared.kind != FaasKind::Gateway || fields["mode"] != "checkpointed" {
        return None;
    }
    let mut server = shared.lock();
    let word = match fields["snapshot_id"].as_str() {
        Some(id) if !server.snapshots.iter().any(|one| one["id"] == id) => {
            return Some(Response::new(500));
        }
        Some(_) => "Restored",
        None => "Checkpointed",
    };
    let result = json!({
        "request_id": server.new_id("exec"), "exit_code": 0, "stdout": word, "stderr": "",
        "duration_ms": 200, "output": word, "logs": "", "error": null,
    });
    Some(Response::json(200, result.to_string()))
}

fn parse(shared: &Shared, body: &[u8], from: Option<&str>) -> Result<Command, Response> {
    let Ok(fields) = serde_json::from_slice::<Value>(body) else {
        return Err(Response::text(
            400,
            "Failed to parse the request body as JSON",
        ));
    };
    let unprocessable = |what: &str| {
        let text = "Failed to deserialize the JSON body into the target type";
        Response::text(422, format!("{text}: {what}"))
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let list = |value: &Value| -> Option<Vec<Value>> {
        match value {
            Value::Null => Some(Vec::new()),
            value => value.as_array().cloned(),
        }
    };
    let is_server = shared.kind == FaasKind::Server;
    let words = match is_server {
        true => fields["command"]
            .as_array()
            .and_then(|words| words.iter().map(text).collect()),
        false => text(&fields["command"]).map(|script| vec!["sh".into(), "-c".into(), script]),
    };
    let words: Vec<String> = words.ok_or_else(|| unprocessable("command"))?;
    let pair = |value: &Value| match is_server {
        true => {
            let (name, value) = value.as_str()?.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        }
        false => match value.as_array()?.as_slice() {
            [name, value] => Some((text(name)?, text(value)?)),
            _ => None,
        },
    };
    let envs = list(&fields["env_vars"]).and_then(|all| all.iter().map(pair).collect());
    let envs =
        envs.ok_or_else(|| unprocessable("env_vars: invalid type: map, expected a sequence"))?;
    let image = &fields["image"];
    if !is_known(shared, image) {
        return Err(match shared.kind {
            FaasKind::Gateway => Response::new(500),
            _ => error_response(shared, 404, "NOT_FOUND", "the environment does not exist"),
        });
    }
    if shared.kind == FaasKind::Gateway && !can_run(&fields, from) {
        return Err(Response::new(500));
    }
    let directory = directory(shared, &fields, from).ok_or_else(|| {
        error_response(
            shared,
            404,
            "NOT_FOUND",
            "the snapshot, branch or execution does not exist",
        )
    })?;
    let max = shared.lock().max_time;
    let requested = fields["timeout_ms"].as_u64().map(Duration::from_millis);
    let limit = match shared.kind {
        FaasKind::Gateway => max,
        _ => requested.map_or(max, |limit| limit.min(max)),
    };
    let is_cached = fields["mode"] == "cached";
    let key = || match shared.kind {
        // The image and the beginning of the command; the gateway ignores the key.
        FaasKind::Gateway => {
            let begin: String = text(&fields["command"])?.chars().take(100).collect();
            Some(format!("{image} {begin}"))
        }
        _ => Some(format!(
            "{} {}",
            fields["cache_key"].as_str()?,
            fields["command"]
        )),
    };
    Ok(Command {
        command: fields["command"].clone(),
        words,
        envs,
        image: image.clone(),
        limit,
        directory: match fields["working_dir"].as_str() {
            Some(inner) if shared.kind != FaasKind::Gateway => directory.join(inner),
            _ => directory,
        },
        cache_key: is_cached.then(key).flatten(),
    })
}

/// Whether the image is one of the mock's or names an environment.
fn is_known(shared: &Shared, image: &Value) -> bool {
    let Some(name) = image.as_str() else {
        return image.is_null();
    };
    let server = shared.lock();
    let bare = name.split([':', '@']).next().unwrap_or_default();
    let has_image = IMAGES.contains(&bare) || server.images.iter().any(|one| one == name);
    let has_environment = server.environments.iter().any(|one| one["name"] == *image);
    has_image || (shared.kind != FaasKind::Gateway && has_environment)
}

/// The images that every mock has, whatever their tag.
const IMAGES: [&str; 9] = [
    "alpine", "busybox", "debian", "golang", "node", "python", "ruby", "rust", "ubuntu",
];

/// Whether the gateway can run this request. It has no microVMs, which are the default
/// runtime of persistent executions, and a branch needs a parent.
fn can_run(fields: &Value, from: Option<&str>) -> bool {
    let runtime = fields["runtime"].as_str();
    match fields["mode"].as_str() {
        Some("persistent") => matches!(runtime, Some("docker" | "auto")),
        Some("branched") => fields["branch_from"].is_string() || from.is_some(),
        _ => runtime != Some("firecracker"),
    }
}

/// The directory to run in: that of the branch, a copy of the parent's, or a new one.
fn directory(shared: &Shared, fields: &Value, from: Option<&str>) -> Option<PathBuf> {
    let mut server = shared.lock();
    if let Some(branch) = fields["branch_from"].as_str() {
        return server.directories.get(branch).cloned();
    }
    let id = server.new_id("state");
    let new = shared.root.join(&id);
    match fields["snapshot_id"].as_str().or(from) {
        Some(begin) => files::copy(server.directories.get(begin)?, &new).ok()?,
        None => fs::create_dir(&new).ok()?,
    }
    Some(new)
}

fn start(shared: &Shared, command: &Command) -> (String, Arc<AtomicBool>) {
    let mut server = shared.lock();
    let id = server.new_id("exec");
    let is_cancelled = Arc::new(AtomicBool::new(server.is_stopped));
    let started_at = server.now();
    server
        .directories
        .insert(id.clone(), command.directory.clone());
    server.executions.push(Execution {
        id: id.clone(),
        command: command.command.clone(),
        image: command.image.clone(),
        status: "running",
        started_at,
        exit_code: None,
        events: vec![json!({ "type": "started", "request_id": id })],
        is_cancelled: Arc::clone(&is_cancelled),
    });
    server.peak_running = server.running().max(server.peak_running);
    (id, is_cancelled)
}

/// Runs the command and returns the result.
fn run(shared: &Shared, command: &Command, id: &str, is_cancelled: &AtomicBool) -> Value {
    let begun = Instant::now();
    let max_output = shared.lock().max_output;
    let job = Job {
        words: &command.words,
        envs: &command.envs,
        directory: &command.directory,
        limit: command.limit,
        max_output,
        is_cancelled,
    };
    let end = runner::run(&job, |is_error, data| {
        let kind = if is_error { "stderr" } else { "stdout" };
        let event = json!({ "type": kind, "data": data });
        if let Some(execution) = shared.lock().execution(id) {
            execution.events.push(event);
        }
        shared.changed.notify_all();
    });
    let (status, code, error) = match end {
        Ok(End::Exited(0)) => ("success", 0, None),
        Ok(End::Exited(code)) => (
            "error",
            code,
            Some(format!("Process exited with code {code}")),
        ),
        Ok(End::TimedOut) => (
            "timeout",
            124,
            Some(format!("timed out after {:?}", command.limit)),
        ),
        Ok(End::TooMuchOutput) => (
            "error",
            137,
            Some(format!("printed more than {max_output} bytes")),
        ),
        Ok(End::Cancelled) => ("cancelled", 137, Some("cancelled".to_owned())),
        Err(error) => ("error", 127, Some(error.to_string())),
    };
    let mut server = shared.lock();
    let Some(execution) = server.execution(id) else {
        return Value::Null;
    };
    execution.status = status;
    execution.exit_code = Some(code);
    execution
        .events
        .push(json!({ "type": "exit", "code": code }));
    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let result = match shared.kind {
        FaasKind::Gateway => {
            let merged = execution.printed(&["stdout", "stderr"]);
            json!({
                "request_id": id, "exit_code": 0, "stdout": merged, "stderr": merged,
                "duration_ms": ms, "output": merged, "logs": merged, "error": null,
            })
        }
        _ => {
            let [out, err] = ["stdout", "stderr"].map(|kind| execution.printed(&[kind]));
            json!({
                "request_id": id, "status": status, "exit_code": code, "stdout": out,
                "stderr": err, "output": out, "logs": err, "duration_ms": ms, "cached": false,
                "error": error,
            })
        }
    };
    if let (Some(key), "success") = (&command.cache_key, status) {
        server.cached.insert(key.clone(), result.clone());
    }
    drop(server);
    shared.changed.notify_all();
    result
}
