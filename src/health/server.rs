//! The health thread: `/healthz` and `/readyz` through tiny_http.
//!
//! tiny_http has no time limits of its own, but sockets inherit those of their
//! listener. The listener's own accept is under the same limit, and tiny_http
//! takes an accept that gave up for the end; for want of descriptors it may even
//! end without a word. So the thread knocks at its own door before the limit is
//! over, and where nobody opens, a new server takes over the listener while the
//! old one answers the connections that it has.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use miniserde::{Serialize, json};
use tiny_http::{Header, Method, Request, Response, Server};

use super::Health;
use crate::error::{Error, Result};

/// A client that says or takes nothing for this long is gone.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// How soon the thread's own knock must be heard.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

const KNOCK: &[u8] = b"HEAD / HTTP/1.0\r\n\r\n";

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
            address,
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
        // Its thread sees the flag when somebody comes.
        Knock::at(self.address).now();
    }
}

#[derive(Clone)]
struct Face {
    address: SocketAddr,
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
        let mut knock = Knock::at(self.address);
        while !self.closed.load(Ordering::Relaxed) {
            match server.recv_timeout(if replaced { TIME_LIMIT } else { knock.left() }) {
                Ok(Some(request)) if knock.is_from(&request) => knock.was_heard(),
                Ok(Some(request)) => self.answer(request),
                Ok(None) if replaced => return, // its connections have timed out as well
                Ok(None) if knock.was_missed() => replaced = self.replace("nobody accepts"),
                Ok(None) => knock.now(),
                Err(_) if replaced => {} // the end was known
                Err(error) => replaced = self.replace(error),
            }
        }
    }

    /// tiny_http stopped accepting. True once another server does it instead.
    fn replace(&self, reason: impl fmt::Display) -> bool {
        log::warn!("health: {reason}; starting anew");
        while let Err(error) = self.serve() {
            log::warn!("health: {error}; trying again");
            thread::sleep(Duration::from_secs(1));
        }
        true
    }

    fn answer(&self, request: Request) {
        let path = request.url().split('?').next().unwrap_or("");
        let (status, body) = match path {
            "/healthz" | "/readyz" if !is_read(request.method()) => (405, error("GET only")),
            "/healthz" => (200, status("ok")),
            "/readyz" => match self.health.problems() {
                none if none.is_empty() => (200, status("ready")),
                reasons => (503, not_ready(reasons)),
            },
            _ => (404, error("not found")),
        };
        let mut response = Response::from_string(body).with_status_code(status);
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

fn status(word: &str) -> String {
    #[derive(Serialize)]
    struct Status<'a> {
        status: &'a str,
    }
    json::to_string(&Status { status: word })
}

fn not_ready(reasons: BTreeMap<String, String>) -> String {
    #[derive(Serialize)]
    struct NotReady {
        status: &'static str,
        reasons: BTreeMap<String, String>,
    }
    json::to_string(&NotReady {
        status: "not ready",
        reasons,
    })
}

fn error(word: &str) -> String {
    #[derive(Serialize)]
    struct Refusal<'a> {
        error: &'a str,
    }
    json::to_string(&Refusal { error: word })
}

/// The thread's own connection, made in time to keep the accept from giving up.
struct Knock {
    door: SocketAddr,
    next: Instant,
    /// The connection that has not been heard of yet.
    open: Option<TcpStream>,
}

impl Knock {
    fn at(address: SocketAddr) -> Self {
        Knock {
            door: reachable(address),
            next: Instant::now() + TIME_LIMIT / 2,
            open: None,
        }
    }

    fn left(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    fn now(&mut self) {
        self.next = Instant::now() + ANSWER_LIMIT;
        self.open = TcpStream::connect_timeout(&self.door, ANSWER_LIMIT)
            .and_then(|mut stream| {
                stream.write_all(KNOCK)?;
                Ok(stream)
            })
            .inspect_err(|e| log::debug!("health: cannot knock: {e}"))
            .ok();
    }

    fn is_from(&self, request: &Request) -> bool {
        let mine = self.open.as_ref().and_then(|s| s.local_addr().ok());
        mine.is_some() && mine.as_ref() == request.remote_addr()
    }

    fn was_heard(&mut self) {
        self.open = None;
        self.next = Instant::now() + TIME_LIMIT / 2;
    }

    fn was_missed(&self) -> bool {
        self.open.is_some()
    }
}

/// An address to connect to for one to listen on.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Sets the limits that accepted sockets inherit. The socket options of a
/// listener and of a stream are the same; std offers them on the stream only.
#[cfg(unix)]
fn with_time_limits(listener: TcpListener) -> Result<TcpListener> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_knock_is_told_from_a_callers_request() {
        let server = Server::http("127.0.0.1:0").unwrap();
        let address = server.server_addr().to_ip().unwrap();
        let mut knock = Knock::at(address);
        let mut caller = TcpStream::connect(address).unwrap();
        caller.write_all(KNOCK).unwrap();
        knock.now();
        assert!(knock.was_missed());
        let heard: Vec<bool> = (0..2)
            .map(|_| server.recv_timeout(ANSWER_LIMIT).unwrap().unwrap())
            .map(|request| knock.is_from(&request))
            .collect();
        assert_eq!(heard.iter().filter(|mine| **mine).count(), 1, "{heard:?}");
        knock.was_heard();
        assert!(!knock.was_missed());
    }
}
