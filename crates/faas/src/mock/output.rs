//! The output of an execution in wire format.

use std::io::{self, Read};
use std::sync::{Arc, PoisonError};

use super::server::Shared;
use satellite_serve::Response;

pub(super) fn stream(shared: &Arc<Shared>, id: &str, follow: bool) -> Response {
    let events = Events {
        shared: Arc::clone(shared),
        id: id.to_owned(),
        follow,
        cut: shared.lock().cuts.pop_front(),
        next: 0,
        buffer: Vec::new(),
        sent: 0,
    };
    Response::new(200)
        .header("content-type", "text/event-stream")
        .reader(events, None)
}

struct Events {
    shared: Arc<Shared>,
    id: String,
    follow: bool,
    /// The connection breaks after this number of bytes.
    cut: Option<usize>,
    next: usize,
    buffer: Vec<u8>,
    sent: usize,
}

impl Read for Events {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.buffer.is_empty() {
            match self.event() {
                Some(event) => self.buffer = event.into_bytes(),
                None => return Ok(0),
            }
        }
        let mut n = self.buffer.len().min(out.len());
        if let Some(cut) = self.cut {
            n = n.min(cut - self.sent);
            if n == 0 {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
        out[..n].copy_from_slice(&self.buffer[..n]);
        self.buffer.drain(..n);
        self.sent += n;
        Ok(n)
    }
}

impl Events {
    /// The next event, waiting for it in a follow; `None` at the end.
    fn event(&mut self) -> Option<String> {
        let mut server = self.shared.lock();
        loop {
            if server.is_stopped {
                return None;
            }
            let execution = server.execution(&self.id)?;
            if let Some(event) = execution.events.get(self.next) {
                self.next += 1;
                return Some(format!("data: {event}\n\n"));
            }
            if !self.follow || execution.status != "running" {
                return None;
            }
            let changed = self.shared.changed.wait(server);
            server = changed.unwrap_or_else(PoisonError::into_inner);
        }
    }
}
