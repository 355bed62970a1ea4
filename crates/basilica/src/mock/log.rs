//! A log as it goes over the wire: events without ids, and no sign of life
//! between them.

use std::io::{self, Read};
use std::sync::{Arc, PoisonError};

use super::world::Shared;

/// How a log ends before its end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// The connection breaks behind so many bytes.
    Connection(usize),
    /// The gateway gives up behind so many bytes, and says so.
    InBand(usize),
}

const GIVEN_UP: &str = concat!(
    r#"data: {"message":"Stream error: operation timed out","stream":"error","#,
    r#""timestamp":"2026-01-01T02:00:00Z"}"#,
    "\n\n"
);

/// The body of a log.
pub(super) struct Log {
    pub(super) shared: Arc<Shared>,
    pub(super) id: String,
    pub(super) follow: bool,
    pub(super) cut: Option<Cut>,
    /// The next event.
    pub(super) next: usize,
    /// What was taken of the log and not sent.
    pub(super) buffer: Vec<u8>,
    pub(super) sent: usize,
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
            // Never in the middle of an event.
            Some(Cut::InBand(at)) if self.sent >= at => {
                self.buffer.clear();
                self.cut = None;
                self.follow = false;
                self.next = usize::MAX;
                out[..GIVEN_UP.len()].copy_from_slice(GIVEN_UP.as_bytes());
                return Ok(GIVEN_UP.len());
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
    /// The next event, waited for in a follow; `None` at the end.
    fn event(&mut self) -> Option<String> {
        let mut world = self.shared.world();
        loop {
            if world.is_over {
                return None;
            }
            let deployed = world.find(&self.id)?;
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
            let changed = self.shared.changed.wait(world);
            world = changed.unwrap_or_else(PoisonError::into_inner);
        }
    }
}
