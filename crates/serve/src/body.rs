use std::io::{self, Read};
use std::time::Duration;

use super::Limits;
use super::connections::Stage;
use super::head::{Framing, Head, Refusal};
use super::wire::{Patience, Wire};

/// A chunk's size and extensions, or one trailer field.
const LINE_BYTES: usize = 256;
/// Trailer fields are read over, not kept.
const TRAILERS: usize = 16;
/// What is read over of a body that the service left unread, to keep the connection.
const DRAIN_BYTES: u64 = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// A request's body, bounded by [`Limits::body_bytes`] and [`Limits::body_time`].
///
/// Reading fails with [`InvalidData`](io::ErrorKind::InvalidData) for malformed chunks,
/// [`FileTooLarge`](io::ErrorKind::FileTooLarge), [`TimedOut`](io::ErrorKind::TimedOut), or
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) for a client that left. A service can stop
/// there: its client is answered 400, 413, 408 or not at all, whatever the service answers.
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
    rest: Rest,
    /// Whole bytes announced so far, against the limit.
    announced: u64,
    limit: u64,
    patience: Patience,
    write_patience: Patience,
    begun: bool,
    owes_continue: bool,
    refusal: Option<Refusal>,
}

/// What is still to come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
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
    ) -> Result<Body<'a>, Refusal> {
        let rest = match head.framing {
            Framing::Length(0) => Rest::Nothing,
            Framing::Length(length) if length > limits.body_bytes => {
                return Err(Refusal::Status(413));
            }
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => Rest::FirstChunk,
        };
        Ok(Body {
            wire,
            rest,
            announced: 0,
            limit: limits.body_bytes,
            patience: Patience(limits.body_time),
            write_patience: Patience(limits.write_time),
            begun: false,
            owes_continue: head.expects_continue,
            refusal: None,
        })
    }

    /// Waits for `limit` at most; false when there was nothing to read by then. What is to be
    /// read may also be the end, or an error.
    ///
    /// For a service that has something else to look after while its client pauses.
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
        let is_over = self.refusal.is_some() || self.rest == Rest::Nothing;
        if is_over || !self.wire.buffered().is_empty() {
            return true;
        }
        if let Err(refusal) = self.begin() {
            self.refusal = Some(refusal);
            return true;
        }
        match self.wire.has_bytes_within(limit, &mut self.patience) {
            Ok(is_readable) => is_readable,
            Err(error) => {
                self.refusal = Some(late_or_gone(&error));
                true
            }
        }
    }

    pub(super) fn wire(&self) -> &Wire {
        self.wire
    }

    /// Why the body could not be read, if it could not.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// Whether the next request can follow once [`drain`](Body::drain) has been called.
    pub(super) fn is_drainable(&self) -> bool {
        let is_short = match self.rest {
            Rest::Nothing => return true,
            Rest::Length(left) => left <= DRAIN_BYTES,
            Rest::FirstChunk | Rest::Chunk(_) => true,
        };
        // A client that was not told to go on may send its body, or may not.
        is_short && self.refusal.is_none() && !self.owes_continue
    }

    /// Reads over what the service left; false when too much of it is left, or it is malformed.
    pub(super) fn drain(&mut self) -> bool {
        self.patience.0 = self.patience.0.min(DRAIN_TIME);
        io::copy(&mut self.by_ref().take(DRAIN_BYTES), &mut io::sink()).is_ok() && {
            // The end may be right behind the last byte that was allowed.
            self.read(&mut [0]).is_ok_and(|bytes| bytes == 0)
        }
    }

    fn begin(&mut self) -> Result<(), Refusal> {
        if self.begun {
            return Ok(());
        }
        self.begun = true;
        self.wire.place().enter(Stage::Body);
        // A client that sends already does not wait for permission.
        if std::mem::take(&mut self.owes_continue) && self.wire.buffered().is_empty() {
            let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
            self.wire
                .write_all(go_on, &mut self.write_patience)
                .map_err(|_| Refusal::Gone)?;
        }
        Ok(())
    }

    fn advance(&mut self, out: &mut [u8]) -> Result<usize, Refusal> {
        loop {
            match self.rest {
                Rest::Nothing => return Ok(0),
                Rest::Length(left) => {
                    let bytes = self.copy(out, left)?;
                    self.rest = after(left, bytes, Rest::Length, Rest::Nothing);
                    return Ok(bytes);
                }
                Rest::Chunk(left) if left > 0 => {
                    let bytes = self.copy(out, left)?;
                    self.rest = after(left, bytes, Rest::Chunk, Rest::Chunk(0));
                    return Ok(bytes);
                }
                Rest::FirstChunk => self.next_chunk()?,
                Rest::Chunk(_) => {
                    if self.line(0)?.is_empty() {
                        self.next_chunk()?;
                    }
                }
            }
        }
    }

    fn copy(&mut self, out: &mut [u8], left: u64) -> Result<usize, Refusal> {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        match self.wire.read(&mut out[..most], &mut self.patience) {
            Ok(0) => Err(Refusal::Gone),
            Ok(bytes) => Ok(bytes),
            Err(error) => Err(late_or_gone(&error)),
        }
    }

    fn next_chunk(&mut self) -> Result<(), Refusal> {
        let size = chunk_size(&self.line(LINE_BYTES)?)?;
        if size > 0 {
            self.announced = self.announced.saturating_add(size);
            if self.announced > self.limit {
                return Err(Refusal::Status(413));
            }
            self.rest = Rest::Chunk(size);
            return Ok(());
        }
        for _ in 0..=TRAILERS {
            let line = self.line(LINE_BYTES)?;
            if line.is_empty() {
                self.rest = Rest::Nothing;
                return Ok(());
            }
            if !is_field(line) {
                return Err(Refusal::Status(400));
            }
        }
        Err(Refusal::Status(431))
    }

    /// One line of at most `most` bytes, without its CR LF.
    fn line(&mut self, most: usize) -> Result<Vec<u8>, Refusal> {
        let bad = Refusal::Status(400);
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
            match self.wire.fill(LINE_BYTES, &mut self.patience) {
                Ok(0) => return Err(Refusal::Gone),
                Ok(_) => {}
                Err(error) => return Err(late_or_gone(&error)),
            }
        }
    }
}

impl Read for Body<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let read = match self.refusal {
            Some(refusal) => Err(refusal),
            None if self.rest == Rest::Nothing => Ok(0),
            None => self.begin().and_then(|()| self.advance(out)),
        };
        read.map_err(|refusal| {
            self.refusal = Some(refusal);
            error(refusal)
        })
    }
}

impl std::fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

fn after(left: u64, bytes: usize, rest: impl Fn(u64) -> Rest, end: Rest) -> Rest {
    match left.saturating_sub(bytes as u64) {
        0 => end,
        left => rest(left),
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, Refusal> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    let is_hex = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits)
        .ok()
        .filter(|digits| is_hex && digits.len() <= 16);
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or(Refusal::Status(400))
}

fn is_field(mut line: Vec<u8>) -> bool {
    line.extend_from_slice(b"\r\n\r\n");
    let mut fields = [httparse::EMPTY_HEADER];
    matches!(
        httparse::parse_headers(&line, &mut fields),
        Ok(httparse::Status::Complete(_))
    )
}

fn late_or_gone(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::TimedOut => Refusal::Status(408),
        _ => Refusal::Gone,
    }
}

fn error(refusal: Refusal) -> io::Error {
    match refusal {
        Refusal::Gone => io::Error::new(io::ErrorKind::UnexpectedEof, "the client left"),
        Refusal::Status(408) => io::Error::new(io::ErrorKind::TimedOut, "the body took too long"),
        Refusal::Status(413) => io::Error::new(
            io::ErrorKind::FileTooLarge,
            "the body is larger than allowed",
        ),
        Refusal::Status(_) => io::Error::new(
            io::ErrorKind::InvalidData,
            "the body's chunks are malformed",
        ),
    }
}
