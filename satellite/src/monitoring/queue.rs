//! The queue of bodies and spans between the calls and the thread that summarises them. A call
//! never waits for it: when it is full, the record is counted as dropped.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use satellite_monitoring::Event;

use super::trace::Trace;

/// Events in the queue.
const EVENTS: usize = 4096;
/// Bytes of bodies in the queue.
const BYTES: usize = 8 * 1024 * 1024;

/// A call whose bodies are summarised, or whose span is exported. It is counted already.
#[derive(Debug)]
pub struct Record {
    pub deployment: Arc<str>,
    pub id: u128,
    pub trace: Option<Trace>,
    pub event: Event,
}

#[derive(Debug, Default)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    dropped: AtomicU64,
    /// The reader has been told that there is something.
    is_told: AtomicBool,
    reader: OnceLock<Thread>,
}

#[derive(Debug, Default)]
struct Waiting {
    records: Vec<Record>,
    bytes: usize,
}

impl Queue {
    /// Sets the thread to wake.
    pub fn read_by(&self, reader: Thread) {
        let _ = self.reader.set(reader);
    }

    pub fn push(&self, mut record: Record) {
        let size = |body: &Option<Vec<u8>>| body.as_ref().map_or(0, Vec::len);
        let bytes = size(&record.event.inputs) + size(&record.event.outputs);
        let mut waiting = self.lock();
        if waiting.records.len() >= EVENTS {
            drop(waiting);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if waiting.bytes + bytes > BYTES {
            (record.event.inputs, record.event.outputs) = (None, None);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            waiting.bytes += bytes;
        }
        waiting.records.push(record);
        drop(waiting);
        // One wake-up for a batch: it costs more than everything else here.
        if !self.is_told.swap(true, Ordering::AcqRel) {
            if let Some(reader) = self.reader.get() {
                reader.unpark();
            }
        }
    }

    /// Takes everything that is waiting.
    pub fn take(&self) -> Vec<Record> {
        self.is_told.store(false, Ordering::Release);
        let mut waiting = self.lock();
        waiting.bytes = 0;
        let room = waiting.records.len().min(256);
        std::mem::replace(&mut waiting.records, Vec::with_capacity(room))
    }

    pub fn is_told(&self) -> bool {
        self.is_told.load(Ordering::Acquire)
    }

    /// Records, or only their bodies, that found the queue full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(bytes: usize) -> Record {
        Record {
            deployment: "d".into(),
            id: 1,
            trace: None,
            event: Event {
                inputs: Some(vec![b' '; bytes]),
                ..Event::default()
            },
        }
    }

    #[test]
    fn a_full_queue_drops_events_and_counts_them() {
        let queue = Queue::default();
        (0..EVENTS + 7).for_each(|_| queue.push(record(0)));
        assert_eq!((queue.dropped(), queue.take().len()), (7, EVENTS));
        queue.push(record(0));
        assert_eq!((queue.dropped(), queue.take().len()), (7, 1));
    }

    #[test]
    fn bodies_in_the_queue_are_bounded_and_their_events_are_kept() {
        let queue = Queue::default();
        (0..200).for_each(|_| queue.push(record(64 * 1024)));
        let taken = queue.take();
        let bodies = taken.iter().filter(|record| record.event.inputs.is_some());
        assert_eq!(
            (taken.len(), bodies.count(), queue.dropped()),
            (200, 128, 72)
        );
    }
}
