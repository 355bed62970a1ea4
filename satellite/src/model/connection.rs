//! One connection to a model server.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer::{self, Answer};
use super::pool::Pool;

const CONNECTING: Duration = Duration::from_secs(2);

/// A model may let a request wait for this long without taking any of it.
const SILENCE: Duration = Duration::from_secs(60);

/// How often a model that takes nothing is asked whether it has answered meanwhile.
const WRITE_PAUSE: Duration = Duration::from_millis(50);

const PIECE: usize = 4 * 1024;
/// Bytes of an answer's status line and header fields.
const HEAD_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub struct Connection {
    pub port: u16,
    /// The next request can follow on it.
    pub is_kept: bool,
    stream: TcpStream,
    patience: Duration,
    /// The bytes `start..end` of it are received and not consumed.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    sent_first: bool,
    /// Why the last write failed; told when there is no answer either.
    broken: Option<io::Error>,
}

impl Connection {
    pub fn open(port: u16, patience: Duration) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, CONNECTING)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_PAUSE))?;
        stream.set_read_timeout(Some(patience))?;
        Ok(Connection {
            port,
            is_kept: true,
            stream,
            patience,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            sent_first: false,
            broken: None,
        })
    }

    pub fn set_patience(&mut self, patience: Duration) -> io::Result<()> {
        if self.patience != patience {
            self.stream.set_read_timeout(Some(patience))?;
            self.patience = patience;
        }
        Ok(())
    }

    /// Whether a request can be sent: the model has neither closed it nor sent anything.
    pub fn is_idle(&mut self) -> bool {
        self.sent_first = false;
        self.start == self.end && matches!(peek(&self.stream), Peek::Nothing)
    }

    /// Whether there is something to read, be it the end.
    pub fn has_answered(&self) -> bool {
        !matches!(peek(&self.stream), Peek::Nothing)
    }

    /// Sends all of it; false when the model answered, or closed, before that.
    pub fn send(&mut self, mut bytes: &[u8]) -> io::Result<bool> {
        let mut stalled = None;
        while !bytes.is_empty() {
            // A request that fits into one write is sent without a look.
            if std::mem::replace(&mut self.sent_first, true) && self.has_answered() {
                return Ok(false);
            }
            match self.stream.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written..];
                    stalled = None;
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        let since = *stalled.get_or_insert_with(Instant::now);
                        if since.elapsed() > SILENCE {
                            return Err(io::ErrorKind::TimedOut.into());
                        }
                    }
                    // It closed its end. An answer may have come before that.
                    io::ErrorKind::BrokenPipe
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted => {
                        self.broken = Some(error);
                        return Ok(false);
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(true)
    }

    /// Waits for the answer to what was sent.
    pub fn answer(mut self, pool: Arc<Pool>) -> io::Result<Answer> {
        loop {
            let head = match answer::parse(self.buffered()) {
                Ok(Some(head)) => head,
                Ok(None) => {
                    self.fill_head()?;
                    continue;
                }
                Err(text) => return Err(io::Error::new(io::ErrorKind::InvalidData, text)),
            };
            self.start += head.bytes;
            // An interim answer, such as 100 or 103, is not the answer.
            if head.status >= 200 {
                self.is_kept &= head.is_kept;
                return Ok(Answer::new(head, self, pool));
            }
        }
    }

    fn fill_head(&mut self) -> io::Result<()> {
        if self.end - self.start >= HEAD_BYTES {
            let text = "the head of its answer is too large";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let error = match self.fill() {
            Ok(0) => io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it closed the connection without an answer",
            ),
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        Err(self.broken.take().unwrap_or(error))
    }

    pub fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub fn consume(&mut self, bytes: usize) {
        self.start += bytes;
    }

    /// Waits for more behind what is buffered; 0 at the end.
    pub fn fill(&mut self) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() != PIECE {
                self.buffer = vec![0; PIECE];
            }
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end * 2 > self.buffer.len() {
                self.buffer.resize(self.end + PIECE, 0);
            }
        }
        let bytes = retried(|| (&self.stream).read(&mut self.buffer[self.end..]))?;
        self.end += bytes;
        Ok(bytes)
    }

    /// Reads what is buffered, or else straight from the socket; 0 at the end.
    pub fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end {
            return retried(|| (&self.stream).read(out));
        }
        let bytes = out.len().min(self.end - self.start);
        out[..bytes].copy_from_slice(&self.buffer[self.start..][..bytes]);
        self.start += bytes;
        Ok(bytes)
    }
}

fn retried(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // What a read that has a time limit fails with.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long"));
            }
            read => return read,
        }
    }
}

enum Peek {
    Nothing,
    /// Bytes, the end, or an error.
    Something,
}

#[cfg(target_os = "linux")]
fn peek(stream: &TcpStream) -> Peek {
    use rustix::net::RecvFlags;
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    match rustix::net::recv(stream, &mut [0; 1], flags) {
        Err(rustix::io::Errno::AGAIN) => Peek::Nothing,
        _ => Peek::Something,
    }
}

#[cfg(not(target_os = "linux"))]
fn peek(stream: &TcpStream) -> Peek {
    let peeked = stream
        .set_nonblocking(true)
        .and_then(|()| stream.peek(&mut [0; 1]));
    let _ = stream.set_nonblocking(false);
    match peeked {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Peek::Nothing,
        _ => Peek::Something,
    }
}
