//! The memory that bodies may take which have to be held whole.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use satellite_sdk::serve::{Request, Response};

use super::{refusal, retry_later};

/// Bytes of a body that are asked for, and accounted for, at a time.
const STEP: u64 = 64 * 1024;

/// glibc keeps freed memory of up to 32 MiB in each of its arenas, once it has seen such sizes.
/// What is larger is a mapping of its own, and given back to the system when it is freed. Pages
/// that nothing was written to take no memory.
const ALWAYS_MAPPED: usize = (32 << 20) + 1;

/// So many bytes of bodies, for all calls together.
#[derive(Debug, Clone)]
pub struct Memory {
    limit: u64,
    used: Arc<AtomicU64>,
}

/// A body in memory; its share is given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    bytes: Vec<u8>,
    memory: Memory,
    share: u64,
}

impl Memory {
    pub fn new(limit: u64) -> Self {
        Memory {
            limit,
            used: Arc::default(),
        }
    }

    /// Reads a body whole. One that can never fit: 413; no room now: 503, to be asked again.
    /// It takes room as it arrives: an announced length takes none.
    pub fn read(&self, request: &mut Request<'_>) -> Result<Held, Response> {
        let announced = request.content_length();
        let (least, used) = (announced.unwrap_or(0), self.used.load(Ordering::Relaxed));
        if least > self.limit {
            return Err(too_large());
        }
        if least > self.limit.saturating_sub(used) {
            return Err(no_room());
        }
        let mut held = Held {
            bytes: Vec::new(),
            memory: self.clone(),
            share: 0,
        };
        while announced != Some(held.bytes.len() as u64) {
            held.grow()?;
            let room = held.share - held.bytes.len() as u64;
            // What cannot be read is answered by the server, whatever is returned here.
            let read = request.body().take(room).read_to_end(&mut held.bytes);
            if (read.map_err(|_| refusal(400, "the body ended early"))? as u64) < room {
                break;
            }
        }
        Ok(held)
    }
}

impl Held {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn grow(&mut self) -> Result<(), Response> {
        let limit = self.memory.limit;
        let step = STEP.min(limit - self.share);
        if step == 0 {
            return Err(too_large());
        }
        let grown = |used: u64| Some(used + step).filter(|used| *used <= limit);
        let used = &self.memory.used;
        used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown)
            .map_err(|_| no_room())?;
        self.share += step;
        if self.share > STEP && self.bytes.capacity() < ALWAYS_MAPPED {
            // Without so much address space it grows as it has to.
            let _ = self
                .bytes
                .try_reserve_exact(ALWAYS_MAPPED - self.bytes.len());
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.share, Ordering::Relaxed);
    }
}

fn too_large() -> Response {
    refusal(413, "The body is larger than this satellite can hold")
}

fn no_room() -> Response {
    retry_later(503, "No memory for this body now")
}
