//! Reads the bodies of requests, with a limit for each and one for all that are in memory.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};

use satellite_sdk::serve::{Request, Response};

use super::{error, retry_later};

/// Bytes that are reserved at a time: memory is counted as bytes arrive, not as announced.
const STEP: u64 = 64 * 1024;

/// The memory for bodies.
#[derive(Debug)]
pub struct BodyMemory {
    largest: u64,
    limit: u64,
    used: AtomicU64,
}

/// A body; its memory is free again when it is dropped.
#[derive(Debug)]
pub struct Body<'a> {
    pub bytes: Vec<u8>,
    memory: &'a BodyMemory,
    reserved: u64,
}

impl BodyMemory {
    pub fn new(largest: u64, limit: u64) -> Self {
        BodyMemory {
            largest,
            limit: limit.max(largest),
            used: AtomicU64::new(0),
        }
    }

    /// Reads a whole body, or returns the response: 413 or 503.
    pub fn read(&self, request: &mut Request<'_>) -> Result<Body<'_>, Response> {
        let announced = request.content_length();
        if announced.is_some_and(|bytes| bytes > self.largest) {
            return Err(self.too_large());
        }
        let mut body = Body {
            bytes: Vec::new(),
            memory: self,
            reserved: 0,
        };
        while announced != Some(body.bytes.len() as u64) {
            if body.bytes.len() as u64 > self.largest {
                return Err(self.too_large());
            }
            body.reserve()?;
            let room = body.reserved - body.bytes.len() as u64;
            let read = request.body().take(room).read_to_end(&mut body.bytes);
            // If the body cannot be read, the server responds; this response is not sent.
            let read = read.map_err(|_| error(400, "the body ended early"))?;
            if (read as u64) < room {
                break;
            }
        }
        match body.bytes.len() as u64 > self.largest {
            true => Err(self.too_large()),
            false => Ok(body),
        }
    }

    fn too_large(&self) -> Response {
        error(
            413,
            format_args!(
                "the body has more than {} bytes (LUML_MODEL_BODY_MB)",
                self.largest
            ),
        )
    }
}

impl Body<'_> {
    fn reserve(&mut self) -> Result<(), Response> {
        let grown = |used: u64| Some(used + STEP).filter(|used| *used <= self.memory.limit + STEP);
        let used = &self.memory.used;
        used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown)
            .map_err(|_| retry_later("too many bodies are in memory"))?;
        self.reserved += STEP;
        Ok(())
    }
}

impl Drop for Body<'_> {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.reserved, Ordering::Relaxed);
    }
}
