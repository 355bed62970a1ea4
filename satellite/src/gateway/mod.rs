//! The inference gateway: the satellite's own HTTP face. It stands before
//! hostile clients, so it stands on the kit's strict, bounded server.

mod access;
mod attributes;
mod memory;
mod openapi;
mod passing;
mod routes;

pub use routes::{Route, Routes};

use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use satellite_sdk::PlatformClient;
use satellite_sdk::serve::{Limits, Request, Response, Server};
use serde::Deserialize;
use serde_json::{Value, json};

use self::access::Access;
use self::attributes::{Place, Unfit};
use self::memory::Memory;
use crate::model::{Answer, Fault, Models, Sent};

/// Who asks for a prediction waits; so the platform is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A key in its JSON is never larger.
const KEY_BYTES: u64 = 4096;

/// So many calls to one model at once: one that hangs must not take every place.
const CALLS_AT_ONCE: usize = 64;

/// Answers until the server is dropped. `memory`: the bytes of bodies that are held at once.
pub fn start(
    address: SocketAddr,
    memory: u64,
    routes: Routes,
    platform: &PlatformClient,
) -> io::Result<Server> {
    let platform = platform.within(PATIENCE);
    let gateway = Gateway {
        access: Access::new(platform.clone()),
        secrets: routes::Secrets::new(platform),
        models: Models::new(),
        memory: Memory::new(memory),
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
    memory: Memory,
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
            (_, ["healthz" | "openapi.json" | "deployments"]) => Err(not_allowed("GET, HEAD")),
            (
                _,
                ["satellites", "deployments", "inference-access"] | ["deployments", _, "compute"],
            ) => Err(not_allowed("POST")),
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
            return Err(retry_later(
                503,
                "Too many calls to this deployment at once",
            ));
        }
        let fields = passing::to_the_model(request);
        let answer = if route.attributes.is_empty() {
            let length = request.content_length();
            let sent = Sent::Stream(request.body(), length);
            self.models.compute(route.port, &fields, sent)
        } else {
            self.compute_with_secrets(route, &fields, request)?
        };
        match answer {
            Ok(answer) => Ok(passing::to_the_caller(answer, call)),
            Err(fault) => Err(self.without_answer(route, &fault)),
        }
    }

    /// The caller's own value for an attribute goes first.
    fn compute_with_secrets(
        &self,
        route: &Route,
        fields: &[u8],
        request: &mut Request<'_>,
    ) -> Result<Result<Answer, Fault>, Response> {
        if request
            .header("content-encoding")
            .is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"))
        {
            let text = "The body is compressed: this deployment's attributes cannot be put in";
            return Err(refusal(415, text));
        }
        let body = self.memory.read(request)?;
        let names = route.attributes.keys();
        let mut wanted: Vec<(&str, bool)> = names.map(|name| (name.as_str(), false)).collect();
        let place = Place::find(body.bytes(), &mut wanted).map_err(|unfit| {
            refusal(
                400,
                match unfit {
                    Unfit::NotAnObject => "the body is not a JSON object",
                    Unfit::AttributesNotAnObject => "dynamic_attributes is not an object",
                    Unfit::Twice => "dynamic_attributes is there twice",
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
                        refusal(502, "A secret of this deployment is not available")
                    })?;
                secrets.push((attribute, secret));
            }
        }
        let secrets: Vec<(&str, &str)> = secrets
            .iter()
            .map(|(attribute, secret)| (*attribute, secret.expose()))
            .collect();
        let mut added = Vec::new();
        let pieces = place.with(&secrets, &mut added);
        Ok(self
            .models
            .compute(route.port, fields, Sent::Pieces(&pieces)))
    }

    fn without_answer(&self, route: &Route, fault: &Fault) -> Response {
        let id = &route.deployment_id;
        if let Fault::Caller(error) = fault {
            // The server knows what its client gets, if it is still there.
            log::debug!("deployment {id}: the caller's body ended early: {error}");
            return refusal(400, "the body ended early");
        }
        log::warn!("deployment {id}: the model does not answer: {fault}");
        if matches!(fault, Fault::Refused) {
            self.routes.close(route);
        }
        refusal(503, "The model does not answer")
    }
}

/// In the shape of the platform's errors.
fn refusal(status: u16, detail: &str) -> Response {
    Response::json(status, json!({ "detail": detail }).to_string())
}

fn document(value: &Value) -> Response {
    Response::json(200, value.to_string())
}

/// 405, with what is allowed.
fn not_allowed(methods: &str) -> Response {
    refusal(405, "Method Not Allowed").header("allow", methods)
}

/// To be asked again in a second.
fn retry_later(status: u16, detail: &str) -> Response {
    refusal(status, detail).header("retry-after", "1")
}

#[cfg(test)]
mod tests;
