//! The inference gateway: the satellite's own HTTP face. It stands before
//! hostile clients, so it stands on the kit's strict, bounded server.

mod access;
mod openapi;
mod routes;

pub use routes::{Route, Routes};

use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use satellite_sdk::PlatformClient;
use satellite_sdk::serve::{Limits, Request, Response, Server};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::access::Access;
use crate::model::Models;

/// Who asks for a prediction waits; so the platform is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A key in its JSON is never larger.
const KEY_BYTES: u64 = 4096;

/// So many calls to one model at once: one that hangs must not take every place.
const CALLS_AT_ONCE: usize = 64;

/// Answers until the server is dropped.
pub fn start(address: SocketAddr, routes: Routes, platform: &PlatformClient) -> io::Result<Server> {
    let platform = platform.within(PATIENCE);
    let gateway = Gateway {
        access: Access::new(platform.clone()),
        secrets: routes::Secrets::new(platform),
        models: Models::new(),
        openapi: openapi::Merged::default(),
        routes,
    };
    let limits = Limits {
        connections: 256,
        body_bytes: 64 * 1024 * 1024,
        ..Limits::default()
    };
    Server::bind(address, limits, move |request| {
        gateway.answer(request).unwrap_or_else(|refusal| refusal)
    })
}

struct Gateway {
    routes: Routes,
    models: Models,
    access: Access,
    secrets: routes::Secrets,
    openapi: openapi::Merged,
}

impl Gateway {
    /// An error is an answer as well.
    fn answer(&self, request: &mut Request<'_>) -> Result<Response, Response> {
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
                self.access.check(request)?;
                let route = self.routes.get(id);
                let route = route.ok_or_else(|| refusal(404, "Deployment not found"))?;
                self.compute(&route, request)
            }
            (
                _,
                ["healthz" | "openapi.json" | "deployments"]
                | ["satellites", "deployments", "inference-access"]
                | ["deployments", _, "compute"],
            ) => Err(refusal(405, "Method Not Allowed")),
            _ => Err(refusal(404, "Not Found")),
        }
    }

    /// For model servers, which check their callers' keys here.
    fn inference_access(&self, request: &mut Request<'_>) -> Result<Response, Response> {
        #[derive(Deserialize)]
        struct Key {
            api_key: String,
        }
        // Anybody may ask this: nobody may make it keep much.
        let mut body = Vec::new();
        let few = request
            .content_length()
            .is_none_or(|length| length <= KEY_BYTES);
        let read = request.body().take(KEY_BYTES + 1).read_to_end(&mut body);
        if !few || read.is_err() || body.len() as u64 > KEY_BYTES {
            return Err(refusal(413, "too large for a key"));
        }
        let key: Key = serde_json::from_slice(&body)
            .map_err(|_| refusal(422, "expected {\"api_key\": \"…\"}"))?;
        let authorized = self.access.is_authorized(&key.api_key)?;
        Ok(document(&json!({ "authorized": authorized })))
    }

    /// Passes a request on, and the model's answer back, as they come. Where
    /// secrets have to be put into the request, it is read whole first.
    fn compute(&self, route: &Arc<Route>, request: &mut Request<'_>) -> Result<Response, Response> {
        if route.is_closed() {
            return Err(refusal(503, "The model does not answer"));
        }
        // Kept until the answer has been passed on to its end.
        let call = Arc::clone(&route.calls);
        if Arc::strong_count(&call) > CALLS_AT_ONCE + 1 {
            return Err(refusal(503, "Too many calls to this deployment at once"));
        }
        let answer = if route.attributes.is_empty() {
            let length = request.content_length();
            self.models.compute(route.port, length, request.body())
        } else {
            let body = read(request)?;
            let body = self.with_secrets(route, &body)?;
            self.models.compute_bytes(route.port, body.as_slice())
        };
        let answer = answer.map_err(|error| {
            log::warn!(
                "deployment {}: the model does not answer: {error}",
                route.deployment_id
            );
            if nobody_listens(&error) {
                self.routes.close(route);
            }
            refusal(503, "The model does not answer")
        })?;
        let (parts, body) = answer.into_parts();
        let kind = parts.headers.get("content-type");
        let kind = kind.and_then(|value| value.to_str().ok());
        let length = body.content_length();
        Ok(Response::new(parts.status.as_u16())
            .header("content-type", kind.unwrap_or("application/octet-stream"))
            .reader(Held(body.into_reader(), call), length))
    }

    /// The caller's own value for an attribute goes first.
    fn with_secrets(&self, route: &Route, body: &[u8]) -> Result<Vec<u8>, Response> {
        let mut body: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|_| refusal(400, "the body is not a JSON object"))?;
        let given = body
            .entry("dynamic_attributes")
            .and_modify(|value| {
                if value.is_null() {
                    *value = json!({});
                }
            })
            .or_insert_with(|| json!({}));
        let given = given
            .as_object_mut()
            .ok_or_else(|| refusal(400, "dynamic_attributes is not an object"))?;
        for (attribute, secret_id) in &route.attributes {
            if !given.contains_key(attribute) {
                let secret = self.secrets.get(secret_id).map_err(|error| {
                    log::warn!("the secret for {attribute}: {error}");
                    refusal(502, "A secret of this deployment is not to be had")
                })?;
                given.insert(attribute.clone(), secret.expose().into());
            }
        }
        serde_json::to_vec(&body).map_err(|_| refusal(400, "the body is not JSON"))
    }
}

/// Not so where a caller broke off, or a model took too long.
fn nobody_listens(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Io(e) if e.kind() == io::ErrorKind::ConnectionRefused)
}

/// An answer on its way, and the place that it takes meanwhile.
struct Held<R>(R, #[allow(dead_code)] Arc<()>);

impl<R: Read> Read for Held<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

/// In the shape of the platform's errors.
fn refusal(status: u16, detail: &str) -> Response {
    Response::json(status, json!({ "detail": detail }).to_string())
}

fn document(value: &Value) -> Response {
    Response::json(200, value.to_string())
}

/// What cannot be read is answered by the server, whatever is returned here.
fn read(request: &mut Request<'_>) -> Result<Vec<u8>, Response> {
    request
        .read_body()
        .map_err(|_| refusal(400, "the body ended early"))
}
