//! The routes of each kind of server.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::answers::{found, refusal};
use super::kind::FaasKind;
use super::world::{KEY, Shared, World};
use super::{executions, files, output};
use satellite_serve::Response;
use satellite_serve::testing::{Asked, query};

pub(super) fn answer(shared: &Arc<Shared>, asked: &Asked<'_>) -> Response {
    if (asked.method, asked.path) == ("GET", "/health") {
        let uptime = u64::try_from(shared.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        // The gateway says so on any Linux, whether it has microVMs or not.
        let firecracker = shared.kind == FaasKind::Gateway && cfg!(target_os = "linux");
        return found(&json!({
            "status": "healthy", "docker": true, "firecracker": firecracker, "uptime_ms": uptime,
        }));
    }
    let Some(path) = asked.path.strip_prefix("/api/v1/") else {
        return Response::new(404);
    };
    if let Some(refusal) = refused(shared, asked) {
        return refusal;
    }
    let segments: Vec<_> = path.split('/').collect();
    let both = |shared: &Arc<Shared>| match (asked.method, segments.as_slice()) {
        ("POST", ["execute"]) => {
            shared.world().asked += 1;
            Some(executions::execute(shared, asked, None))
        }
        ("POST", ["snapshots"]) => Some(snapshot(shared, &asked.body)),
        ("GET", ["snapshots"]) => Some(found(&json!(shared.world().snapshots))),
        ("POST", ["snapshots", id, "restore"]) => Some(restore(shared, id)),
        _ => None,
    };
    let answer = both(shared).or_else(|| match shared.kind {
        FaasKind::Gateway => gateway(shared, asked, &segments),
        _ => contract(shared, asked, &segments),
    });
    answer.unwrap_or_else(|| Response::new(404))
}

/// The gateway asks nobody for a key.
fn refused(shared: &Shared, asked: &Asked<'_>) -> Option<Response> {
    let key = match shared.kind {
        FaasKind::Gateway => return None,
        FaasKind::Contract => asked.authorization?.strip_prefix("Bearer "),
        FaasKind::Server => asked.api_key,
    };
    if key != Some(KEY) {
        return Some(refusal(shared, 401, "UNAUTHORIZED", "the key is not known"));
    }
    let mut world = shared.world();
    let is_limited = world.refusals > 0;
    world.refusals = world.refusals.saturating_sub(1);
    drop(world);
    is_limited.then(|| refusal(shared, 429, "RATE_LIMIT_EXCEEDED", "too many requests"))
}

/// Routes of the contract that the gateway has not.
fn contract(shared: &Arc<Shared>, asked: &Asked<'_>, segments: &[&str]) -> Option<Response> {
    let mut world = shared.world();
    let absent = || refusal(shared, 404, "NOT_FOUND", "there is none of that name");
    Some(match (asked.method, segments) {
        ("GET", ["executions"]) => {
            let all: Vec<_> = world.executions.iter().map(|one| one.told()).collect();
            found(&json!(all))
        }
        (method, ["executions", id, rest @ ..]) => {
            let Some(execution) = world.execution(id) else {
                return Some(absent());
            };
            match (method, rest) {
                ("GET", []) => found(&execution.told()),
                ("DELETE", []) => {
                    execution.is_cancelled.store(true, Ordering::SeqCst);
                    Response::new(204)
                }
                ("GET", ["logs"]) => {
                    drop(world);
                    output::stream(shared, id, query(asked.query, "follow") == Some("true"))
                }
                _ => return None,
            }
        }
        ("GET", ["environments"]) => found(&json!(world.environments)),
        ("POST", ["environments"]) => create_environment(shared, &mut world, &asked.body),
        (method, ["environments", name]) => {
            let at = world
                .environments
                .iter()
                .position(|one| one["name"] == *name);
            let Some(at) = at else { return Some(absent()) };
            match method {
                "GET" => found(&world.environments[at]),
                "PUT" => {
                    let change: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
                    merge(&mut world.environments[at], &change);
                    found(&world.environments[at])
                }
                "DELETE" => {
                    world.environments.remove(at);
                    Response::new(204)
                }
                _ => return None,
            }
        }
        (method, ["snapshots", id, rest @ ..]) => {
            let at = world.snapshots.iter().position(|one| one["id"] == *id);
            let Some(at) = at else { return Some(absent()) };
            match (method, rest) {
                ("GET", []) => found(&world.snapshots[at]),
                ("DELETE", []) => {
                    world.snapshots.remove(at);
                    Response::new(204)
                }
                ("POST", ["branch"]) => {
                    drop(world);
                    branch(shared, id, &asked.body)
                }
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// Routes of the gateway that the contract has not.
fn gateway(shared: &Arc<Shared>, asked: &Asked<'_>, segments: &[&str]) -> Option<Response> {
    let fields: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    Some(match (asked.method, segments) {
        ("POST", ["fork"]) => executions::fork(shared, asked),
        ("POST", ["executions", id, "fork"]) => executions::execute(shared, asked, Some(id)),
        ("POST", ["instances"]) => {
            let mut world = shared.world();
            let made = json!({
                "id": world.new_id("instance"), "name": fields["name"], "image": fields["image"],
                "status": "running", "created_at": world.now(), "cpu_cores": null,
                "memory_mb": null,
            });
            world.instances.push(made.clone());
            found(&made)
        }
        ("GET", ["instances"]) => found(&json!(shared.world().instances)),
        ("POST", ["instances", _, "exec"]) => Response::new(501),
        ("POST", ["instances", _, "stop"]) => Response::new(204),
        ("POST", ["prewarm"]) if fields["count"].is_u64() => Response::new(200),
        ("POST", ["prewarm"]) => Response::text(422, "missing field `count`"),
        ("GET", ["pools"]) => found(&json!(["alpine:latest"])),
        ("GET", ["metrics"]) => found(&json!({
            "total_requests": shared.world().asked,
            // It counts answers within 10 ms as cache hits, and the last two never.
            "cache_hits": 0, "cache_hit_rate": 0.0, "docker_executions": 0, "vm_executions": 0,
        })),
        // Of any execution: it ends at once, and says nothing.
        ("GET", ["logs", _, "stream"]) => {
            Response::new(200).header("content-type", "text/event-stream")
        }
        _ => return None,
    })
}

fn create_environment(shared: &Shared, world: &mut World, body: &[u8]) -> Response {
    let mut made: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(name) = made["name"].as_str().map(str::to_owned) else {
        return refusal(shared, 422, "INVALID", "name: expected a text");
    };
    if world
        .environments
        .iter()
        .any(|one| one["name"] == name.as_str())
    {
        return refusal(shared, 409, "CONFLICT", "there is one of that name");
    }
    made["id"] = world.new_id("env").into();
    world.environments.push(made.clone());
    Response::json(201, made.to_string())
}

fn snapshot(shared: &Shared, body: &[u8]) -> Response {
    let fields: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(container) = fields["container_id"].as_str() else {
        return Response::text(422, "missing field `container_id`");
    };
    let mut world = shared.world();
    let id = world.new_id("snapshot");
    // The gateway makes a snapshot of anything, and nothing of it.
    if shared.kind != FaasKind::Gateway {
        let to = shared.root.join(&id);
        let copied = world
            .folders
            .get(container)
            .map(|from| files::copy(from, &to));
        if !matches!(copied, Some(Ok(()))) {
            return refusal(shared, 404, "NOT_FOUND", "there is no such execution");
        }
        world.folders.insert(id.clone(), to);
    }
    let made = json!({
        "id": id, "name": fields["name"], "container_id": container,
        "created_at": world.now(), "size_bytes": 1024 * 1024,
    });
    world.snapshots.push(made.clone());
    found(&made)
}

fn restore(shared: &Shared, id: &str) -> Response {
    if !shared.world().snapshots.iter().any(|one| one["id"] == id) {
        return match shared.kind {
            FaasKind::Gateway => Response::new(404),
            _ => refusal(shared, 404, "NOT_FOUND", "there is no such snapshot"),
        };
    }
    match opened(shared, id) {
        Some(made) => found(&made),
        None => Response::new(500),
    }
}

fn branch(shared: &Shared, id: &str, body: &[u8]) -> Response {
    let fields: Value = serde_json::from_slice(body).unwrap_or_default();
    let count = fields["count"].as_u64().unwrap_or(1);
    let made: Option<Vec<_>> = (0..count).map(|_| opened(shared, id)).collect();
    match made {
        Some(made) => found(&json!(made)),
        None => Response::new(500),
    }
}

/// A state of its own that begins with the snapshot's.
fn opened(shared: &Shared, id: &str) -> Option<Value> {
    let mut world = shared.world();
    let branch = world.new_id("branch");
    let to = shared.root.join(&branch);
    match shared.kind {
        FaasKind::Gateway => std::fs::create_dir(&to).ok()?,
        _ => files::copy(world.folders.get(id)?, &to).ok()?,
    }
    world.folders.insert(branch.clone(), to);
    Some(json!({
        "id": branch, "name": format!("restored-{id}"), "image": "restored", "status": "running",
        "created_at": world.now(), "cpu_cores": null, "memory_mb": null,
    }))
}

fn merge(into: &mut Value, change: &Value) {
    if let (Some(into), Some(change)) = (into.as_object_mut(), change.as_object()) {
        into.extend(change.clone());
    }
}
