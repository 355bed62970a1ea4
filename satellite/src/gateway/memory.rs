//! The memory limit for bodies that have to be buffered.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use satellite_sdk::serve::{Request, Response};

use super::{error_response, retry_later};

/// Bytes that are reserved at a time while a body is read.
const STEP: u64 = 64 * 1024;

/// glibc keeps freed memory of up to 32 MiB in each of its arenas, once it has seen such sizes.
/// Larger allocations are mapped separately and returned to the system when freed. Untouched
/// pages take no memory.
const ALWAYS_MAPPED: usize = (32 << 20) + 1;

/// The limit, in bytes, shared by all calls.
#[derive(Debug, Clone)]
pub struct BodyMemory {
    limit: u64,
    used: Arc<AtomicU64>,
}

/// A body in memory; its reservation is released when it is dropped.
#[derive(Debug)]
pub struct BufferedBody {
    bytes: Vec<u8>,
    memory: BodyMemory,
    share: u64,
}

impl BodyMemory {
    pub fn new(limit: u64) -> Self {
        BodyMemory {
            limit,
            used: Arc::default(),
        }
    }

    /// Reads a whole body. Larger than the limit: 413; no memory at the moment: 503 with
    /// `Retry-After`. Memory is reserved as bytes arrive, not for the announced length.
    pub fn read(&self, request: &mut Request<'_>) -> Result<BufferedBody, Response> {
        let announced = request.content_length();
        let (needed, used) = (announced.unwrap_or(0), self.used.load(Ordering::Relaxed));
        if needed > self.limit {
            return Err(too_large());
        }
        if needed > self.limit.saturating_sub(used) {
            return Err(no_room());
        }
        let mut buffered = BufferedBody {
            bytes: Vec::new(),
            memory: self.clone(),
            share: 0,
        };
        while announced != Some(buffered.bytes.len() as u64) {
            buffered.grow()?;
            let room = buffered.share - buffered.bytes.len() as u64;
            // If the body cannot be read, the server responds; this response is not sent.
            let read = request.body().take(room).read_to_end(&mut buffered.bytes);
            if (read.map_err(|_| error_response(400, "the body ended early"))? as u64) < room {
                break;
            }
        }
        Ok(buffered)
    }
}

impl BufferedBody {
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
            // If there is not enough address space, the buffer grows as needed.
            let _ = self
                .bytes
                .try_reserve_exact(ALWAYS_MAPPED - self.bytes.len());
        }
        Ok(())
    }
}

impl Drop for BufferedBody {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.share, Ordering::Relaxed);
    }
}

fn too_large() -> Response {
    error_response(413, "The body is larger than this satellite can hold")
}

fn no_room() -> Response {
    retry_later(503, "No memory for this body now")
}
