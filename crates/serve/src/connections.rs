//! Who is connected: places are bounded, and a client that keeps us waiting can lose its own.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a newcomer waits for the place of a connection that was closed for it.
const MAKING_ROOM: Duration = Duration::from_millis(500);

/// How long a server that ends waits for its threads.
const CLOSING: Duration = Duration::from_millis(50);

pub(super) struct Connections {
    limit: usize,
    table: Mutex<Table>,
    left: Condvar,
}

struct Table {
    open: HashMap<u64, Slot>,
    accepted: u64,
    stopped: bool,
}

struct Slot {
    stream: Arc<TcpStream>,
    stage: Stage,
    since: Instant,
    /// Its thread has not begun: the wait counts from the admission.
    new: bool,
    /// The thread is waiting for its client's bytes, and nothing is lost by ending it.
    waiting: bool,
    evicted: bool,
}

/// What is read. The earlier stage makes room first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Head,
    Body,
}

/// What became of a newcomer.
pub(super) enum Admission {
    Place(Place),
    Full(Arc<TcpStream>),
    Stopped,
}

/// One connection's entry; it leaves when this is dropped, in a panic too.
pub(super) struct Place {
    connections: Arc<Connections>,
    stream: Arc<TcpStream>,
    number: u64,
}

impl Connections {
    pub(super) fn new(limit: usize) -> Connections {
        let table = Table {
            open: HashMap::new(),
            accepted: 0,
            stopped: false,
        };
        Connections {
            limit: limit.max(1),
            table: Mutex::new(table),
            left: Condvar::new(),
        }
    }

    pub(super) fn admit(self: &Arc<Self>, stream: TcpStream) -> Admission {
        let stream = Arc::new(stream);
        let mut table = self.table();
        table.accepted += 1;
        if table.open.len() >= self.limit && table.evict() {
            // An evicted thread leaves at once, unless a service goes on without its body.
            table = self.wait_until(table, MAKING_ROOM, |table| table.open.len() < self.limit);
        }
        if table.stopped {
            return Admission::Stopped;
        }
        if table.open.len() >= self.limit {
            return Admission::Full(stream);
        }
        let number = table.accepted;
        let slot = Slot {
            stream: stream.clone(),
            stage: Stage::Head,
            since: Instant::now(),
            new: true,
            waiting: true,
            evicted: false,
        };
        table.open.insert(number, slot);
        Admission::Place(Place {
            connections: self.clone(),
            stream,
            number,
        })
    }

    /// Closes the connection that has waited longest, if any waits.
    pub(super) fn evict(&self) {
        self.table().evict();
    }

    pub(super) fn accepted(&self) -> u64 {
        self.table().accepted
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.table().stopped
    }

    /// Nobody is admitted from now on.
    pub(super) fn stop(&self) {
        self.table().stopped = true;
        self.left.notify_all();
    }

    /// Closes every connection and gives their threads a moment to end; those still in the
    /// service end by themselves.
    pub(super) fn close(&self) {
        let table = self.table();
        for slot in table.open.values() {
            let _ = slot.stream.shutdown(Shutdown::Both);
        }
        drop(self.wait_until(table, CLOSING, |table| table.open.is_empty()));
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
}

impl Table {
    fn evict(&mut self) -> bool {
        let waiting = self
            .open
            .values_mut()
            .filter(|slot| slot.waiting && !slot.evicted);
        let Some(slot) = waiting.min_by_key(|slot| (slot.stage, slot.since)) else {
            return false;
        };
        slot.evicted = true;
        let _ = slot.stream.shutdown(Shutdown::Both);
        true
    }
}

impl Place {
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The connection's number, counted from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn enter(&self, stage: Stage) {
        self.slot(|slot| {
            slot.stage = stage;
            if !std::mem::take(&mut slot.new) {
                slot.since = Instant::now();
            }
        });
    }

    pub(super) fn wait(&self) {
        self.slot(|slot| slot.waiting = true);
    }

    /// Ends the wait; false when this connection had to make room.
    pub(super) fn work(&self) -> bool {
        self.slot(|slot| {
            slot.waiting = false;
            !slot.evicted
        })
        .unwrap_or(false)
    }

    fn slot<T>(&self, change: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        self.connections
            .table()
            .open
            .get_mut(&self.number)
            .map(change)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.table().open.remove(&self.number);
        self.connections.left.notify_all();
    }
}
