//! A connection's bytes: buffered reads and plain writes, each with a time limit.

use std::cell::Cell;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::connections::{Place, Stage};
use super::date::DateCache;

/// Bytes asked of the socket at a time, and what the buffer of an idle connection holds.
pub(super) const PIECE: usize = 4 * 1024;

/// How long a client may still send after its last answer, in all and without a pause. As nginx
/// does: whoever sends 20 MB before it reads has to be let finish, or it never sees the answer.
const LINGER_TIME: Duration = Duration::from_secs(30);
const LINGER_IDLE: Duration = Duration::from_secs(5);
/// What is discarded of it in a second, at most.
const LINGER_BYTES_PER_SECOND: u64 = 64 * 1024 * 1024;

pub(super) struct Wire {
    place: Place,
    /// The bytes `start..end` of it are received and not consumed.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The time limits that the socket has now.
    read_timeout: Cell<Duration>,
    write_timeout: Cell<Duration>,
    pub(super) date: DateCache,
}

/// The time that a client may still keep the server waiting.
#[derive(Clone, Copy)]
pub(super) struct Patience(pub(super) Duration);

impl Wire {
    pub(super) fn new(place: Place) -> Wire {
        Wire {
            place,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            read_timeout: Cell::new(Duration::ZERO),
            write_timeout: Cell::new(Duration::ZERO),
            date: DateCache::default(),
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
    }

    /// Takes `bytes` from the front of the buffer.
    pub(super) fn take(&mut self, bytes: usize) -> Vec<u8> {
        let taken = self.buffered()[..bytes].to_vec();
        self.consume(bytes);
        taken
    }

    /// Waits for more bytes, at most `most` of them, behind those buffered; 0 at the end.
    pub(super) fn fill(&mut self, most: usize, patience: &mut Patience) -> io::Result<usize> {
        self.make_room();
        let end = self.buffer.len().min(self.end + most);
        let out = &mut self.buffer[self.end..end];
        let bytes = receive(&self.place, &self.read_timeout, out, patience)?;
        self.end += bytes;
        Ok(bytes)
    }

    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() != PIECE {
                self.buffer = vec![0; PIECE];
            }
        } else if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.end + PIECE, 0);
        }
    }

    /// Reads what is buffered, or else straight from the socket; 0 at the end.
    pub(super) fn read(&mut self, out: &mut [u8], patience: &mut Patience) -> io::Result<usize> {
        if self.buffered().is_empty() {
            return receive(&self.place, &self.read_timeout, out, patience);
        }
        let bytes = out.len().min(self.buffered().len());
        out[..bytes].copy_from_slice(&self.buffered()[..bytes]);
        self.consume(bytes);
        Ok(bytes)
    }

    /// Whether the socket has something to read within `limit`, be it the end. Fails when the
    /// patience is over.
    pub(super) fn has_bytes_within(
        &self,
        limit: Duration,
        patience: &mut Patience,
    ) -> io::Result<bool> {
        let before = patience.0.min(limit);
        let mut moment = Patience(before);
        let peeked = wait(&self.place, &self.read_timeout, &mut moment, |stream| {
            stream.peek(&mut [0])
        });
        patience.0 = patience.0.saturating_sub(before - moment.0);
        match peeked {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::TimedOut && !patience.0.is_zero() => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn write_all(&self, mut bytes: &[u8], patience: &mut Patience) -> io::Result<()> {
        let mut stream = self.place.stream();
        while !bytes.is_empty() {
            if let Some(limit) = patience.limit(&self.write_timeout)? {
                stream.set_write_timeout(Some(limit))?;
            }
            let written = patience.spend(|| stream.write(bytes))?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Closes such that the last answer arrives (RFC 9112, section 9.6): closing with bytes
    /// unread would reset the connection, and the client could lose the answer. So what the
    /// client still sends is read and discarded, within limits; such a connection is the first
    /// to be evicted.
    pub(super) fn close(self) {
        let mut stream = self.place.stream();
        // First: a client that sees the end may come back at once, on a new connection.
        self.place.enter(Stage::Linger);
        self.place.wait();
        if stream.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let mut discarded = vec![0; 4 * PIECE];
        let (begun, mut bytes) = (Instant::now(), 0);
        loop {
            let due = Duration::from_micros(bytes * 1_000_000 / LINGER_BYTES_PER_SECOND);
            let ahead = due.saturating_sub(begun.elapsed());
            if ahead > Duration::from_millis(5) {
                thread::sleep(ahead);
            }
            let left = LINGER_TIME.saturating_sub(begun.elapsed());
            let limit = Patience(left.min(LINGER_IDLE)).limit(&self.read_timeout);
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

impl Patience {
    /// The time limit that the socket has to be given, when `current` is not near enough to
    /// what is left. Near enough saves a system call for nearly every read and write.
    fn limit(&self, current: &Cell<Duration>) -> io::Result<Option<Duration>> {
        if self.0.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // A socket takes no timeout that rounds to nothing.
        let left = self.0.max(Duration::from_millis(1));
        if (left..=left + left / 8).contains(&current.get()) {
            return Ok(None);
        }
        current.set(left);
        Ok(Some(left))
    }

    /// Runs `wait` and takes its time off. A wait that a signal interrupted moved no bytes and
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
    place: &Place,
    timeout: &Cell<Duration>,
    out: &mut [u8],
    patience: &mut Patience,
) -> io::Result<usize> {
    wait(place, timeout, patience, |mut stream| stream.read(out))
}

/// Waits for the client; fails when the connection was evicted meanwhile.
fn wait(
    place: &Place,
    timeout: &Cell<Duration>,
    patience: &mut Patience,
    mut read: impl FnMut(&TcpStream) -> io::Result<usize>,
) -> io::Result<usize> {
    let stream = place.stream();
    if let Some(limit) = patience.limit(timeout)? {
        stream.set_read_timeout(Some(limit))?;
    }
    place.wait();
    let read = patience.spend(|| read(stream));
    if place.work() {
        read
    } else {
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}
