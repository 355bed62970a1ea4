//! One connection to a model server.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Timeout for a model that reads nothing of a request.
const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How often to check for an early response while the model reads nothing.
const WRITE_POLL_INTERVAL: Duration = Duration::from_millis(50);

const BUFFER_STEP: usize = 4 * 1024;
/// Maximum size of a response's status line and header fields.
const HEAD_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub struct Connection {
    pub port: u16,
    /// The connection can be reused for the next request.
    pub keep_alive: bool,
    stream: TcpStream,
    read_timeout: Duration,
    /// Bytes `start..end` are received and not consumed yet.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    has_sent: bool,
    /// The error of the last write; returned only if there is no response either.
    write_error: Option<io::Error>,
}

impl Connection {
    pub fn open(port: u16, read_timeout: Duration) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_POLL_INTERVAL))?;
        stream.set_read_timeout(Some(read_timeout))?;
        Ok(Connection {
            port,
            keep_alive: true,
            stream,
            read_timeout,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            has_sent: false,
            write_error: None,
        })
    }

    pub fn set_read_timeout(&mut self, read_timeout: Duration) -> io::Result<()> {
        if self.read_timeout != read_timeout {
            self.stream.set_read_timeout(Some(read_timeout))?;
            self.read_timeout = read_timeout;
        }
        Ok(())
    }

    /// Whether a request can be sent: the model has neither closed the connection nor sent data.
    pub fn is_idle(&mut self) -> bool {
        self.has_sent = false;
        self.start == self.end && matches!(peek(&self.stream), Peek::Nothing)
    }

    /// Whether there is something to read; the end of the stream counts.
    pub fn has_response(&self) -> bool {
        !matches!(peek(&self.stream), Peek::Nothing)
    }

    /// Sends all bytes; false if the model responded, or closed the connection, before that.
    pub fn send(&mut self, mut bytes: &[u8]) -> io::Result<bool> {
        let mut stalled = None;
        while !bytes.is_empty() {
            // Skips the check for a request that fits into one write: it costs a system call.
            if std::mem::replace(&mut self.has_sent, true) && self.has_response() {
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
                        if since.elapsed() > WRITE_STALL_TIMEOUT {
                            return Err(io::ErrorKind::TimedOut.into());
                        }
                    }
                    // The model closed its end. It may have sent a response before.
                    io::ErrorKind::BrokenPipe
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted => {
                        self.write_error = Some(error);
                        return Ok(false);
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(true)
    }

    /// Waits for more of a response's head.
    pub fn fill_head(&mut self) -> io::Result<()> {
        if self.end - self.start >= HEAD_BYTES {
            let text = "the head of its response is too large";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let error = match self.fill() {
            Ok(0) => io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it closed the connection without a response",
            ),
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        Err(self.write_error.take().unwrap_or(error))
    }

    pub fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub fn consume(&mut self, bytes: usize) {
        self.start += bytes;
    }

    /// Waits for more data and appends it to the buffer; 0 at the end of the stream.
    pub fn fill(&mut self) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() != BUFFER_STEP {
                self.buffer = vec![0; BUFFER_STEP];
            }
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end * 2 > self.buffer.len() {
                self.buffer.resize(self.end + BUFFER_STEP, 0);
            }
        }
        let bytes = retry_interrupted(|| (&self.stream).read(&mut self.buffer[self.end..]))?;
        self.end += bytes;
        Ok(bytes)
    }

    /// Reads from the buffer, or else directly from the socket; 0 at the end of the stream.
    pub fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end {
            return retry_interrupted(|| (&self.stream).read(out));
        }
        let bytes = out.len().min(self.end - self.start);
        out[..bytes].copy_from_slice(&self.buffer[self.start..][..bytes]);
        self.start += bytes;
        Ok(bytes)
    }
}

fn retry_interrupted(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The error of a read that times out.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "timed out"));
            }
            read => return read,
        }
    }
}

enum Peek {
    Nothing,
    /// Data, the end of the stream, or an error.
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
