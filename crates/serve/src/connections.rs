//! The open connections: their number is limited, and one that waits for its client can be
//! evicted for a new one.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a new connection waits for an evicted one to end.
const EVICTION_WAIT: Duration = Duration::from_millis(500);

/// How long a stopping server waits for its threads.
const CLOSE_WAIT: Duration = Duration::from_millis(50);

/// Connections beyond the limit that get a thread to send a 503. Further ones get it from the
/// accepting thread, which cannot wait until the client has read the response.
const MAX_REJECTING: usize = 8;

pub(super) struct Connections {
    limit: usize,
    started: Instant,
    table: Mutex<Table>,
    left: Condvar,
}

#[derive(Default)]
struct Table {
    open: HashMap<u64, Arc<Slot>>,
    /// The number of those that only get a 503.
    rejected: usize,
    accepted: u64,
    stopped: bool,
}

struct Slot {
    stream: TcpStream,
    /// Zero while the thread works. While it waits for its client, so that the connection may be
    /// evicted: the start of the stage (µs), the stage, `WAITING`, `EVICTED`. One atomic per
    /// connection, so that requests need no shared lock.
    wait: AtomicU64,
    rejected: bool,
}

const EVICTED: u64 = 1;
const WAITING: u64 = 2;
const STAGE_SHIFT: u32 = 2;
const SINCE_SHIFT: u32 = 4;

/// What a connection waits for. Connections in an earlier stage are evicted first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// The response was sent; further data from the client is discarded.
    Linger,
    Head,
    Body,
}

/// The result of admitting a new connection.
pub(super) enum Admission {
    Admitted(Guard),
    /// The limit is reached; the connection gets a thread to send a 503.
    Rejected(Guard),
    /// The limit is reached, and no thread is available to send a 503.
    Full(TcpStream),
    Stopped,
}

/// Keeps a connection in the table until dropped, also in a panic.
pub(super) struct Guard {
    connections: Arc<Connections>,
    slot: Arc<Slot>,
    number: u64,
    stage: Cell<Stage>,
    since: Cell<Instant>,
    /// Whether the thread has not waited yet: its first wait counts from the admission.
    new: Cell<bool>,
}

impl Connections {
    pub(super) fn new(limit: usize) -> Connections {
        Connections {
            limit: limit.max(1),
            started: Instant::now(),
            table: Mutex::default(),
            left: Condvar::new(),
        }
    }

    pub(super) fn admit(self: &Arc<Self>, stream: TcpStream) -> Admission {
        let mut table = self.table();
        table.accepted += 1;
        if table.served() >= self.limit && table.evict() {
            // An evicted thread ends at once, unless its service continues without the body.
            table = self.wait_until(table, EVICTION_WAIT, |table| table.served() < self.limit);
        }
        if table.stopped {
            return Admission::Stopped;
        }
        let is_full = table.served() >= self.limit;
        if is_full && table.rejected >= MAX_REJECTING {
            return Admission::Full(stream);
        }
        let since = Instant::now();
        let slot = Arc::new(Slot {
            stream,
            wait: AtomicU64::new(self.word(Stage::Head, since)),
            rejected: is_full,
        });
        let number = table.accepted;
        table.open.insert(number, slot.clone());
        table.rejected += usize::from(is_full);
        let guard = Guard {
            connections: self.clone(),
            slot,
            number,
            stage: Cell::new(Stage::Head),
            since: Cell::new(since),
            new: Cell::new(true),
        };
        match is_full {
            true => Admission::Rejected(guard),
            false => Admission::Admitted(guard),
        }
    }

    /// Closes the connection that has waited longest, if any is waiting.
    pub(super) fn evict(&self) {
        self.table().evict();
    }

    pub(super) fn accepted(&self) -> u64 {
        self.table().accepted
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.table().stopped
    }

    /// Admits no more connections.
    pub(super) fn stop(&self) {
        self.table().stopped = true;
        self.left.notify_all();
    }

    /// Closes all connections and waits briefly for their threads; those still in the service end
    /// later.
    pub(super) fn close(&self) {
        let table = self.table();
        for slot in table.open.values() {
            let _ = slot.stream.shutdown(Shutdown::Both);
        }
        drop(self.wait_until(table, CLOSE_WAIT, |table| table.open.is_empty()));
    }

    fn wait_until<'a>(
        &'a self,
        table: MutexGuard<'a, Table>,
        moment: Duration,
        reached: impl Fn(&Table) -> bool,
    ) -> MutexGuard<'a, Table> {
        let waited = self
            .left
            .wait_timeout_while(table, moment, |table| !reached(table));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn word(&self, stage: Stage, since: Instant) -> u64 {
        let micros = since.saturating_duration_since(self.started).as_micros() as u64;
        micros << SINCE_SHIFT | (stage as u64) << STAGE_SHIFT | WAITING
    }
}

impl Table {
    fn served(&self) -> usize {
        self.open.len() - self.rejected
    }

    fn evict(&mut self) -> bool {
        loop {
            let waits = self.open.values().filter(|slot| !slot.rejected);
            let waits = waits.map(|slot| (slot, slot.wait.load(Ordering::Acquire)));
            let longest = waits
                .filter(|(_, wait)| wait & WAITING != 0 && wait & EVICTED == 0)
                .min_by_key(|(_, wait)| (wait >> STAGE_SHIFT & 3, wait >> SINCE_SHIFT));
            let Some((slot, wait)) = longest else {
                return false;
            };
            // Fails if its client has just sent something: then choose another connection.
            let marked = slot.wait.compare_exchange(
                wait,
                wait | EVICTED,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            if marked.is_ok() {
                let _ = slot.stream.shutdown(Shutdown::Both);
                return true;
            }
        }
    }
}

impl Guard {
    pub(super) fn stream(&self) -> &TcpStream {
        &self.slot.stream
    }

    /// The connection's number, counted from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Sets what this connection waits for from now on.
    pub(super) fn enter(&self, stage: Stage) {
        self.stage.set(stage);
        if !self.new.replace(false) {
            self.since.set(Instant::now());
        }
    }

    /// From here to [`work`](Guard::work) the connection can be evicted.
    pub(super) fn wait(&self) {
        let word = self.connections.word(self.stage.get(), self.since.get());
        if self.slot.wait.swap(word, Ordering::AcqRel) & EVICTED != 0 {
            self.slot.wait.fetch_or(EVICTED, Ordering::AcqRel);
        }
    }

    /// Ends the wait; false when this connection was evicted.
    pub(super) fn work(&self) -> bool {
        self.slot.wait.swap(0, Ordering::AcqRel) & EVICTED == 0
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut table = self.connections.table();
        table.open.remove(&self.number);
        table.rejected -= usize::from(self.slot.rejected);
        drop(table);
        self.connections.left.notify_all();
    }
}
