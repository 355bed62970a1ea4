//! A proxy in front of the platform that forwards requests unchanged and injects faults
//! into responses.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use satellite_sdk::testing::MockPlatform;

/// The API call of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Poll,
    Claim,
    Report,
    Other,
}

/// What the proxy does with a response.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Forwards it unchanged.
    Complete,
    /// Sends these bytes instead and ends the connection.
    Bytes(Vec<u8>, End),
    /// Sends chunks of this many bytes, with a pause before each.
    Drip(usize, Duration),
    /// Sends this many bytes, pauses for this long, then sends the rest.
    Stall(usize, Duration),
    /// Ends the connection without forwarding the request.
    Disconnect(End),
}

#[derive(Debug, Clone, Copy)]
pub enum End {
    Close,
    Reset,
}

pub struct FaultyProxy {
    pub address: SocketAddr,
    requests: Arc<AtomicUsize>,
    closed: Arc<AtomicBool>,
}

type Plan = Arc<Mutex<dyn FnMut(Call, &[u8]) -> Reply + Send>>;

impl FaultyProxy {
    /// Calls `plan` for each request: first with an empty response, before it is
    /// forwarded, then with the platform's response.
    pub fn start(
        platform: &MockPlatform,
        plan: impl FnMut(Call, &[u8]) -> Reply + Send + 'static,
    ) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), platform, plan)
    }

    pub fn start_at(
        address: SocketAddr,
        platform: &MockPlatform,
        plan: impl FnMut(Call, &[u8]) -> Reply + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let proxy = FaultyProxy {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
            closed: Arc::default(),
        };
        let inside = platform.url().replace("http://", "");
        let plan: Plan = Arc::new(Mutex::new(plan));
        let (requests, closed) = (Arc::clone(&proxy.requests), Arc::clone(&proxy.closed));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if closed.load(Ordering::SeqCst) {
                    return;
                }
                let (inside, plan) = (inside.clone(), Arc::clone(&plan));
                let (requests, closed) = (Arc::clone(&requests), Arc::clone(&closed));
                thread::spawn(move || {
                    while !closed.load(Ordering::SeqCst)
                        && exchange(&stream, &inside, &plan, &requests).is_ok()
                    {
                    }
                });
            }
        });
        proxy
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for FaultyProxy {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn exchange(
    outer: &TcpStream,
    inside: &str,
    plan: &Plan,
    requests: &AtomicUsize,
) -> io::Result<()> {
    let request = message(outer)?;
    requests.fetch_add(1, Ordering::SeqCst);
    let text = String::from_utf8_lossy(&request);
    let call = match () {
        _ if text.starts_with("GET") && text.contains("/tasks") => Call::Poll,
        _ if text.contains(r#""status":"running""#) => Call::Claim,
        _ if text.starts_with("POST") && text.contains("/status") => Call::Report,
        _ => Call::Other,
    };
    let mut plan = plan.lock().unwrap();
    let before = plan(call, b"");
    if let Reply::Disconnect(end) = before {
        return finish(outer, end);
    }
    let answer = {
        let mut inner = TcpStream::connect(inside)?;
        inner.write_all(&request)?;
        message(&inner)?
    };
    let reply = plan(call, &answer);
    drop(plan);
    let mut stream = outer;
    match reply {
        Reply::Complete | Reply::Disconnect(_) => stream.write_all(&answer),
        Reply::Bytes(bytes, end) => {
            stream.write_all(&bytes)?;
            finish(outer, end)
        }
        Reply::Drip(bytes, pause) => answer.chunks(bytes).try_for_each(|piece| {
            thread::sleep(pause);
            stream.write_all(piece)
        }),
        Reply::Stall(bytes, time) => {
            let (first, rest) = answer.split_at(bytes.min(answer.len()));
            stream.write_all(first)?;
            thread::sleep(time);
            stream.write_all(rest)
        }
    }
}

/// Ends the connection; the error ends the loop of exchanges.
fn finish(stream: &TcpStream, end: End) -> io::Result<()> {
    match end {
        #[cfg(unix)]
        End::Reset => {
            rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
        }
        _ => stream.shutdown(Shutdown::Write)?,
    }
    Err(io::ErrorKind::ConnectionAborted.into())
}

/// Reads a head and a body of the declared length.
fn message(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = message.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&message[..end]).to_ascii_lowercase();
            let length = head
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.lines().next()?.trim().parse().ok())
                .unwrap_or(0);
            if message.len() >= end + 4 + length {
                return Ok(message);
            }
        }
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => message.extend_from_slice(&piece[..n]),
        }
    }
}
