//! The gateway's routes, surprises included.

use std::sync::Arc;

use serde_json::{Value, json};

use super::log::Log;
use super::world::{Deployed, Shared, World};
use super::{machines, oauth};
use crate::ApiVersion;
use satellite_serve::Response;
use satellite_serve::testing::{Asked, query};

pub(super) fn answer(shared: &Arc<Shared>, version: ApiVersion, asked: &Asked<'_>) -> Response {
    let mut world = shared.world();
    let segments: Vec<_> = asked.path.trim_matches('/').split('/').collect();
    match (asked.method, segments.as_slice()) {
        ("GET", ["health"]) => return health(),
        ("POST", ["oauth", "token"]) => return oauth::renew(&mut world, &asked.body),
        _ => {}
    }
    if world.are_keys_lost {
        return error(503, "AUTH_UNAVAILABLE", "cannot fetch the key set", false);
    }
    if !world.tokens.is_taken(asked.authorization) {
        return error(401, "UNAUTHORIZED", "invalid or expired token", false);
    }
    let is_rentals = version == ApiVersion::Rentals;
    let before = world.deployments.len();
    let answer = match (asked.method, segments.as_slice()) {
        ("GET", ["executors"]) if is_rentals => available(&world, asked.query, "executor"),
        ("GET", ["nodes"]) if !is_rentals => available(&world, asked.query, "node"),
        ("POST", ["rentals"]) if is_rentals => rent(&mut world, &asked.body),
        ("POST", ["deployments"]) if !is_rentals => deploy(&mut world, &asked.body),
        ("GET", ["rentals"]) if is_rentals => rentals(&world, asked.query),
        ("GET", ["deployments"]) if !is_rentals => {
            let all: Vec<_> = world.deployments.iter().map(service).collect();
            found(&json!({ "total": all.len(), "deployments": all }))
        }
        (method, [kind @ ("rentals" | "deployments"), id, rest @ ..])
            if (*kind == "rentals") == is_rentals =>
        {
            let Some(deployed) = world.find(id) else {
                return Response::new(404);
            };
            match (method, rest) {
                ("GET", []) if is_rentals => found(&rental(deployed)),
                ("GET", []) => {
                    deployed.looked_at();
                    found(&service(deployed))
                }
                ("DELETE", []) => {
                    let gone = json!({ "instanceName": id, "state": "Terminating", "message": "" });
                    world.deployments.retain(|one| one.id != *id);
                    shared.changed.notify_all();
                    match is_rentals {
                        true => Response::new(204),
                        false => found(&gone),
                    }
                }
                ("GET", ["logs"]) => {
                    let printed = deployed.log.len();
                    let cut = world.cuts.pop_front();
                    log(shared, id, asked.query, printed, cut)
                }
                (_, [] | ["logs"]) => Response::new(405),
                _ => Response::new(403),
            }
        }
        (_, ["executors" | "rentals"]) if is_rentals => Response::new(405),
        (_, ["nodes" | "deployments"]) if !is_rentals => Response::new(405),
        _ => Response::new(403),
    };
    if let (Some(made), Some((lines, pause))) = (world.deployments.get(before), &world.script) {
        shared.play(made.id.clone(), lines.clone(), *pause);
    }
    answer
}

fn health() -> Response {
    found(&json!({
        "status": "healthy",
        "version": "0.1.0",
        "timestamp": "2026-01-01T00:00:00Z",
        "healthy_validators": 1,
        "total_validators": 2,
    }))
}

fn available(world: &World, asked: &str, kind: &str) -> Response {
    let Some(machines) = machines::found(&world.machines, asked) else {
        return Response::text(400, "Failed to deserialize query string: invalid digit");
    };
    let availability = json!({
        "available_until": null,
        "verification_score": 0.93,
        "uptime_percentage": 99.5,
    });
    let one = |machine: Value| json!({ kind: machine, "availability": availability });
    let all: Vec<_> = machines.into_iter().map(one).collect();
    found(&json!({ "total_count": all.len(), format!("available_{kind}s"): all }))
}

fn rent(world: &mut World, body: &[u8]) -> Response {
    let Ok(asked) = serde_json::from_slice::<Value>(body) else {
        return Response::text(400, "Failed to parse the request body as JSON");
    };
    let missing = |name: &str| {
        let text = "Failed to deserialize the JSON body into the target type";
        Response::text(422, format!("{text}: missing field `{name}`"))
    };
    for name in ["container_image", "ssh_public_key"] {
        if !asked[name].is_string() {
            return missing(name);
        }
    }
    for name in ["cpu_cores", "memory_mb", "storage_mb", "gpu_count"] {
        if asked["resources"].is_object() && !asked["resources"][name].is_number() {
            return missing(name);
        }
    }
    let selection = &asked["executor_selection"];
    let machine = match selection["type"].as_str() {
        Some("executor_id") => {
            let is_it = |machine: &&Value| machine["id"] == selection["executor_id"];
            world.machines.iter().find(is_it)
        }
        Some("gpu_requirements") => {
            let asked = &selection["gpu_requirements"];
            let is_fit = |machine: &&Value| {
                let gpus = machine["gpu_specs"].as_array().map_or(0, Vec::len) as u64;
                let gpu = &machine["gpu_specs"][0];
                let name = gpu["name"].as_str().unwrap_or_default();
                asked["gpu_count"]
                    .as_u64()
                    .is_some_and(|least| gpus >= least)
                    && gpu["memory_gb"].as_u64() >= asked["min_memory_gb"].as_u64()
                    && asked["gpu_type"]
                        .as_str()
                        .is_none_or(|kind| name.contains(kind))
            };
            world.machines.iter().find(is_fit)
        }
        _ => return missing("executor_selection"),
    };
    let Some(machine) = machine.cloned() else {
        let text = "validator: no such executor, or it was taken";
        return error(500, "OTHER_ERROR", text, false);
    };
    let ssh = asked["no_ssh"] != true;
    let ports = asked["ports"].clone();
    let made = world.deploy("rental", asked, machine);
    let mut answer = json!({
        "rental_id": made.id,
        "container_info": {
            "container_id": format!("c-{}", made.id),
            "container_name": made.id,
            "mapped_ports": ports,
            "status": "running",
            "labels": {},
        },
    });
    if ssh {
        answer["ssh_credentials"] = SSH.into();
    }
    found(&answer)
}

const SSH: &str = "ssh root@192.0.2.7 -p 32022";

fn rental(deployed: &mut Deployed) -> Value {
    let mut rental = json!({
        "rental_id": deployed.id,
        "status": deployed.looked_at(),
        "executor": deployed.machine,
        "created_at": deployed.created_at,
        "updated_at": deployed.created_at,
    });
    if deployed.asked["no_ssh"] != true {
        rental["ssh_credentials"] = SSH.into();
    }
    rental
}

/// The filter has capitals, the answers have none.
fn rentals(world: &World, asked: &str) -> Response {
    let state = match query(asked, "status") {
        None => None,
        Some("Pending") => Some("pending"),
        Some("Active") => Some("active"),
        Some("Terminated") => Some("terminated"),
        Some("Failed") => Some("failed"),
        Some(_) => {
            return Response::text(400, "Failed to deserialize query string: unknown variant");
        }
    };
    let all = world.deployments.iter();
    let all = all.filter(|one| state.is_none_or(|state| one.state == state));
    let all: Vec<_> = all
        .map(|one| {
            json!({
                "rental_id": one.id,
                "executor_id": one.machine["id"],
                "container_id": format!("c-{}", one.id),
                "state": one.state,
                "created_at": one.created_at,
                "miner_id": "miner_1",
                "container_image": one.asked["container_image"],
                "gpu_specs": one.machine["gpu_specs"],
                "has_ssh": one.asked["no_ssh"] != true,
            })
        })
        .collect();
    found(&json!({ "total_count": all.len(), "rentals": all }))
}

fn deploy(world: &mut World, body: &[u8]) -> Response {
    let Ok(asked) = serde_json::from_slice::<Value>(body) else {
        return Response::text(400, "Failed to parse the request body as JSON");
    };
    for (name, is_fit) in [
        ("instanceName", asked["instanceName"].is_string()),
        ("image", asked["image"].is_string()),
        ("replicas", asked["replicas"].is_u64()),
        ("port", asked["port"].is_u64()),
    ] {
        if !is_fit {
            return Response::text(422, format!("missing field `{name}`"));
        }
    }
    let name = asked["instanceName"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let made = world.deploy(&name, asked, Value::Null);
    found(&service(made))
}

fn service(deployed: &Deployed) -> Value {
    let state = match deployed.state {
        "pending" => "Pending",
        "active" => "Active",
        "failed" => "Failed",
        _ => "Terminated",
    };
    let mut service = json!({
        "instanceName": deployed.id,
        "userId": "user-1",
        "namespace": "u-user-1",
        "state": state,
        "url": format!("https://{}.example.com", deployed.id),
        "replicas": { "desired": deployed.asked["replicas"], "ready": 0 },
        "createdAt": deployed.created_at,
    });
    if deployed.state == "failed" {
        service["message"] = "the container exited with 1".into();
    }
    service
}

fn log(
    shared: &Arc<Shared>,
    id: &str,
    asked: &str,
    printed: usize,
    cut: Option<super::Cut>,
) -> Response {
    let tail = query(asked, "tail").map(|tail| tail.parse::<usize>().ok());
    let (Some(follow), Some(tail)) = (
        query(asked, "follow").unwrap_or("false").parse().ok(),
        tail.unwrap_or(Some(printed)),
    ) else {
        return Response::text(400, "Failed to deserialize query string");
    };
    let log = Log {
        shared: Arc::clone(shared),
        id: id.to_owned(),
        follow,
        cut,
        next: printed.saturating_sub(tail),
        buffer: Vec::new(),
        sent: 0,
    };
    Response::new(200)
        .header("content-type", "text/event-stream")
        .reader(log, None)
}

fn found(document: &Value) -> Response {
    Response::json(200, document.to_string())
}

fn error(status: u16, code: &str, message: &str, retryable: bool) -> Response {
    let error = json!({
        "code": code,
        "message": message,
        "timestamp": "2026-01-01T00:00:00Z",
        "retryable": retryable,
    });
    Response::json(status, json!({ "error": error }).to_string())
}
