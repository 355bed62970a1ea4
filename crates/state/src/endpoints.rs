//! The HTTP endpoints of a processor, on separate threads: a long `run` does not delay
//! a probe.

use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::core::Core;
use super::ownership::{LAPSED, LEASE};
use super::page;
use super::progress::StopReason;
use super::time;
use satellite_core::{Error, Result};
use satellite_health::metrics;
use satellite_serve::{Limits, Request, Response, Server};

/// The maximum number of concurrent slow requests: the remaining connections are
/// reserved for probes.
const MAX_SLOW_REQUESTS: usize = 8;
/// How long `GET /state` waits for the lock on the state.
const STATE_LOCK_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn serve(core: &Arc<Core>) -> Result<Server> {
    let address = core.settings.health;
    let limits = Limits {
        connections: 32,
        head_bytes: 8 * 1024,
        body_bytes: core.settings.max_state_bytes,
        head_time: Duration::from_secs(5),
        write_time: Duration::from_secs(10),
        ..Limits::default()
    };
    let endpoints = Endpoints {
        core: Arc::clone(core),
        slow: Arc::default(),
    };
    let server = Server::bind(address, limits, move |request| endpoints.answer(request));
    let server = server.map_err(|e| {
        let hint = match e.kind() {
            io::ErrorKind::AddrInUse => {
                "; another process is listening there: choose another DORY_HEALTH_PORT"
            }
            _ => "",
        };
        Error::new(format_args!(
            "cannot serve the endpoints at {address}: {e}{hint}"
        ))
    })?;
    log::info!("endpoints: http://{}", server.addr());
    Ok(server)
}

#[derive(Clone, Copy)]
enum Endpoint {
    Page,
    Health,
    Ready,
    Metrics,
    State,
    PreStop,
}

struct Endpoints {
    core: Arc<Core>,
    slow: Arc<AtomicUsize>,
}

impl Endpoints {
    fn answer(&self, request: &mut Request<'_>) -> Response {
        if let Some(intercept) = &self.core.intercept {
            let is_trusted = self.is_trusted(request);
            if let Some(response) = intercept(request, is_trusted) {
                return response.header("cache-control", "no-store");
            }
        }
        let is_read = matches!(request.method(), "GET" | "HEAD");
        let response = match (self.endpoint(request.path()), request.method()) {
            (Some(Endpoint::Page), _) if is_read => page::answer(&self.core, request),
            (Some(Endpoint::Health), _) if is_read => self.alive(),
            (Some(Endpoint::Ready), _) if is_read => self.ready(),
            (Some(Endpoint::Metrics), _) if is_read => {
                return metrics::page(self.core.health.metrics());
            }
            (Some(Endpoint::State), _) if is_read => {
                self.limited(|endpoints| endpoints.show(request))
            }
            (Some(Endpoint::State), "POST") => self.limited(|endpoints| endpoints.replace(request)),
            (Some(Endpoint::PreStop), "GET" | "POST") => {
                self.limited(|endpoints| endpoints.prestop(request))
            }
            (Some(Endpoint::State), _) => not_allowed("GET, HEAD, POST"),
            (Some(Endpoint::PreStop), _) => not_allowed("GET, POST"),
            (Some(_), _) => not_allowed("GET, HEAD"),
            (None, _) => answer(404, json!({ "error": "not found" })),
        };
        response.header("cache-control", "no-store")
    }

    fn endpoint(&self, path: &str) -> Option<Endpoint> {
        let paths = &self.core.settings.paths;
        match path {
            "/" => Some(Endpoint::Page),
            "/state" => Some(Endpoint::State),
            "/prestop" => Some(Endpoint::PreStop),
            _ if path == paths.health => Some(Endpoint::Health),
            _ if path == paths.ready => Some(Endpoint::Ready),
            _ if path == paths.metrics => Some(Endpoint::Metrics),
            "/readyz" if paths.ready == "/ready" => Some(Endpoint::Ready),
            _ => None,
        }
    }

    fn alive(&self) -> Response {
        if let Some(stall) = self.core.stall() {
            return health(false, "stalled", json!({ "stalled": stall }));
        }
        match self.core.liveness_problem() {
            None => health(true, "alive", json!({})),
            Some(problem) => health(false, "unhealthy", json!({ "unhealthy": problem })),
        }
    }

    fn ready(&self) -> Response {
        let mut problems = self.core.health.problems();
        if self.core.has_lapsed() {
            problems.insert(LEASE.to_owned(), LAPSED.to_owned());
        }
        match problems.is_empty() {
            true => health(true, "ready", json!({})),
            false => health(false, "not ready", json!(problems)),
        }
    }

    fn show(&self, request: &Request<'_>) -> Response {
        if !self.is_trusted(request) {
            return unauthorized();
        }
        let shown = self.core.memory.peek(STATE_LOCK_TIMEOUT).and_then(|taken| {
            let settings = &self.core.settings;
            let data: Box<RawValue> =
                RawValue::from_string(String::from_utf8(taken.json).map_err(Error::new)?)?;
            Ok(serde_json::to_vec(&StateDocument {
                pod_name: &settings.pod_name,
                app_name: &settings.processor_id,
                captured_at: time::now(),
                state_version: self.core.schema,
                generation: self.core.generation(),
                uptime_seconds: self.core.started_at.elapsed().as_secs_f64(),
                data,
            })?)
        });
        match shown {
            Ok(document) => Response::json(200, document),
            Err(e) => error_response(503, &e),
        }
    }

    fn replace(&self, request: &mut Request<'_>) -> Response {
        if !self.is_trusted(request) {
            return unauthorized();
        }
        let limit = self.core.settings.max_state_bytes;
        if request.content_length().is_some_and(|bytes| bytes > limit) {
            let message = format!("a state of at most {limit} bytes is taken");
            return answer(413, json!({ "error": message }));
        }
        let Ok(body) = request.read_body() else {
            return answer(400, json!({ "error": "the body did not come whole" }));
        };
        let state = match unwrapped(&body, self.core.schema) {
            Ok(state) => state,
            Err(e) => return error_response(400, &e),
        };
        if let Err(e) = self.core.memory.replace(state, true) {
            return error_response(400, &e);
        }
        match self.core.checkpoint() {
            Ok(()) => answer(200, json!({ "status": "ok", "message": "State restored" })),
            Err(e) => error_response(500, &e),
        }
    }

    /// For a trusted client, stops the processor and responds after the last save. For
    /// any other client it only saves: in a real stop a signal follows the hook, which
    /// begins the shutdown.
    fn prestop(&self, request: &Request<'_>) -> Response {
        let mut response = PrestopResponse::new(&self.core);
        let saved = match self.is_trusted(request) {
            true => {
                self.core.begin_shutdown(StopReason::PreStop);
                // A little longer than the shutdown itself may take.
                let timeout = self.core.settings.shutdown_timeout + Duration::from_secs(5);
                let end = self.core.wait_for_end(timeout);
                end.unwrap_or_else(|| Err("it is not over yet".to_owned()))
            }
            false => {
                self.core.announce_migration();
                self.core.checkpoint().map_err(|e| e.to_string())
            }
        };
        let (status, document) = match saved {
            Ok(()) => (
                200,
                json!({
                    "status": "ok",
                    "message": "PreStop hook processed, ready for termination",
                }),
            ),
            Err(e) => (
                500,
                json!({ "status": "error", "message": format!("the state was not saved: {e}") }),
            ),
        };
        let document = document.to_string();
        let length = document.len() as u64;
        response.text = Cursor::new(document);
        Response::new(status)
            .header("content-type", "application/json")
            .reader(response, Some(length))
    }

    /// Whether the client presents the token or, without a token, is on this host.
    fn is_trusted(&self, request: &Request<'_>) -> bool {
        match &self.core.settings.state_token {
            Some(token) => {
                let shown = request.header("authorization").and_then(|value| {
                    let (scheme, shown) = value.split_once(' ')?;
                    scheme
                        .eq_ignore_ascii_case("bearer")
                        .then_some(shown.trim())
                });
                shown.is_some_and(|shown| token.is(shown))
            }
            None => request.peer().ip().to_canonical().is_loopback(),
        }
    }

    fn limited(&self, work: impl FnOnce(&Self) -> Response) -> Response {
        let busy = Busy(&self.slow);
        if self.slow.fetch_add(1, Ordering::SeqCst) >= MAX_SLOW_REQUESTS {
            return answer(503, json!({ "error": "too many at once" }));
        }
        let response = work(self);
        drop(busy);
        response
    }
}

struct Busy<'a>(&'a AtomicUsize);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(serde::Serialize)]
struct StateDocument<'a> {
    pod_name: &'a str,
    app_name: &'a str,
    captured_at: String,
    state_version: u32,
    generation: u64,
    uptime_seconds: f64,
    data: Box<RawValue>,
}

/// The state from `{"data": {…}}`, as `GET /state` returns it, or unwrapped.
fn unwrapped(body: &[u8], schema: u32) -> Result<&[u8]> {
    const WRAPPER_KEYS: [&str; 7] = [
        "pod_name",
        "app_name",
        "captured_at",
        "state_version",
        "generation",
        "uptime_seconds",
        "data",
    ];
    let wrapped: std::result::Result<std::collections::BTreeMap<&str, &RawValue>, _> =
        serde_json::from_slice(body);
    let Ok(wrapped) = wrapped else {
        return Ok(body);
    };
    let is_wrapped = wrapped.keys().all(|key| WRAPPER_KEYS.contains(key));
    let Some(data) = wrapped.get("data").filter(|_| is_wrapped) else {
        return Ok(body);
    };
    if let Some(version) = wrapped.get("state_version") {
        if version.get() != schema.to_string() {
            return Err(Error::new(format_args!(
                "this is a state of version {}, expected {schema}",
                version.get()
            )));
        }
    }
    Ok(data.get().as_bytes())
}

fn health(healthy: bool, message: &str, details: Value) -> Response {
    let document = json!({ "healthy": healthy, "message": message, "details": details });
    answer(if healthy { 200 } else { 503 }, document)
}

fn error_response(status: u16, error: &Error) -> Response {
    answer(status, json!({ "error": error.to_string() }))
}

fn unauthorized() -> Response {
    answer(401, json!({ "error": "a token is asked for" })).header("www-authenticate", "Bearer")
}

fn not_allowed(methods: &str) -> Response {
    answer(405, json!({ "error": "method not allowed" })).header("allow", methods)
}

fn answer(status: u16, document: Value) -> Response {
    Response::json(status, document.to_string())
}

/// A response that the process waits for before it exits, so that it is sent.
struct PrestopResponse {
    text: Cursor<String>,
    core: Arc<Core>,
}

impl PrestopResponse {
    fn new(core: &Arc<Core>) -> Self {
        core.prestops.fetch_add(1, Ordering::SeqCst);
        PrestopResponse {
            text: Cursor::default(),
            core: Arc::clone(core),
        }
    }
}

impl Read for PrestopResponse {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.text.read(buffer)
    }
}

impl Drop for PrestopResponse {
    fn drop(&mut self) {
        self.core.prestops.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_accepted_wrapped_or_unwrapped() {
        let text = |body: &'static [u8]| {
            unwrapped(body, 2).map(|s| String::from_utf8_lossy(s).into_owned())
        };
        assert_eq!(text(br#"{"data":{"a":1}}"#).unwrap(), r#"{"a":1}"#);
        assert_eq!(text(br#"{"a":1}"#).unwrap(), r#"{"a":1}"#);
        assert_eq!(text(b"[1]").unwrap(), "[1]");
        let own = r#"{"data":[1],"other":2}"#;
        assert_eq!(text(own.as_bytes()).unwrap(), own, "the state's own field");
        assert!(text(br#"{"data":{},"state_version":1}"#).is_err());
        assert!(text(br#"{"data":{},"state_version":2,"pod_name":"p"}"#).is_ok());
    }
}
