//! The open connections: their number is bounded, and one that waits for its client can be
//! evicted for a newcomer.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a newcomer waits for the place of an evicted connection.
const MAKING_ROOM: Duration = Duration::from_millis(500);

/// How long a server that stops waits for its threads.
const CLOSING: Duration = Duration::from_millis(50);

/// Connections beyond the limit that get a thread, only to be answered 503. Further ones are
/// answered by the accepting thread, which cannot wait until the answer was read.
const TURNED_AWAY: usize = 8;

pub(super) struct Connections {
    limit: usize,
    started: Instant,
    table: Mutex<Table>,
    left: Condvar,
}

#[derive(Default)]
struct Table {
    open: HashMap<u64, Arc<Slot>>,
    /// How many of them are there only to be answered 503.
    turned_away: usize,
    accepted: u64,
    stopped: bool,
}

struct Slot {
    stream: TcpStream,
    /// Zero while the thread works. While it waits for its client, and nothing is lost by
    /// closing the connection: when the stage began (µs), the stage, `WAITING`, `EVICTED`.
    /// An atomic of the connection's own: a request takes no lock that all connections share.
    wait: AtomicU64,
    turned_away: bool,
}

const EVICTED: u64 = 1;
const WAITING: u64 = 2;
const STAGE_SHIFT: u32 = 2;
const SINCE_SHIFT: u32 = 4;

/// What a connection waits for. The earlier stage is evicted first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Answered; what the client still sends is discarded.
    Linger,
    Head,
    Body,
}

/// What became of a newcomer.
pub(super) enum Admission {
    Place(Place),
    /// No room: there is a thread's worth for the answer that says so.
    TurnedAway(Place),
    Full(TcpStream),
    Stopped,
}

/// One connection's entry; it is removed when this is dropped, in a panic too.
pub(super) struct Place {
    connections: Arc<Connections>,
    slot: Arc<Slot>,
    number: u64,
    stage: Cell<Stage>,
    since: Cell<Instant>,
    /// The thread has not waited yet: its first wait counts from the admission.
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
            // An evicted thread leaves at once, unless a service goes on without its body.
            table = self.wait_until(table, MAKING_ROOM, |table| table.served() < self.limit);
        }
        if table.stopped {
            return Admission::Stopped;
        }
        let is_full = table.served() >= self.limit;
        if is_full && table.turned_away >= TURNED_AWAY {
            return Admission::Full(stream);
        }
        let since = Instant::now();
        let slot = Arc::new(Slot {
            stream,
            wait: AtomicU64::new(self.word(Stage::Head, since)),
            turned_away: is_full,
        });
        let number = table.accepted;
        table.open.insert(number, slot.clone());
        table.turned_away += usize::from(is_full);
        let place = Place {
            connections: self.clone(),
            slot,
            number,
            stage: Cell::new(Stage::Head),
            since: Cell::new(since),
            new: Cell::new(true),
        };
        match is_full {
            true => Admission::TurnedAway(place),
            false => Admission::Place(place),
        }
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

    fn word(&self, stage: Stage, since: Instant) -> u64 {
        let micros = since.saturating_duration_since(self.started).as_micros() as u64;
        micros << SINCE_SHIFT | (stage as u64) << STAGE_SHIFT | WAITING
    }
}

impl Table {
    fn served(&self) -> usize {
        self.open.len() - self.turned_away
    }

    fn evict(&mut self) -> bool {
        loop {
            let waits = self.open.values().filter(|slot| !slot.turned_away);
            let waits = waits.map(|slot| (slot, slot.wait.load(Ordering::Acquire)));
            let longest = waits
                .filter(|(_, wait)| wait & WAITING != 0 && wait & EVICTED == 0)
                .min_by_key(|(_, wait)| (wait >> STAGE_SHIFT & 3, wait >> SINCE_SHIFT));
            let Some((slot, wait)) = longest else {
                return false;
            };
            // Fails when its client has just been heard of: then another one is chosen.
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

impl Place {
    pub(super) fn stream(&self) -> &TcpStream {
        &self.slot.stream
    }

    /// The connection's number, counted from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What this connection waits for from now on.
    pub(super) fn enter(&self, stage: Stage) {
        self.stage.set(stage);
        if !self.new.replace(false) {
            self.since.set(Instant::now());
        }
    }

    /// From here to [`work`](Place::work) the connection can be evicted.
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

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.connections.table();
        table.open.remove(&self.number);
        table.turned_away -= usize::from(self.slot.turned_away);
        drop(table);
        self.connections.left.notify_all();
    }
}
