//! Dispatches requests, and checks their tokens, for both APIs.

use std::sync::Arc;

use serde_json::json;

use super::answers::{error, found};
use super::server::{self, ServerState, Shared};
use super::{account, deployments, oauth, rentals};
use crate::api_version::ApiVersion;
use satellite_serve::Response;
use satellite_serve::testing::ReceivedRequest;

pub(super) fn answer(
    shared: &Arc<Shared>,
    version: ApiVersion,
    request: &ReceivedRequest<'_>,
) -> Response {
    let mut server = shared.lock();
    let segments: Vec<_> = request.path.trim_matches('/').split('/').collect();
    match (request.method, segments.as_slice()) {
        ("GET", ["health"]) => return health(),
        ("POST", ["oauth", "token"]) => return oauth::renew(&mut server.tokens, &request.body),
        // The response of a deployment of the newer service at its URL.
        ("GET" | "HEAD", ["apps", name, ..]) => {
            let status = if server.find(name).is_some() {
                200
            } else {
                404
            };
            return Response::text(status, "mock\n");
        }
        _ => {}
    }
    if let Some(rejection) = rejected(&mut server, request) {
        return rejection;
    }
    let before = server.deployments.len();
    let answer = match segments.as_slice() {
        ["api-keys", rest @ ..] => account::api_keys(&mut server, request, rest),
        _ => match version {
            ApiVersion::Rentals => rentals::answer(shared, &mut server, request, &segments),
            _ => deployments::answer(shared, &mut server, request, &segments),
        },
    };
    if let (Some(made), Some((lines, pause))) = (server.deployments.get(before), &server.script) {
        shared.play_script(made.id.clone(), lines.clone(), *pause);
    }
    answer
}

/// The error response for a token that is unknown or cannot be verified. API keys are
/// in the service's own database, so they can always be verified.
fn rejected(server: &mut ServerState, request: &ReceivedRequest<'_>) -> Option<Response> {
    let reject = |status, message: &str| {
        let message = format!("Authentication error: {message}");
        Some(error(status, "AUTH_ERROR", &message, false))
    };
    let Some(authorization) = request.authorization else {
        return reject(401, "Missing Authorization header");
    };
    let is_key = server::bearer(Some(authorization)).is_some_and(|t| t.starts_with("basilica_"));
    if server.are_keys_lost && !is_key {
        return reject(
            503,
            "Unable to verify token - authentication service unavailable",
        );
    }
    match (server.accepts(Some(authorization)), is_key) {
        (true, _) => None,
        (false, true) => reject(401, "Invalid API key: not found"),
        (false, false) => reject(401, "Invalid token: ExpiredSignature"),
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
