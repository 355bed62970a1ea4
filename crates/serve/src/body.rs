use std::io::{self, Read};
use std::time::Duration;

use super::Limits;
use super::connections::Stage;
use super::head::{Framing, Head, Rejection};
use super::wire::{TimeBudget, Wire};

/// Limit for the size line of a chunk with its extensions, and for one trailer field.
const LINE_BYTES: usize = 256;
/// Limit for the number of trailer fields, which are discarded.
const TRAILERS: usize = 16;
/// How much unread body is discarded to keep the connection alive.
const DRAIN_BYTES: u64 = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// A request's body, bounded by [`Limits::body_bytes`] and [`Limits::body_time`].
///
/// Reading fails with [`InvalidData`](io::ErrorKind::InvalidData) for malformed chunks,
/// [`FileTooLarge`](io::ErrorKind::FileTooLarge), [`TimedOut`](io::ErrorKind::TimedOut), or
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) for a client that disconnected. The service
/// need not handle these errors: the server responds with 400, 413, 408 or nothing, and ignores
/// the response of the service.
///
/// ```
/// use satellite_serve::{Limits, Response, Server};
///
/// let server = Server::bind("127.0.0.1:0", Limits::default(), |request| {
///     match std::io::copy(request.body(), &mut std::io::sink()) {
///         Ok(bytes) => Response::text(200, format!("{bytes} bytes")),
///         Err(_) => Response::new(400),
///     }
/// })?;
/// # std::io::Result::Ok(())
/// ```
pub struct Body<'a> {
    wire: &'a mut Wire,
    remaining: Remaining,
    /// Total size of the chunks announced so far.
    announced: u64,
    limit: u64,
    budget: TimeBudget,
    write_budget: TimeBudget,
    begun: bool,
    continue_pending: bool,
    rejection: Option<Rejection>,
}

/// The part of the body that was not read yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Remaining {
    Length(u64),
    FirstChunk,
    Chunk(u64),
    Nothing,
}

impl<'a> Body<'a> {
    pub(super) fn new(
        wire: &'a mut Wire,
        head: &Head<'_>,
        limits: &Limits,
    ) -> Result<Body<'a>, Rejection> {
        let remaining = match head.framing {
            Framing::Length(0) => Remaining::Nothing,
            Framing::Length(length) if length > limits.body_bytes => {
                return Err(Rejection::Status(413));
            }
            Framing::Length(length) => Remaining::Length(length),
            Framing::Chunked => Remaining::FirstChunk,
        };
        Ok(Body {
            wire,
            remaining,
            announced: 0,
            limit: limits.body_bytes,
            budget: TimeBudget(limits.body_time),
            write_budget: TimeBudget(limits.write_time),
            begun: false,
            continue_pending: head.expects_continue,
            rejection: None,
        })
    }

    /// Waits until a read would not block, at most for `limit`; false on a timeout. The next read
    /// may also return the end or an error.
    ///
    /// For a service that has other work to do while its client pauses.
    ///
    /// ```
    /// # use satellite_serve::{Request, Response};
    /// # use std::time::Duration;
    /// fn upload(request: &mut Request<'_>) -> std::io::Result<Vec<u8>> {
    ///     while !request.body().wait_for_bytes(Duration::from_millis(100)) {
    ///         println!("still waiting");
    ///     }
    ///     request.read_body()
    /// }
    /// ```
    pub fn wait_for_bytes(&mut self, limit: Duration) -> bool {
        let is_over = self.rejection.is_some() || self.remaining == Remaining::Nothing;
        if is_over || !self.wire.buffered().is_empty() {
            return true;
        }
        if let Err(rejection) = self.begin() {
            self.rejection = Some(rejection);
            return true;
        }
        match self.wire.has_bytes_within(limit, &mut self.budget) {
            Ok(is_readable) => is_readable,
            Err(error) => {
                self.rejection = Some(read_error(&error));
                true
            }
        }
    }

    pub(super) fn wire(&self) -> &Wire {
        self.wire
    }

    /// The error that made the body unreadable, if any.
    pub(super) fn rejection(&self) -> Option<Rejection> {
        self.rejection
    }

    /// Whether the next request can follow once [`drain`](Body::drain) has been called.
    pub(super) fn is_drainable(&self) -> bool {
        let is_short = match self.remaining {
            Remaining::Nothing => return true,
            Remaining::Length(left) => left <= DRAIN_BYTES,
            Remaining::FirstChunk | Remaining::Chunk(_) => true,
        };
        // A client that did not get its `100 Continue` may or may not send the body.
        is_short && self.rejection.is_none() && !self.continue_pending
    }

    /// Discards the unread rest; false if it is too long or malformed.
    pub(super) fn drain(&mut self) -> bool {
        self.budget.0 = self.budget.0.min(DRAIN_TIME);
        io::copy(&mut self.by_ref().take(DRAIN_BYTES), &mut io::sink()).is_ok() && {
            // The end may follow directly after the last allowed byte.
            self.read(&mut [0]).is_ok_and(|bytes| bytes == 0)
        }
    }

    fn begin(&mut self) -> Result<(), Rejection> {
        if self.begun {
            return Ok(());
        }
        self.begun = true;
        self.wire.guard().enter(Stage::Body);
        // A client that is already sending does not wait for `100 Continue`.
        if std::mem::take(&mut self.continue_pending) && self.wire.buffered().is_empty() {
            let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
            self.wire
                .write_all(interim, &mut self.write_budget)
                .map_err(|_| Rejection::Disconnected)?;
        }
        Ok(())
    }

    fn advance(&mut self, out: &mut [u8]) -> Result<usize, Rejection> {
        loop {
            match self.remaining {
                Remaining::Nothing => return Ok(0),
                Remaining::Length(left) => {
                    let bytes = self.copy(out, left)?;
                    self.remaining = after(left, bytes, Remaining::Length, Remaining::Nothing);
                    return Ok(bytes);
                }
                Remaining::Chunk(left) if left > 0 => {
                    let bytes = self.copy(out, left)?;
                    self.remaining = after(left, bytes, Remaining::Chunk, Remaining::Chunk(0));
                    return Ok(bytes);
                }
                Remaining::FirstChunk => self.next_chunk()?,
                Remaining::Chunk(_) => {
                    if self.line(0)?.is_empty() {
                        self.next_chunk()?;
                    }
                }
            }
        }
    }

    fn copy(&mut self, out: &mut [u8], left: u64) -> Result<usize, Rejection> {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        match self.wire.read(&mut out[..most], &mut self.budget) {
            Ok(0) => Err(Rejection::Disconnected),
            Ok(bytes) => Ok(bytes),
            Err(error) => Err(read_error(&error)),
        }
    }

    fn next_chunk(&mut self) -> Result<(), Rejection> {
        let size = chunk_size(&self.line(LINE_BYTES)?)?;
        if size > 0 {
            self.announced = self.announced.saturating_add(size);
            if self.announced > self.limit {
                return Err(Rejection::Status(413));
            }
            self.remaining = Remaining::Chunk(size);
            return Ok(());
        }
        for _ in 0..=TRAILERS {
            let line = self.line(LINE_BYTES)?;
            if line.is_empty() {
                self.remaining = Remaining::Nothing;
                return Ok(());
            }
            if !is_field(line) {
                return Err(Rejection::Status(400));
            }
        }
        Err(Rejection::Status(431))
    }

    /// Reads one line of at most `most` bytes, without its CR LF.
    fn line(&mut self, most: usize) -> Result<Vec<u8>, Rejection> {
        let bad = Rejection::Status(400);
        let mut at = 0;
        loop {
            while let Some(&byte) = self.wire.buffered().get(at) {
                match byte {
                    b'\n' if at > 0 && self.wire.buffered()[at - 1] == b'\r' => {
                        let mut line = self.wire.take(at + 1);
                        line.truncate(at - 1);
                        return Ok(line);
                    }
                    _ if at > 0 && self.wire.buffered()[at - 1] == b'\r' => return Err(bad),
                    b'\r' => {}
                    _ if at >= most || (byte.is_ascii_control() && byte != b'\t') => {
                        return Err(bad);
                    }
                    _ => {}
                }
                at += 1;
            }
            match self.wire.fill(LINE_BYTES, &mut self.budget) {
                Ok(0) => return Err(Rejection::Disconnected),
                Ok(_) => {}
                Err(error) => return Err(read_error(&error)),
            }
        }
    }
}

impl Read for Body<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let read = match self.rejection {
            Some(rejection) => Err(rejection),
            None if self.remaining == Remaining::Nothing => Ok(0),
            None => self.begin().and_then(|()| self.advance(out)),
        };
        read.map_err(|rejection| {
            self.rejection = Some(rejection);
            error(rejection)
        })
    }
}

impl std::fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

fn after(left: u64, bytes: usize, rest: impl Fn(u64) -> Remaining, end: Remaining) -> Remaining {
    match left.saturating_sub(bytes as u64) {
        0 => end,
        left => rest(left),
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, Rejection> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    let is_hex = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits)
        .ok()
        .filter(|digits| is_hex && digits.len() <= 16);
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or(Rejection::Status(400))
}

fn is_field(mut line: Vec<u8>) -> bool {
    line.extend_from_slice(b"\r\n\r\n");
    let mut fields = [httparse::EMPTY_HEADER];
    matches!(
        httparse::parse_headers(&line, &mut fields),
        Ok(httparse::Status::Complete(_))
    )
}

fn read_error(error: &io::Error) -> Rejection {
    match error.kind() {
        io::ErrorKind::TimedOut => Rejection::Status(408),
        _ => Rejection::Disconnected,
    }
}

fn error(rejection: Rejection) -> io::Error {
    match rejection {
        Rejection::Disconnected => {
            io::Error::new(io::ErrorKind::UnexpectedEof, "the client disconnected")
        }
        Rejection::Status(408) => {
            io::Error::new(io::ErrorKind::TimedOut, "timed out while reading the body")
        }
        Rejection::Status(413) => io::Error::new(
            io::ErrorKind::FileTooLarge,
            "the body exceeds the size limit",
        ),
        Rejection::Status(_) => io::Error::new(
            io::ErrorKind::InvalidData,
            "the body's chunks are malformed",
        ),
    }
}
