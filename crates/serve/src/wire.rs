//! A connection's bytes: buffered reads and plain writes, each with a time limit.

use std::cell::Cell;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::connections::{Guard, Stage};
use super::date::DateCache;

/// The size of one read, and of the buffer of an idle connection.
pub(super) const BUFFER_BYTES: usize = 4 * 1024;

/// How long a client may keep sending after its last response: in total, and without a pause.
/// Like nginx: a client that sends 20 MB before it reads must be allowed to finish, otherwise it
/// never sees the response.
const LINGER_TIME: Duration = Duration::from_secs(30);
const LINGER_IDLE: Duration = Duration::from_secs(5);
/// The maximum rate at which that data is discarded.
const LINGER_BYTES_PER_SECOND: u64 = 64 * 1024 * 1024;

pub(super) struct Wire {
    guard: Guard,
    /// The bytes `start..end` were received but not consumed.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The timeouts that are currently set on the socket.
    read_timeout: Cell<Duration>,
    write_timeout: Cell<Duration>,
    pub(super) date: DateCache,
}

/// The remaining time that the server waits for a client.
#[derive(Clone, Copy)]
pub(super) struct TimeBudget(pub(super) Duration);

impl Wire {
    pub(super) fn new(guard: Guard) -> Wire {
        Wire {
            guard,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            read_timeout: Cell::new(Duration::ZERO),
            write_timeout: Cell::new(Duration::ZERO),
            date: DateCache::default(),
        }
    }

    pub(super) fn guard(&self) -> &Guard {
        &self.guard
    }

    pub(super) fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
    }

    /// Removes `bytes` from the front of the buffer.
    pub(super) fn take(&mut self, bytes: usize) -> Vec<u8> {
        let taken = self.buffered()[..bytes].to_vec();
        self.consume(bytes);
        taken
    }

    /// Waits for at most `most` more bytes and appends them to the buffer; 0 at the end.
    pub(super) fn fill(&mut self, most: usize, budget: &mut TimeBudget) -> io::Result<usize> {
        self.make_room();
        let end = self.buffer.len().min(self.end + most);
        let out = &mut self.buffer[self.end..end];
        let bytes = receive(&self.guard, &self.read_timeout, out, budget)?;
        self.end += bytes;
        Ok(bytes)
    }

    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() != BUFFER_BYTES {
                self.buffer = vec![0; BUFFER_BYTES];
            }
        } else if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.end + BUFFER_BYTES, 0);
        }
    }

    /// Reads from the buffer, or directly from the socket if it is empty; 0 at the end.
    pub(super) fn read(&mut self, out: &mut [u8], budget: &mut TimeBudget) -> io::Result<usize> {
        if self.buffered().is_empty() {
            return receive(&self.guard, &self.read_timeout, out, budget);
        }
        let bytes = out.len().min(self.buffered().len());
        out[..bytes].copy_from_slice(&self.buffered()[..bytes]);
        self.consume(bytes);
        Ok(bytes)
    }

    /// Whether the socket becomes readable within `limit`, also at the end. Fails if the budget
    /// is used up.
    pub(super) fn has_bytes_within(
        &self,
        limit: Duration,
        budget: &mut TimeBudget,
    ) -> io::Result<bool> {
        let before = budget.0.min(limit);
        let mut moment = TimeBudget(before);
        let peeked = wait(&self.guard, &self.read_timeout, &mut moment, |stream| {
            stream.peek(&mut [0])
        });
        budget.0 = budget.0.saturating_sub(before - moment.0);
        match peeked {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::TimedOut && !budget.0.is_zero() => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn write_all(&self, mut bytes: &[u8], budget: &mut TimeBudget) -> io::Result<()> {
        let mut stream = self.guard.stream();
        while !bytes.is_empty() {
            if let Some(limit) = budget.limit(&self.write_timeout)? {
                stream.set_write_timeout(Some(limit))?;
            }
            let written = budget.spend(|| stream.write(bytes))?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Closes so that the last response arrives (RFC 9112, section 9.6): closing with unread
    /// bytes would reset the connection, and the client could lose the response. So further data
    /// is read and discarded, within limits; such a connection is the first to be evicted.
    pub(super) fn close(self) {
        let mut stream = self.guard.stream();
        // Before the shutdown: a client that sees the end may reconnect at once.
        self.guard.enter(Stage::Linger);
        self.guard.wait();
        if stream.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let mut discarded = vec![0; 4 * BUFFER_BYTES];
        let (begun, mut bytes) = (Instant::now(), 0);
        loop {
            let due = Duration::from_micros(bytes * 1_000_000 / LINGER_BYTES_PER_SECOND);
            let ahead = due.saturating_sub(begun.elapsed());
            if ahead > Duration::from_millis(5) {
                thread::sleep(ahead);
            }
            let left = LINGER_TIME.saturating_sub(begun.elapsed());
            let limit = TimeBudget(left.min(LINGER_IDLE)).limit(&self.read_timeout);
            let is_limited = match limit {
                Ok(Some(limit)) => stream.set_read_timeout(Some(limit)).is_ok(),
                Ok(None) => true,
                Err(_) => false,
            };
            if !is_limited {
                return;
            }
            match stream.read(&mut discarded) {
                Ok(0) => return,
                Ok(read) => bytes += read as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

impl TimeBudget {
    /// The timeout to set on the socket, or `None` if `current` is close enough to the remaining
    /// time. This saves a system call for nearly every read and write.
    fn limit(&self, current: &Cell<Duration>) -> io::Result<Option<Duration>> {
        if self.0.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // A socket timeout must not round to zero.
        let left = self.0.max(Duration::from_millis(1));
        if (left..=left + left / 8).contains(&current.get()) {
            return Ok(None);
        }
        current.set(left);
        Ok(Some(left))
    }

    /// Runs `wait` and subtracts its time. A wait that a signal interrupted moved no bytes and
    /// is resumed.
    fn spend(&mut self, mut wait: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        loop {
            let begun = Instant::now();
            let moved = wait();
            self.0 = self.0.saturating_sub(begun.elapsed());
            match moved {
                Err(error) if error.kind() == io::ErrorKind::Interrupted && !self.0.is_zero() => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                moved => return moved,
            }
        }
    }
}

fn receive(
    guard: &Guard,
    timeout: &Cell<Duration>,
    out: &mut [u8],
    budget: &mut TimeBudget,
) -> io::Result<usize> {
    wait(guard, timeout, budget, |mut stream| stream.read(out))
}

/// Waits for the client; fails if the connection was evicted meanwhile.
fn wait(
    guard: &Guard,
    timeout: &Cell<Duration>,
    budget: &mut TimeBudget,
    mut read: impl FnMut(&TcpStream) -> io::Result<usize>,
) -> io::Result<usize> {
    let stream = guard.stream();
    if let Some(limit) = budget.limit(timeout)? {
        stream.set_read_timeout(Some(limit))?;
    }
    guard.wait();
    let read = budget.spend(|| read(stream));
    if guard.work() {
        read
    } else {
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}
