//! The routes of each kind of server.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::answers::{error_response, found};
use super::kind::FaasKind;
use super::server::{KEY, ServerState, Shared};
use super::{executions, files, output};
use satellite_serve::Response;
use satellite_serve::testing::{ReceivedRequest, query};

pub(super) fn answer(shared: &Arc<Shared>, request: &ReceivedRequest<'_>) -> Response {
    if (request.method, request.path) == ("GET", "/health") {
        let uptime = u64::try_from(shared.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        // The gateway reports this on any Linux, whether it has microVMs or not.
        let firecracker = shared.kind == FaasKind::Gateway && cfg!(target_os = "linux");
        return found(&json!({
            "status": "healthy", "docker": true, "firecracker": firecracker, "uptime_ms": uptime,
        }));
    }
    let Some(path) = request.path.strip_prefix("/api/v1/") else {
        return Response::new(404);
    };
    if let Some(rejection) = rejected(shared, request) {
        return rejection;
    }
    let segments: Vec<_> = path.split('/').collect();
    let both = |shared: &Arc<Shared>| match (request.method, segments.as_slice()) {
        ("POST", ["execute"]) => {
            shared.lock().total_requests += 1;
            Some(executions::execute(shared, request, None))
        }
        ("POST", ["snapshots"]) => Some(snapshot(shared, &request.body)),
        ("GET", ["snapshots"]) => Some(found(&json!(shared.lock().snapshots))),
        ("POST", ["snapshots", id, "restore"]) => Some(restore(shared, id)),
        _ => None,
    };
    let answer = both(shared).or_else(|| match shared.kind {
        FaasKind::Gateway => gateway(shared, request, &segments),
        _ => contract(shared, request, &segments),
    });
    answer.unwrap_or_else(|| Response::new(404))
}

/// Rejects an unknown key or too many requests. The gateway requires no key.
fn rejected(shared: &Shared, request: &ReceivedRequest<'_>) -> Option<Response> {
    let key = match shared.kind {
        FaasKind::Gateway => return None,
        FaasKind::Contract => request.authorization?.strip_prefix("Bearer "),
        FaasKind::Server => request.api_key,
    };
    if key != Some(KEY) {
        return Some(error_response(shared, 401, "UNAUTHORIZED", "unknown key"));
    }
    let mut server = shared.lock();
    let is_limited = server.rate_limited > 0;
    server.rate_limited = server.rate_limited.saturating_sub(1);
    drop(server);
    is_limited.then(|| error_response(shared, 429, "RATE_LIMIT_EXCEEDED", "too many requests"))
}

/// Routes of the contract that the gateway lacks.
fn contract(
    shared: &Arc<Shared>,
    request: &ReceivedRequest<'_>,
    segments: &[&str],
) -> Option<Response> {
    let mut server = shared.lock();
    let absent = || error_response(shared, 404, "NOT_FOUND", "it does not exist");
    Some(match (request.method, segments) {
        ("GET", ["executions"]) => {
            let all: Vec<_> = server.executions.iter().map(|one| one.to_json()).collect();
            found(&json!(all))
        }
        (method, ["executions", id, rest @ ..]) => {
            let Some(execution) = server.execution(id) else {
                return Some(absent());
            };
            match (method, rest) {
                ("GET", []) => found(&execution.to_json()),
                ("DELETE", []) => {
                    execution.is_cancelled.store(true, Ordering::SeqCst);
                    Response::new(204)
                }
                ("GET", ["logs"]) => {
                    drop(server);
                    output::stream(shared, id, query(request.query, "follow") == Some("true"))
                }
                _ => return None,
            }
        }
        ("GET", ["environments"]) => found(&json!(server.environments)),
        ("POST", ["environments"]) => create_environment(shared, &mut server, &request.body),
        (method, ["environments", name]) => {
            let at = server
                .environments
                .iter()
                .position(|one| one["name"] == *name);
            let Some(at) = at else { return Some(absent()) };
            match method {
                "GET" => found(&server.environments[at]),
                "PUT" => {
                    let change: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                    merge(&mut server.environments[at], &change);
                    found(&server.environments[at])
                }
                "DELETE" => {
                    server.environments.remove(at);
                    Response::new(204)
                }
                _ => return None,
            }
        }
        (method, ["snapshots", id, rest @ ..]) => {
            let at = server.snapshots.iter().position(|one| one["id"] == *id);
            let Some(at) = at else { return Some(absent()) };
            match (method, rest) {
                ("GET", []) => found(&server.snapshots[at]),
                ("DELETE", []) => {
                    server.snapshots.remove(at);
                    Response::new(204)
                }
                ("POST", ["branch"]) => {
                    drop(server);
                    branch(shared, id, &request.body)
                }
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// Routes of the gateway that are not in the contract.
fn gateway(
    shared: &Arc<Shared>,
    request: &ReceivedRequest<'_>,
    segments: &[&str],
) -> Option<Response> {
    let fields: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    Some(match (request.method, segments) {
        ("POST", ["fork"]) => executions::fork(shared, request),
        ("POST", ["executions", id, "fork"]) => executions::execute(shared, request, Some(id)),
        ("POST", ["instances"]) => {
            let mut server = shared.lock();
            let made = json!({
                "id": server.new_id("instance"), "name": fields["name"], "image": fields["image"],
                "status": "running", "created_at": server.now(), "cpu_cores": null,
                "memory_mb": null,
            });
            server.instances.push(made.clone());
            found(&made)
        }
        ("GET", ["instances"]) => found(&json!(shared.lock().instances)),
        ("POST", ["instances", _, "exec"]) => Response::new(501),
        ("POST", ["instances", _, "stop"]) => Response::new(204),
        ("POST", ["prewarm"]) if fields["count"].is_u64() => Response::new(200),
        ("POST", ["prewarm"]) => Response::text(422, "missing field `count`"),
        ("GET", ["pools"]) => found(&json!(["alpine:latest"])),
        ("GET", ["metrics"]) => found(&json!({
            "total_requests": shared.lock().total_requests,
            // The gateway counts responses within 10 ms as cache hits, and never counts
            // the last two.
            "cache_hits": 0, "cache_hit_rate": 0.0, "docker_executions": 0, "vm_executions": 0,
        })),
        // For any execution: an empty stream that ends at once.
        ("GET", ["logs", _, "stream"]) => {
            Response::new(200).header("content-type", "text/event-stream")
        }
        _ => return None,
    })
}

fn create_environment(shared: &Shared, server: &mut ServerState, body: &[u8]) -> Response {
    let mut made: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(name) = made["name"].as_str().map(str::to_owned) else {
        return error_response(shared, 422, "INVALID", "name: expected a string");
    };
    if server
        .environments
        .iter()
        .any(|one| one["name"] == name.as_str())
    {
        return error_response(shared, 409, "CONFLICT", "the name is already in use");
    }
    made["id"] = server.new_id("env").into();
    server.environments.push(made.clone());
    Response::json(201, made.to_string())
}

fn snapshot(shared: &Shared, body: &[u8]) -> Response {
    let fields: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(container) = fields["container_id"].as_str() else {
        return Response::text(422, "missing field `container_id`");
    };
    let mut server = shared.lock();
    let id = server.new_id("snapshot");
    // The gateway accepts any id, and saves no state.
    if shared.kind != FaasKind::Gateway {
        let to = shared.root.join(&id);
        let copied = server
            .directories
            .get(container)
            .map(|from| files::copy(from, &to));
        if !matches!(copied, Some(Ok(()))) {
            return error_response(shared, 404, "NOT_FOUND", "the execution does not exist");
        }
        server.directories.insert(id.clone(), to);
    }
    let made = json!({
        "id": id, "name": fields["name"], "container_id": container,
        "created_at": server.now(), "size_bytes": 1024 * 1024,
    });
    server.snapshots.push(made.clone());
    found(&made)
}

fn restore(shared: &Shared, id: &str) -> Response {
    if !shared.lock().snapshots.iter().any(|one| one["id"] == id) {
        return match shared.kind {
            FaasKind::Gateway => Response::new(404),
            _ => error_response(shared, 404, "NOT_FOUND", "the snapshot does not exist"),
        };
    }
    match new_branch(shared, id) {
        Some(made) => found(&made),
        None => Response::new(500),
    }
}

fn branch(shared: &Shared, id: &str, body: &[u8]) -> Response {
    let fields: Value = serde_json::from_slice(body).unwrap_or_default();
    let count = fields["count"].as_u64().unwrap_or(1);
    let made: Option<Vec<_>> = (0..count).map(|_| new_branch(shared, id)).collect();
    match made {
        Some(made) => found(&json!(made)),
        None => Response::new(500),
    }
}

/// A new branch with a copy of the snapshot's state.
fn new_branch(shared: &Shared, id: &str) -> Option<Value> {
    let mut server = shared.lock();
    let branch = server.new_id("branch");
    let to = shared.root.join(&branch);
    match shared.kind {
        FaasKind::Gateway => std::fs::create_dir(&to).ok()?,
        _ => files::copy(server.directories.get(id)?, &to).ok()?,
    }
    server.directories.insert(branch.clone(), to);
    Some(json!({
        "id": branch, "name": format!("restored-{id}"), "image": "restored", "status": "running",
        "created_at": server.now(), "cpu_cores": null, "memory_mb": null,
    }))
}

fn merge(into: &mut Value, change: &Value) {
    if let (Some(into), Some(change)) = (into.as_object_mut(), change.as_object()) {
        into.extend(change.clone());
    }
}
