//! Server-sent events: a section of the page whenever it has changed.

use std::io::{self, Read};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use satellite_serve::Response;

use super::Page;
use super::render::sections;
use crate::Health;

/// Open streams; a further one ends the oldest.
const STREAMS: u64 = 6;
/// How often the page is compared.
const PERIOD: Duration = Duration::from_millis(500);
/// A comment keeps an idle stream open, and finds out whether the client is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A response that does not end by itself.
pub(super) fn response(health: &Health) -> Response {
    let page = health.page().clone();
    let number = page.0.streams.fetch_add(1, Ordering::Relaxed);
    let stream = Stream {
        health: health.clone(),
        page,
        number,
        sent: Default::default(),
        sent_at: Instant::now(),
        buffer: b"retry: 2000\n\n".to_vec(),
        read: 0,
    };
    Response::new(200)
        .header("content-type", "text/event-stream")
        .header("x-accel-buffering", "no")
        .reader(stream, None)
}

struct Stream {
    health: Health,
    page: Page,
    number: u64,
    /// The sections that the client has.
    sent: [String; 6],
    sent_at: Instant,
    buffer: Vec<u8>,
    read: usize,
}

impl Stream {
    fn fill(&mut self) {
        let now = sections(&self.page.view(&self.health));
        for (section, sent) in now.into_iter().zip(&mut self.sent) {
            if section != *sent {
                self.buffer.extend_from_slice(b"event: section\ndata: ");
                self.buffer.extend_from_slice(section.as_bytes());
                self.buffer.extend_from_slice(b"\n\n");
                *sent = section;
            }
        }
        if self.buffer.is_empty() && self.sent_at.elapsed() > KEEP_ALIVE {
            self.buffer.extend_from_slice(b":\n\n");
        }
    }

    fn is_replaced(&self) -> bool {
        self.page.0.streams.load(Ordering::Relaxed) > self.number + STREAMS
    }
}

impl Read for Stream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.read == self.buffer.len() {
            self.buffer.clear();
            self.read = 0;
            if self.is_replaced() {
                return Ok(0);
            }
            self.fill();
            if self.buffer.is_empty() {
                thread::sleep(PERIOD);
            } else {
                self.sent_at = Instant::now();
            }
        }
        let bytes = out.len().min(self.buffer.len() - self.read);
        out[..bytes].copy_from_slice(&self.buffer[self.read..self.read + bytes]);
        self.read += bytes;
        Ok(bytes)
    }
}
