//! A log in wire format: events without ids, and without heartbeats between them.

use std::io::{self, Read};
use std::sync::{Arc, PoisonError};

use super::server::{Cut, Shared};
use satellite_serve::Response;
use satellite_serve::testing::query;

const STREAM_ERROR: &str = concat!(
    r#"data: {"message":"Stream error: operation timed out","stream":"error","#,
    r#""timestamp":"2026-01-01T02:00:00Z"}"#,
    "\n\n"
);

pub(super) fn log(
    shared: &Arc<Shared>,
    id: &str,
    parameters: &str,
    printed: usize,
    cut: Option<Cut>,
) -> Response {
    let tail = query(parameters, "tail").map(|tail| tail.parse::<usize>().ok());
    let (Some(follow), Some(tail)) = (
        query(parameters, "follow").unwrap_or("false").parse().ok(),
        tail.unwrap_or(Some(printed)),
    ) else {
        return Response::text(400, "Failed to deserialize query string");
    };
    let log = Log {
        shared: Arc::clone(shared),
        id: id.to_owned(),
        follow,
        cut,
        next: printed.saturating_sub(tail),
        buffer: Vec::new(),
        sent: 0,
    };
    Response::new(200)
        .header("content-type", "text/event-stream")
        .reader(log, None)
}

/// The body of a log.
struct Log {
    shared: Arc<Shared>,
    id: String,
    follow: bool,
    cut: Option<Cut>,
    /// The index of the next event.
    next: usize,
    /// The part of the current event that is not sent yet.
    buffer: Vec<u8>,
    sent: usize,
}

impl Read for Log {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.buffer.is_empty() {
            match self.event() {
                Some(event) => self.buffer = event.into_bytes(),
                None => return Ok(0),
            }
        }
        let mut n = self.buffer.len().min(out.len());
        match self.cut {
            Some(Cut::Connection(at)) if self.sent + n > at => {
                n = at - self.sent;
                if n == 0 {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
            }
            // Abort only between events.
            Some(Cut::InBand(at)) if self.sent >= at => {
                self.buffer.clear();
                self.cut = None;
                self.follow = false;
                self.next = usize::MAX;
                out[..STREAM_ERROR.len()].copy_from_slice(STREAM_ERROR.as_bytes());
                return Ok(STREAM_ERROR.len());
            }
            _ => {}
        }
        out[..n].copy_from_slice(&self.buffer[..n]);
        self.buffer.drain(..n);
        self.sent += n;
        Ok(n)
    }
}

impl Log {
    /// The next event, waiting for it in a follow; `None` at the end.
    fn event(&mut self) -> Option<String> {
        let mut server = self.shared.lock();
        loop {
            if server.is_stopped {
                return None;
            }
            let deployed = server.find(&self.id)?;
            if let Some(event) = deployed.log.get(self.next) {
                let event = event.clone();
                self.next += 1;
                return Some(event);
            }
            if !self.follow || deployed.is_over() {
                return None;
            }
            if matches!(self.cut, Some(Cut::InBand(at)) if self.sent >= at) {
                return Some(String::from("\n"));
            }
            let changed = self.shared.changed.wait(server);
            server = changed.unwrap_or_else(PoisonError::into_inner);
        }
    }
}
