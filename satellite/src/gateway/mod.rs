//! The inference gateway: the satellite's HTTP API for predictions. Its clients may be
//! hostile, so it uses the SDK's strict server with limits.

mod access;
mod attributes;
mod forward;
mod memory;
mod openapi;
mod routes;

pub use routes::{Route, Routes};

use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use satellite_sdk::PlatformClient;
use satellite_sdk::serve::{Limits, Request, Response, Server};
use serde::Deserialize;
use serde_json::{Value, json};

use self::access::Access;
use self::attributes::{InsertionPoint, InvalidBody};
use self::memory::BodyMemory;
use crate::model::{Capture, Fault, ModelResponse, Models, RequestBody};
use crate::monitoring::{Call, Monitoring};

/// Timeout for the platform's response: the caller of a prediction waits meanwhile.
const PLATFORM_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum size of a JSON body with an API key.
const KEY_BYTES: u64 = 4096;

/// Maximum concurrent calls to one model: a model that hangs must not use up all connections.
const CALLS_AT_ONCE: usize = 64;

/// Serves until the server is dropped. `memory`: limit for buffered bodies, in bytes.
pub fn start(
    address: SocketAddr,
    memory: u64,
    routes: Routes,
    platform: &PlatformClient,
    monitoring: Monitoring,
) -> io::Result<Server> {
    let platform = platform.within(PLATFORM_TIMEOUT);
    let gateway = Gateway {
        access: Access::new(platform.clone()),
        secrets: routes::SecretCache::new(platform),
        models: Models::new(),
        memory: BodyMemory::new(memory),
        openapi: openapi::MergedDocument::default(),
        routes,
    };
    let limits = Limits {
        connections: 256,
        body_bytes: 64 * 1024 * 1024,
        ..Limits::default()
    };
    Server::bind(address, limits, move |request| {
        let response = gateway.handle(request).unwrap_or_else(|error| error);
        monitoring.count_response(response.status());
        response
    })
}

struct Gateway {
    routes: Routes,
    models: Models,
    memory: BodyMemory,
    access: Access,
    secrets: routes::SecretCache,
    openapi: openapi::MergedDocument,
}

impl Gateway {
    /// Handles a request. `Err` is an error response.
    fn handle(&self, request: &mut Request<'_>) -> Result<Response, Response> {
        let path = request.path().trim_start_matches('/');
        let segments: Vec<&str> = path.split('/').collect();
        match (request.method(), segments.as_slice()) {
            ("GET" | "HEAD", ["healthz"]) => Ok(document(&json!({ "status": "healthy" }))),
            ("GET" | "HEAD", ["openapi.json"]) => {
                Ok(Response::json(200, self.openapi.text(&self.routes)))
            }
            ("GET" | "HEAD", ["deployments"]) => {
                self.access.check(request)?;
                Ok(document(&self.routes.described()))
            }
            ("POST", ["satellites", "deployments", "inference-access"]) => {
                self.inference_access(request)
            }
            ("POST", ["deployments", id, "compute"]) => {
                let authorized = self.access.check(request)?;
                let route = self.routes.get(id);
                let route = route.ok_or_else(|| error_response(404, "Deployment not found"))?;
                Ok(self.compute(&route, request, authorized))
            }
            (_, ["healthz" | "openapi.json" | "deployments"]) => Err(not_allowed("GET, HEAD")),
            (
                _,
                ["satellites", "deployments", "inference-access"] | ["deployments", _, "compute"],
            ) => Err(not_allowed("POST")),
            _ => Err(error_response(404, "Not Found")),
        }
    }

    /// For model servers, which verify their callers' API keys with it.
    fn inference_access(&self, request: &mut Request<'_>) -> Result<Response, Response> {
        #[derive(Deserialize)]
        struct Key {
            api_key: String,
        }
        // No authentication is needed here, so the body's size is limited.
        let mut body = Vec::new();
        let fits = request
            .content_length()
            .is_none_or(|length| length <= KEY_BYTES);
        let read = request.body().take(KEY_BYTES + 1).read_to_end(&mut body);
        if !fits || read.is_err() || body.len() as u64 > KEY_BYTES {
            return Err(error_response(413, "too large for a key"));
        }
        let key: Key = serde_json::from_slice(&body)
            .map_err(|_| error_response(422, "expected {\"api_key\": \"…\"}"))?;
        let authorized = self.access.authorized(&key.api_key)?.is_some();
        Ok(document(&json!({ "authorized": authorized })))
    }

    /// Forwards a request to the model and streams the response back, and records the call if
    /// the deployment is monitored.
    fn compute(
        &self,
        route: &Arc<Route>,
        request: &mut Request<'_>,
        authorized: Instant,
    ) -> Response {
        // Holds a permit until the model's response is complete.
        let mut call = Call::begin(&route.permit, request, authorized);
        let answered = match Arc::strong_count(&route.permit) > CALLS_AT_ONCE + 1 {
            true => Err((
                retry_later(503, "Too many calls to this deployment at once"),
                false,
            )),
            false => self.forward(route, request, &mut call),
        };
        match answered {
            Ok(response) => forward::response(response, call),
            Err((response, timed_out)) => call.refused(response, timed_out),
        }
    }

    /// If secrets have to be inserted into the request, its body is buffered first. `Err`: the
    /// response without one of the model, and whether the model was too late.
    fn forward(
        &self,
        route: &Arc<Route>,
        request: &mut Request<'_>,
        call: &mut Call,
    ) -> Result<ModelResponse, (Response, bool)> {
        if route.is_closed() {
            return Err((error_response(503, "The model does not response"), false));
        }
        let fields = forward::request_headers(request, call);
        let capture = call.request();
        let response = if route.attributes.is_empty() {
            let length = request.content_length();
            let sent = RequestBody::Stream(request.body(), length, capture);
            self.models.compute(route.port, &fields, sent)
        } else {
            self.compute_with_secrets(route, &fields, request, capture)
                .map_err(|response| (response, false))?
        };
        response.map_err(|fault| (self.upstream_error(route, &fault), fault.is_timeout()))
    }

    /// Inserts the secrets of attributes for which the caller gives no value.
    fn compute_with_secrets(
        &self,
        route: &Route,
        fields: &[u8],
        request: &mut Request<'_>,
        capture: Option<&mut Capture>,
    ) -> Result<Result<ModelResponse, Fault>, Response> {
        if request
            .header("content-encoding")
            .is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"))
        {
            let text = "The body is compressed: this deployment's attributes cannot be put in";
            return Err(error_response(415, text));
        }
        let body = self.memory.read(request)?;
        // Before the secrets are in it.
        if let Some(capture) = capture {
            capture.add(body.bytes());
        }
        let names = route.attributes.keys();
        let mut wanted: Vec<(&str, bool)> = names.map(|name| (name.as_str(), false)).collect();
        let insertion = InsertionPoint::find(body.bytes(), &mut wanted).map_err(|unfit| {
            error_response(
                400,
                match unfit {
                    InvalidBody::NotAnObject => "the body is not a JSON object",
                    InvalidBody::AttributesNotAnObject => "dynamic_attributes is not an object",
                    InvalidBody::Duplicate => "dynamic_attributes is there twice",
                },
            )
        })?;
        let mut secrets = Vec::new();
        for (attribute, is_given) in wanted {
            if !is_given {
                let secret = self
                    .secrets
                    .get(&route.attributes[attribute])
                    .map_err(|error| {
                        log::warn!("cannot get the secret for {attribute}: {error}");
                        error_response(502, "A secret of this deployment is not available")
                    })?;
                secrets.push((attribute, secret));
            }
        }
        let secrets: Vec<(&str, &str)> = secrets
            .iter()
            .map(|(attribute, secret)| (*attribute, secret.expose()))
            .collect();
        let mut added = Vec::new();
        let pieces = insertion.with(&secrets, &mut added);
        Ok(self
            .models
            .compute(route.port, fields, RequestBody::Slices(&pieces)))
    }

    fn upstream_error(&self, route: &Route, fault: &Fault) -> Response {
        let id = &route.deployment_id;
        if let Fault::Caller(error) = fault {
            // The client has disconnected or sent an invalid body: the server responds.
            log::debug!("deployment {id}: the client's body ended early: {error}");
            return error_response(400, "the body ended early");
        }
        log::warn!("deployment {id}: the model does not respond: {fault}");
        if matches!(fault, Fault::Refused) {
            self.routes.close(route);
        }
        error_response(503, "The model does not response")
    }
}

/// An error response in the platform's format.
fn error_response(status: u16, detail: &str) -> Response {
    Response::json(status, json!({ "detail": detail }).to_string())
}

fn document(value: &Value) -> Response {
    Response::json(200, value.to_string())
}

/// 405, with the allowed methods.
fn not_allowed(methods: &str) -> Response {
    error_response(405, "Method Not Allowed").header("allow", methods)
}

/// An error response with `Retry-After: 1`.
fn retry_later(status: u16, detail: &str) -> Response {
    error_response(status, detail).header("retry-after", "1")
}

#[cfg(test)]
mod tests;
