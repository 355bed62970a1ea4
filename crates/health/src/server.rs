//! The health thread: `/healthz`, `/readyz`, and if they are enabled `/metrics` and the page.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use miniserde::{Serialize, json};

use crate::{Health, Probe};
use satellite_core::{Error, Result};
use satellite_serve::{Limits, Request, Response, Server};

/// Tight limits, since unauthenticated clients can connect to a small device.
const LIMITS: Limits = Limits {
    connections: if cfg!(feature = "page") { 32 } else { 16 },
    head_bytes: 4 * 1024,
    headers: 32,
    // The page's only form.
    body_bytes: if cfg!(feature = "page") { 2 * 1024 } else { 0 },
    head_time: Duration::from_secs(5),
    idle_time: Duration::from_secs(60),
    body_time: Duration::from_secs(5),
    write_time: Duration::from_secs(5),
};

/// Serves the health endpoints until dropped.
pub struct HealthServer(Server);

impl HealthServer {
    /// Listens on `address`.
    ///
    /// # Errors
    /// If the address is in use or cannot be bound.
    pub fn start(address: SocketAddr, health: Health) -> Result<Self> {
        let server = Server::bind(address, LIMITS, move |request| answer(request, &health));
        let server = server.map_err(|e| {
            let hint = match e.kind() {
                io::ErrorKind::AddrInUse => {
                    "; another process listens on it: set another LUML_HEALTH_PORT, \
                     or LUML_HEALTH_ENABLED=false"
                }
                _ => "",
            };
            Error::new(format_args!(
                "cannot start the health server on {address}: {e}{hint}"
            ))
        })?;
        log::info!("health: http://{}/healthz and /readyz", server.addr());
        Ok(HealthServer(server))
    }

    /// The bound address, with the port the system chose.
    pub fn address(&self) -> SocketAddr {
        self.0.addr()
    }
}

fn answer(request: &mut Request<'_>, health: &Health) -> Response {
    let is_read = matches!(request.method(), "GET" | "HEAD");
    #[cfg(feature = "metrics")]
    if request.path() == "/metrics" {
        return match is_read {
            true => crate::metrics::page(health.metrics()),
            false => Response::json(405, error("GET only")).header("allow", "GET, HEAD"),
        };
    }
    #[cfg(feature = "page")]
    if let Some(response) = crate::page::respond(request, health) {
        return response;
    }
    let (status, body) = match request.path() {
        "/healthz" | "/readyz" if !is_read => (405, error("GET only")),
        "/healthz" => from(health.liveness()),
        "/readyz" => from(health.readiness()),
        _ => (404, error("not found")),
    };
    let response = Response::json(status, body).header("cache-control", "no-store");
    match status {
        405 => response.header("allow", "GET, HEAD"),
        _ => response,
    }
}

fn from(probe: Probe) -> (u16, String) {
    (probe.status, probe.body)
}

fn error(message: &str) -> String {
    #[derive(Serialize)]
    struct ErrorBody<'a> {
        error: &'a str,
    }
    json::to_string(&ErrorBody { error: message })
}
