//! The gateway of September 2025: rentals of executors.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answers::{error, found};
use super::log::log;
use super::machines::available;
use super::server::{Deployed, ServerState, Shared};
use satellite_serve::Response;
use satellite_serve::testing::{ReceivedRequest, query};

pub(super) fn answer(
    shared: &Arc<Shared>,
    server: &mut ServerState,
    request: &ReceivedRequest<'_>,
    segments: &[&str],
) -> Response {
    match (request.method, segments) {
        ("GET", ["executors"]) => available(&server.machines, request.query, "executor"),
        ("POST", ["rentals"]) => rent(server, &request.body),
        ("GET", ["rentals"]) => list(server, request.query),
        (_, ["executors" | "rentals"]) => Response::new(405),
        (method, ["rentals", id, rest @ ..]) => {
            let Some(deployed) = server.find(id) else {
                return Response::new(404);
            };
            match (method, rest) {
                ("GET", []) => found(&rental(deployed)),
                ("DELETE", []) => {
                    server.deployments.retain(|one| one.id != *id);
                    shared.changed.notify_all();
                    Response::new(204)
                }
                ("GET", ["logs"]) => {
                    let printed = deployed.log.len();
                    log(shared, id, request.query, printed, server.cuts.pop_front())
                }
                (_, [] | ["logs"]) => Response::new(405),
                _ => Response::new(403),
            }
        }
        _ => Response::new(403),
    }
}

fn rent(server: &mut ServerState, body: &[u8]) -> Response {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return Response::text(400, "Failed to parse the request body as JSON");
    };
    let missing = |name: &str| {
        let text = "Failed to deserialize the JSON body into the target type";
        Response::text(422, format!("{text}: missing field `{name}`"))
    };
    for name in ["container_image", "ssh_public_key"] {
        if !request[name].is_string() {
            return missing(name);
        }
    }
    for name in ["cpu_cores", "memory_mb", "storage_mb", "gpu_count"] {
        if request["resources"].is_object() && !request["resources"][name].is_number() {
            return missing(name);
        }
    }
    let bad = |what: &str| error(400, "BAD_REQUEST", &format!("Bad request: {what}"), false);
    if !is_public_key(request["ssh_public_key"].as_str().unwrap_or_default()) {
        return bad("Invalid SSH public key");
    }
    if !is_image(request["container_image"].as_str().unwrap_or_default()) {
        return bad("Invalid container image");
    }
    let selection = &request["executor_selection"];
    let machine = match selection["type"].as_str() {
        Some("executor_id") => {
            let is_it = |machine: &&Value| machine["id"] == selection["executor_id"];
            server.machines.iter().find(is_it)
        }
        Some("gpu_requirements") => {
            let request = &selection["gpu_requirements"];
            let is_fit = |machine: &&Value| {
                let gpus = machine["gpu_specs"].as_array().map_or(0, Vec::len) as u64;
                let gpu = &machine["gpu_specs"][0];
                let name = gpu["name"].as_str().unwrap_or_default();
                request["gpu_count"]
                    .as_u64()
                    .is_some_and(|least| gpus >= least)
                    && gpu["memory_gb"].as_u64() >= request["min_memory_gb"].as_u64()
                    && request["gpu_type"]
                        .as_str()
                        .is_none_or(|kind| name.to_lowercase().contains(&kind.to_lowercase()))
            };
            server.machines.iter().find(is_fit)
        }
        _ => return missing("executor_selection"),
    };
    let Some(machine) = machine.cloned() else {
        return match selection["type"].as_str() {
            Some("executor_id") => {
                let text = "validator: no such executor, or it was taken";
                error(500, "OTHER_ERROR", text, false)
            }
            _ => {
                let text = "No executor matches the GPU requirements";
                error(404, "NOT_FOUND", text, false)
            }
        };
    };
    let ssh = request["no_ssh"] != true;
    let ports = request["ports"].clone();
    let rental = server.deploy("rental", request, machine);
    let mut answer = json!({
        "rental_id": rental.id,
        "container_info": {
            "container_id": format!("c-{}", rental.id),
            "container_name": rental.id,
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
        "status": deployed.poll_state(),
        "executor": deployed.machine,
        "created_at": deployed.created_at,
        "updated_at": deployed.created_at,
    });
    if deployed.request["no_ssh"] != true {
        rental["ssh_credentials"] = SSH.into();
    }
    rental
}

/// The list's states are capitalized and differ from those of a single rental.
fn list(server: &ServerState, parameters: &str) -> Response {
    let state = match query(parameters, "status") {
        None => None,
        Some(state @ ("Provisioning" | "Active" | "Stopping" | "Stopped" | "Failed")) => {
            Some(state)
        }
        Some(_) => {
            return Response::text(400, "Failed to deserialize query string: unknown variant");
        }
    };
    let all = server.deployments.iter();
    let all = all.filter(|one| state.is_none_or(|state| listed_state(one) == state));
    let all: Vec<_> = all
        .map(|one| {
            json!({
                "rental_id": one.id,
                "executor_id": one.machine["id"],
                "container_id": format!("c-{}", one.id),
                "state": listed_state(one),
                "created_at": one.created_at,
                "miner_id": "miner_1",
                "container_image": one.request["container_image"],
                "gpu_specs": one.machine["gpu_specs"],
                "has_ssh": one.request["no_ssh"] != true,
            })
        })
        .collect();
    found(&json!({ "total_count": all.len(), "rentals": all }))
}

fn listed_state(deployed: &Deployed) -> &'static str {
    match deployed.state {
        "pending" => "Provisioning",
        "active" => "Active",
        "failed" => "Failed",
        _ => "Stopped",
    }
}

/// The gateway's check, which ignores `no_ssh`.
fn is_public_key(key: &str) -> bool {
    key.starts_with("ssh-") && key.split_whitespace().count() >= 2
}

fn is_image(name: &str) -> bool {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || "._:/@-".contains(c);
    (3..=255).contains(&name.len()) && name.chars().all(is_fit) && !name.contains("..")
}
