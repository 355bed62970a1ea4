//! The health thread: `/healthz` and `/readyz` through tiny_http.
//!
//! tiny_http has no time limits of its own, but sockets inherit those of their
//! listener. So does the listener: its accept gives up when nobody came for
//! that long, and tiny_http takes that for the end. A new server then takes
//! over the listener, while the old one answers the connections it has.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use miniserde::{Serialize, json};
use tiny_http::{Header, Method, Request, Response, Server};

use super::Health;
use crate::error::{Error, Result};

/// A client that says or takes nothing for this long is gone.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Answers until dropped.
pub(crate) struct HealthServer {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
}

impl HealthServer {
    pub(crate) fn start(address: SocketAddr, health: Health) -> Result<Self> {
        let listener = TcpListener::bind(address).map_err(|e| {
            let hint = match e.kind() {
                io::ErrorKind::AddrInUse => {
                    "; something else listens there: choose another LUML_HEALTH_PORT, \
                     or LUML_HEALTH_ENABLED=false"
                }
                _ => "",
            };
            Error::new(format_args!("no health server at {address}: {e}{hint}"))
        })?;
        let address = listener.local_addr()?;
        let closed = Arc::new(AtomicBool::new(false));
        let face = Face {
            listener: Arc::new(with_time_limits(listener)?),
            health,
            closed: Arc::clone(&closed),
        };
        face.serve()?;
        log::info!("health: http://{address}/healthz and /readyz");
        Ok(HealthServer { address, closed })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HealthServer {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        // Its thread sees the flag when somebody knocks.
        let _ = std::net::TcpStream::connect_timeout(&self.address, Duration::from_millis(100))
            .and_then(|mut s| io::Write::write_all(&mut s, b"GET /healthz HTTP/1.0\r\n\r\n"));
    }
}

#[derive(Clone)]
struct Face {
    listener: Arc<TcpListener>,
    health: Health,
    closed: Arc<AtomicBool>,
}

impl Face {
    /// A tiny_http server on the listener, and the thread that answers for it.
    fn serve(&self) -> Result<()> {
        let server = Server::from_listener(self.listener.try_clone()?, None)
            .map_err(|e| Error::new(format_args!("no health server: {e}")))?;
        let face = self.clone();
        thread::Builder::new()
            .name("health".into())
            .spawn(move || face.answer_all(&server))?;
        Ok(())
    }

    fn answer_all(&self, server: &Server) {
        let mut replaced = false;
        while !self.closed.load(Ordering::Relaxed) {
            match server.recv_timeout(TIME_LIMIT) {
                Ok(Some(request)) => self.answer(request),
                Ok(None) if replaced => return, // its connections have timed out as well
                Ok(None) => {}
                Err(error) => replaced = self.replace(&error),
            }
        }
    }

    /// tiny_http stopped accepting. True once another server does it instead.
    fn replace(&self, error: &io::Error) -> bool {
        if error.kind() != io::ErrorKind::WouldBlock {
            log::warn!("health: {error}; accepting again in a second");
            thread::sleep(Duration::from_secs(1));
        }
        while let Err(error) = self.serve() {
            log::warn!("health: {error}; trying again in a second");
            thread::sleep(Duration::from_secs(1));
        }
        true
    }

    fn answer(&self, request: Request) {
        let path = request.url().split('?').next().unwrap_or("");
        let (status, body) = match path {
            "/healthz" | "/readyz" if !is_read(request.method()) => {
                (405, Report::error("GET only"))
            }
            "/healthz" => (200, Report::status("ok")),
            "/readyz" => match self.health.problems() {
                none if none.is_empty() => (200, Report::status("ready")),
                problems => (503, Report::not_ready(problems)),
            },
            _ => (404, Report::error("not found")),
        };
        let mut response = Response::from_string(json::to_string(&body)).with_status_code(status);
        let headers = [
            ("Content-Type", "application/json"),
            ("Cache-Control", "no-store"),
            ("Allow", "GET, HEAD"),
        ];
        for (name, value) in headers {
            if let Ok(header) = Header::from_bytes(name, value) {
                response.add_header(header);
            }
        }
        let _ = request.respond(response); // a client that left needs no answer
    }
}

fn is_read(method: &Method) -> bool {
    matches!(method, Method::Get | Method::Head)
}

#[derive(Serialize)]
struct Report {
    status: Option<String>,
    error: Option<String>,
    reasons: Option<BTreeMap<String, String>>,
}

impl Report {
    fn status(word: &str) -> Self {
        Report {
            status: Some(word.to_owned()),
            error: None,
            reasons: None,
        }
    }

    fn not_ready(problems: BTreeMap<String, String>) -> Self {
        Report {
            reasons: Some(problems),
            ..Report::status("not ready")
        }
    }

    fn error(word: &str) -> Self {
        Report {
            status: None,
            error: Some(word.to_owned()),
            reasons: None,
        }
    }
}

/// Sets the limits that accepted sockets inherit. The socket options of a
/// listener and of a stream are the same; std offers them on the stream only.
#[cfg(unix)]
fn with_time_limits(listener: TcpListener) -> Result<TcpListener> {
    use std::net::TcpStream;
    use std::os::fd::OwnedFd;

    let socket = TcpStream::from(OwnedFd::from(listener));
    socket.set_read_timeout(Some(TIME_LIMIT))?;
    socket.set_write_timeout(Some(TIME_LIMIT))?;
    Ok(TcpListener::from(OwnedFd::from(socket)))
}

#[cfg(not(unix))]
fn with_time_limits(listener: TcpListener) -> Result<TcpListener> {
    Ok(listener)
}
