//! A door before the platform that lets requests in whole and answers out as it
//! pleases.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use satellite_sdk::testing::MockPlatform;

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    Tasks,
    Claim,
    Report,
    Else,
}

/// What becomes of an answer.
#[derive(Debug, Clone)]
pub enum Passage {
    Whole,
    /// These bytes, and the connection ends.
    Then(Vec<u8>, End),
    /// A piece at a time, with a pause behind each.
    Drip(usize, Duration),
    /// So many bytes, then nothing for so long, then the rest.
    Stall(usize, Duration),
    /// The connection ends before the platform is asked.
    NotAsked(End),
}

#[derive(Debug, Clone, Copy)]
pub enum End {
    Close,
    Reset,
}

pub struct Door {
    pub address: SocketAddr,
    requests: Arc<AtomicUsize>,
    closed: Arc<AtomicBool>,
}

type Plan = Arc<Mutex<dyn FnMut(Asks, &[u8]) -> Passage + Send>>;

impl Door {
    /// `plan` is asked for each answer.
    pub fn before(
        platform: &MockPlatform,
        plan: impl FnMut(Asks, &[u8]) -> Passage + Send + 'static,
    ) -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into(), platform, plan)
    }

    pub fn at(
        address: SocketAddr,
        platform: &MockPlatform,
        plan: impl FnMut(Asks, &[u8]) -> Passage + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let door = Door {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
            closed: Arc::default(),
        };
        let inside = platform.url().replace("http://", "");
        let plan: Plan = Arc::new(Mutex::new(plan));
        let (requests, closed) = (Arc::clone(&door.requests), Arc::clone(&door.closed));
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
        door
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Door {
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
    let asks = match () {
        _ if text.starts_with("GET") && text.contains("/tasks") => Asks::Tasks,
        _ if text.contains(r#""status":"running""#) => Asks::Claim,
        _ if text.starts_with("POST") && text.contains("/status") => Asks::Report,
        _ => Asks::Else,
    };
    let mut plan = plan.lock().unwrap();
    let before = plan(asks, b"");
    if let Passage::NotAsked(end) = before {
        return finish(outer, end);
    }
    let answer = {
        let mut inner = TcpStream::connect(inside)?;
        inner.write_all(&request)?;
        message(&inner)?
    };
    let passage = plan(asks, &answer);
    drop(plan);
    let mut stream = outer;
    match passage {
        Passage::Whole | Passage::NotAsked(_) => stream.write_all(&answer),
        Passage::Then(bytes, end) => {
            stream.write_all(&bytes)?;
            finish(outer, end)
        }
        Passage::Drip(bytes, pause) => answer.chunks(bytes).try_for_each(|piece| {
            thread::sleep(pause);
            stream.write_all(piece)
        }),
        Passage::Stall(bytes, time) => {
            let (first, rest) = answer.split_at(bytes.min(answer.len()));
            stream.write_all(first)?;
            thread::sleep(time);
            stream.write_all(rest)
        }
    }
}

/// Ends the connection, and with it the exchanges.
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

/// A head, and as much of a body as it announces.
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
