//! A connection's bytes: buffered reads and plain writes, each paid from a client's patience.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use super::connections::{Place, Stage};

/// Bytes asked of the socket at a time.
const PIECE: usize = 4 * 1024;
/// What a client may still send after its last answer, before the connection is cut.
const LINGER_BYTES: usize = 64 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);

pub(super) struct Wire {
    place: Place,
    buffer: Vec<u8>,
    /// Bytes at the front of the buffer that were consumed.
    taken: usize,
}

/// The time that a client may still keep us waiting.
#[derive(Clone, Copy)]
pub(super) struct Patience(pub(super) Duration);

impl Wire {
    pub(super) fn new(place: Place) -> Wire {
        Wire {
            place,
            buffer: Vec::new(),
            taken: 0,
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn buffered(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken >= self.buffer.len() {
            self.buffer.clear();
            self.taken = 0;
            // A connection at rest holds no more than this.
            self.buffer.shrink_to(PIECE);
        }
    }

    /// Takes `bytes` from the front of the buffer.
    pub(super) fn take(&mut self, bytes: usize) -> Vec<u8> {
        let taken = self.buffered()[..bytes].to_vec();
        self.consume(bytes);
        taken
    }

    /// Waits for more bytes, at most `most` of them, behind those buffered; 0 at the end.
    pub(super) fn fill(&mut self, most: usize, patience: &mut Patience) -> io::Result<usize> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + most.min(PIECE), 0);
        let read = receive(&self.place, &mut self.buffer[before..], patience);
        self.buffer.truncate(before + *read.as_ref().unwrap_or(&0));
        read
    }

    /// Reads what is buffered, or else straight from the socket; 0 at the end.
    pub(super) fn read(&mut self, out: &mut [u8], patience: &mut Patience) -> io::Result<usize> {
        if self.buffered().is_empty() {
            return receive(&self.place, out, patience);
        }
        let bytes = out.len().min(self.buffered().len());
        out[..bytes].copy_from_slice(&self.buffered()[..bytes]);
        self.consume(bytes);
        Ok(bytes)
    }

    pub(super) fn write_all(&self, mut bytes: &[u8], patience: &mut Patience) -> io::Result<()> {
        let mut stream = self.place.stream();
        while !bytes.is_empty() {
            stream.set_write_timeout(Some(patience.left()?))?;
            let written = patience.spend(|| stream.write(bytes))?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Closes such that the last answer arrives: closing with bytes unread would reset the
    /// connection and take the answer along.
    pub(super) fn close(mut self) {
        if self.place.stream().shutdown(Shutdown::Write).is_err() {
            return;
        }
        self.place.enter(Stage::Head);
        let mut patience = Patience(LINGER_TIME);
        let mut left = LINGER_BYTES;
        while left > 0 {
            self.buffer.clear();
            self.taken = 0;
            match self.fill(left, &mut patience) {
                Ok(0) | Err(_) => return,
                Ok(bytes) => left -= bytes,
            }
        }
    }
}

impl Patience {
    fn left(&self) -> io::Result<Duration> {
        if self.0.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // A socket takes no timeout that rounds to nothing.
        Ok(self.0.max(Duration::from_millis(1)))
    }

    /// Runs `wait` and takes its time off. A wait that a signal broke off moved no bytes and is
    /// taken up again.
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

fn receive(place: &Place, out: &mut [u8], patience: &mut Patience) -> io::Result<usize> {
    let mut stream = place.stream();
    stream.set_read_timeout(Some(patience.left()?))?;
    place.wait();
    let read = patience.spend(|| stream.read(out));
    if place.work() {
        read
    } else {
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}
