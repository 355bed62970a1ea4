//! The account: API keys, the SSH key, balance and usage.

use serde_json::{Value, json};

use super::answers::{error, found};
use super::server::{Deployed, ServerState, bearer};
use satellite_serve::Response;
use satellite_serve::testing::{ReceivedRequest, query};

const MAX_KEYS: usize = 10;

/// `/api-keys`, only for a login: an API key is rejected.
pub(super) fn api_keys(
    server: &mut ServerState,
    request: &ReceivedRequest<'_>,
    rest: &[&str],
) -> Response {
    if bearer(request.authorization).is_some_and(|token| token.starts_with("basilica_")) {
        let text = "Authentication error: API key management requires human authentication (JWT)";
        return error(401, "AUTH_ERROR", text, false);
    }
    match (request.method, rest) {
        ("GET", []) => {
            let keys: Vec<_> = server.keys.iter().map(|(key, _)| key).collect();
            found(&json!(keys))
        }
        ("POST", []) => create(server, &request.body),
        ("DELETE", [name]) => {
            if !is_name(name) {
                let text = "Bad request: Invalid API key name";
                return error(400, "BAD_REQUEST", text, false);
            }
            let before = server.keys.len();
            server.keys.retain(|(key, _)| key["name"] != *name);
            match server.keys.len() < before {
                true => Response::new(200),
                false => {
                    let text = format!("API key with name '{name}' not found");
                    error(404, "NOT_FOUND", &text, false)
                }
            }
        }
        _ => Response::new(405),
    }
}

fn create(server: &mut ServerState, body: &[u8]) -> Response {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(name) = request["name"].as_str().filter(|name| is_name(name)) else {
        let text = "Failed to deserialize the JSON body into the target type";
        return Response::text(422, format!("{text}: name"));
    };
    let conflict = match server.keys.len() {
        MAX_KEYS.. => Some("Maximum number of API keys (10) reached".to_owned()),
        _ if server.keys.iter().any(|(key, _)| key["name"] == name) => {
            Some(format!("API key with name '{name}' already exists"))
        }
        _ => None,
    };
    if let Some(conflict) = conflict {
        return error(409, "CONFLICT", &format!("Conflict: {conflict}"), false);
    }
    let kid = format!("{:016x}", 0x6b65_7900 + server.number());
    let token = format!("basilica_{kid}0123456789abcdef");
    let created_at = server.now();
    let key = json!({ "kid": kid, "name": name, "created_at": created_at, "last_used_at": null });
    server.keys.push((key, token.clone()));
    found(&json!({ "name": name, "created_at": created_at, "token": token }))
}

fn is_name(name: &str) -> bool {
    let is_fit = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    (1..=100).contains(&name.len()) && name.bytes().all(is_fit)
}

/// `/ssh-keys`: one per account.
pub(super) fn ssh_key(server: &mut ServerState, request: &ReceivedRequest<'_>) -> Response {
    match request.method {
        "GET" => found(&json!(server.ssh_key)),
        "POST" if server.ssh_key.is_some() => error(
            409,
            "CONFLICT",
            "Conflict: an SSH key is registered already",
            false,
        ),
        "POST" => {
            let request: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            for name in ["name", "public_key"] {
                if !request[name].is_string() {
                    return Response::text(422, format!("missing field `{name}`"));
                }
            }
            let now = server.now();
            let key = json!({
                "id": format!("key-{}", server.number()), "user_id": "user-1",
                "name": request["name"], "public_key": request["public_key"],
                "created_at": now, "updated_at": now,
            });
            server.ssh_key = Some(key.clone());
            found(&key)
        }
        "DELETE" => match server.ssh_key.take() {
            Some(_) => Response::new(204),
            None => error(404, "NOT_FOUND", "No SSH key is registered", false),
        },
        _ => Response::new(405),
    }
}

pub(super) fn balance(server: &ServerState) -> Response {
    found(&json!({ "balance": "12.500000", "last_updated": server.now() }))
}

/// An entry for each deployment, as if it had run for an hour.
pub(super) fn usage(server: &ServerState, parameters: &str) -> Response {
    let number =
        |name, default| query(parameters, name).map_or(Some(default), |text| text.parse().ok());
    let (Some(limit), Some(offset)) = (number("limit", 50), number("offset", 0)) else {
        return Response::text(400, "Failed to deserialize query string: invalid digit");
    };
    let entry = |one: &Deployed| {
        json!({
            "rental_id": one.id, "node_id": "executor-1", "status": one.state,
            "hourly_rate": "0.990000", "current_cost": "0.990000",
            "start_time": one.created_at, "last_updated": one.created_at,
        })
    };
    let all = server.deployments.iter().skip(offset).take(limit);
    let all: Vec<_> = all.map(entry).collect();
    found(&json!({ "rentals": all, "total_count": server.deployments.len() }))
}

pub(super) fn cpu_offerings() -> Response {
    let offering = json!({
        "id": "cpu-1", "provider": "hyperstack", "vcpu_count": 8, "system_memory_gb": 32,
        "storage_gb": 100, "region": "NORWAY-1", "hourly_rate": "0.200000", "availability": true,
        "fetched_at": "2026-01-01T00:00:00Z",
    });
    found(&json!({ "nodes": [offering], "count": 1 }))
}
