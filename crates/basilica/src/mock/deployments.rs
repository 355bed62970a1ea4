//! The newer service: deployments by name, and their account.

use std::sync::Arc;

use serde_json::{Value, json};

use super::account;
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
        ("GET", ["nodes"]) => available(&server.machines, request.query, "node"),
        ("POST", ["deployments"]) => deploy(shared, server, &request.body),
        ("GET", ["deployments"]) => {
            let all = server.deployments.iter();
            let all: Vec<_> = all.map(|one| service(shared, one)).collect();
            found(&json!({ "total": all.len(), "deployments": all }))
        }
        (_, ["nodes" | "deployments"]) => Response::new(405),
        (method, ["deployments", name, rest @ ..]) => {
            one(shared, server, (method, name, rest), request)
        }
        (_, ["ssh-keys"]) => account::ssh_key(server, request),
        ("GET", ["billing", "balance"]) => account::balance(server),
        ("GET", ["billing", "usage"]) => account::usage(server, request.query),
        ("GET", ["v2", "secure-cloud", "cpu-prices"]) => account::cpu_offerings(),
        _ => Response::new(403),
    }
}

fn one(
    shared: &Arc<Shared>,
    server: &mut ServerState,
    (method, name, rest): (&str, &str, &[&str]),
    request: &ReceivedRequest<'_>,
) -> Response {
    let Some(deployed) = server.find(name) else {
        let text = format!("Deployment '{name}' not found");
        return error(404, "DEPLOYMENT_NOT_FOUND", &text, false);
    };
    match (method, rest) {
        ("GET", []) => {
            deployed.poll_state();
            found(&service(shared, deployed))
        }
        ("DELETE", []) => {
            let response = json!({ "instanceName": name, "state": "Terminating", "message": "" });
            server.deployments.retain(|one| one.id != name);
            shared.changed.notify_all();
            found(&response)
        }
        ("POST", ["restart"]) => {
            deployed.restarts += 1;
            deployed.state = "pending";
            found(&service(shared, deployed))
        }
        ("GET", ["events"]) => events(deployed, request.query),
        ("GET", ["logs"]) => {
            let printed = deployed.log.len();
            log(
                shared,
                name,
                request.query,
                printed,
                server.cuts.pop_front(),
            )
        }
        (_, [] | ["logs" | "events" | "restart"]) => Response::new(405),
        _ => Response::new(403),
    }
}

fn events(deployed: &Deployed, parameters: &str) -> Response {
    let limit = query(parameters, "limit").map_or(Some(usize::MAX), |text| text.parse().ok());
    let Some(limit) = limit else {
        return Response::text(400, "Failed to deserialize query string: invalid digit");
    };
    let event = |kind: &str, reason: &str, message: &str, count: u32| {
        json!({
            "type": kind, "reason": reason, "message": message, "count": count,
            "last_timestamp": deployed.created_at,
        })
    };
    let image = deployed.request["image"].as_str().unwrap_or_default();
    let mut events = vec![
        event(
            "Normal",
            "Pulled",
            &format!("Successfully pulled image {image:?}"),
            1,
        ),
        event(
            "Normal",
            "Started",
            "Started container app",
            deployed.restarts + 1,
        ),
    ];
    if deployed.state == "failed" {
        events.push(event(
            "Warning",
            "BackOff",
            "Back-off restarting failed container",
            3,
        ));
    }
    events.truncate(limit);
    found(&json!({ "events": events }))
}

fn deploy(shared: &Shared, server: &mut ServerState, body: &[u8]) -> Response {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return Response::text(400, "Failed to parse the request body as JSON");
    };
    for (name, is_fit) in [
        ("instanceName", request["instanceName"].is_string()),
        ("image", request["image"].is_string()),
        ("replicas", request["replicas"].is_u64()),
        ("port", request["port"].is_u64()),
    ] {
        if !is_fit {
            return Response::text(422, format!("missing field `{name}`"));
        }
    }
    let name = request["instanceName"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let deployed = server.deploy(&name, request, Value::Null);
    found(&service(shared, deployed))
}

fn service(shared: &Shared, deployed: &Deployed) -> Value {
    let (state, phase, ready) = match deployed.state {
        "pending" => ("Pending", "starting", json!(0)),
        "active" => ("Active", "ready", deployed.request["replicas"].clone()),
        "failed" => ("Failed", "failed", json!(0)),
        _ => ("Terminated", "terminating", json!(0)),
    };
    let mut service = json!({
        "instanceName": deployed.id,
        "userId": "user-1",
        "namespace": "u-user-1",
        "friendlyName": deployed.request["instanceName"],
        "image": deployed.request["image"],
        "state": state,
        "phase": phase,
        "url": format!("{}/apps/{}", shared.url(), deployed.id),
        "public": deployed.request["public"] == true,
        "replicas": { "desired": deployed.request["replicas"], "ready": ready },
        "createdAt": deployed.created_at,
    });
    if deployed.state == "failed" {
        service["message"] = "the container exited with 1".into();
    }
    service
}
