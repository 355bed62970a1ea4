//! What the two APIs have in common: tokens, machines, logs, errors.

use std::sync::Arc;

use serde_json::json;

use super::answers::{error, found};
use super::world::{self, Shared, World};
use super::{account, deployments, oauth, rentals};
use crate::api_version::ApiVersion;
use satellite_serve::Response;
use satellite_serve::testing::Asked;

pub(super) fn answer(shared: &Arc<Shared>, version: ApiVersion, asked: &Asked<'_>) -> Response {
    let mut world = shared.world();
    let segments: Vec<_> = asked.path.trim_matches('/').split('/').collect();
    match (asked.method, segments.as_slice()) {
        ("GET", ["health"]) => return health(),
        ("POST", ["oauth", "token"]) => return oauth::renew(&mut world.tokens, &asked.body),
        // What a deployment of the newer service answers at its address.
        ("GET" | "HEAD", ["apps", name, ..]) => {
            let status = if world.find(name).is_some() { 200 } else { 404 };
            return Response::text(status, "mock\n");
        }
        _ => {}
    }
    if let Some(refusal) = refused(&mut world, asked) {
        return refusal;
    }
    let before = world.deployments.len();
    let answer = match segments.as_slice() {
        ["api-keys", rest @ ..] => account::api_keys(&mut world, asked, rest),
        _ => match version {
            ApiVersion::Rentals => rentals::answer(shared, &mut world, asked, &segments),
            _ => deployments::answer(shared, &mut world, asked, &segments),
        },
    };
    if let (Some(made), Some((lines, pause))) = (world.deployments.get(before), &world.script) {
        shared.play(made.id.clone(), lines.clone(), *pause);
    }
    answer
}

/// A token that is not known, or cannot be checked. API keys are in the service's
/// own database.
fn refused(world: &mut World, asked: &Asked<'_>) -> Option<Response> {
    let refuse = |status, message: &str| {
        let message = format!("Authentication error: {message}");
        Some(error(status, "AUTH_ERROR", &message, false))
    };
    let Some(authorization) = asked.authorization else {
        return refuse(401, "Missing Authorization header");
    };
    let is_key = world::bearer(Some(authorization)).is_some_and(|t| t.starts_with("basilica_"));
    if world.are_keys_lost && !is_key {
        return refuse(
            503,
            "Unable to verify token - authentication service unavailable",
        );
    }
    match (world.takes(Some(authorization)), is_key) {
        (true, _) => None,
        (false, true) => refuse(401, "Invalid API key: not found"),
        (false, false) => refuse(401, "Invalid token: ExpiredSignature"),
    }
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
