//! The health thread: `/healthz`, `/readyz` and, where there are figures, `/metrics`.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use miniserde::{Serialize, json};

use super::Health;
use crate::error::{Error, Result};
use crate::serve::{Limits, Request, Response, Server};

/// What strangers can have of a small device: a handful of threads, for seconds.
const LIMITS: Limits = Limits {
    connections: 16,
    head_bytes: 4 * 1024,
    headers: 32,
    body_bytes: 0,
    head_time: Duration::from_secs(5),
    idle_time: Duration::from_secs(60),
    body_time: Duration::from_secs(5),
    write_time: Duration::from_secs(5),
};

/// Answers until dropped.
pub(crate) struct HealthServer(Server);

impl HealthServer {
    pub(crate) fn start(address: SocketAddr, health: Health) -> Result<Self> {
        let server = Server::bind(address, LIMITS, move |request| answer(request, &health));
        let server = server.map_err(|e| {
            let hint = match e.kind() {
                io::ErrorKind::AddrInUse => {
                    "; something else listens there: choose another LUML_HEALTH_PORT, \
                     or LUML_HEALTH_ENABLED=false"
                }
                _ => "",
            };
            Error::new(format_args!("no health server at {address}: {e}{hint}"))
        })?;
        log::info!("health: http://{}/healthz and /readyz", server.addr());
        Ok(HealthServer(server))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.addr()
    }
}

fn answer(request: &mut Request<'_>, health: &Health) -> Response {
    let is_read = matches!(request.method(), "GET" | "HEAD");
    #[cfg(any(feature = "metrics", feature = "state"))]
    if request.path() == "/metrics" {
        return match is_read {
            true => super::metrics::page(health.metrics()),
            false => Response::json(405, error("GET only")).header("allow", "GET, HEAD"),
        };
    }
    let (status, body) = match request.path() {
        "/healthz" | "/readyz" if !is_read => (405, error("GET only")),
        "/healthz" => (200, status("ok")),
        "/readyz" => readiness(health),
        _ => (404, error("not found")),
    };
    let response = Response::json(status, body).header("cache-control", "no-store");
    match status {
        405 => response.header("allow", "GET, HEAD"),
        _ => response,
    }
}

fn status(word: &str) -> String {
    #[derive(Serialize)]
    struct Status<'a> {
        status: &'a str,
    }
    json::to_string(&Status { status: word })
}

fn readiness(health: &Health) -> (u16, String) {
    #[derive(Serialize)]
    struct Readiness {
        status: &'static str,
        reasons: BTreeMap<String, String>,
        warnings: BTreeMap<String, String>,
    }
    let (reasons, warnings) = (health.problems(), health.warnings());
    let (code, status) = match reasons.is_empty() {
        true => (200, "ready"),
        false => (503, "not ready"),
    };
    let readiness = Readiness {
        status,
        reasons,
        warnings,
    };
    (code, json::to_string(&readiness))
}

fn error(word: &str) -> String {
    #[derive(Serialize)]
    struct Refusal<'a> {
        error: &'a str,
    }
    json::to_string(&Refusal { error: word })
}
