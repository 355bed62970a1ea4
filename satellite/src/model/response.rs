//! A model server's response: the parsed head, and the body as a stream.

use std::io::{self, Read};
use std::sync::Arc;

use super::connection::Connection;
use super::pool::Pool;

/// Maximum number of header fields.
const FIELDS: usize = 100;
/// Maximum length of a chunk's size line, or of a trailer field.
const LINE_BYTES: usize = 4096;

/// A response whose body has not been read yet.
pub struct ModelResponse {
    pub status: u16,
    /// Names and values as sent.
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: ResponseBody,
}

/// The body. The connection returns to the pool once the body is read to its end.
pub struct ResponseBody {
    connection: Option<Connection>,
    pool: Arc<Pool>,
    rest: Rest,
}

/// The part of the body that has not been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Length(u64),
    /// Bytes left in the current chunk.
    Chunk(u64),
    FirstChunk,
    /// Everything until the model closes the connection.
    ToTheEnd,
}

impl ModelResponse {
    /// Waits for the response to the request that was sent on `connection`.
    pub fn read(mut connection: Connection, pool: Arc<Pool>) -> io::Result<Self> {
        loop {
            let head = match parse(connection.buffered()) {
                Ok(Some(head)) => head,
                Ok(None) => {
                    connection.fill_head()?;
                    continue;
                }
                Err(text) => return Err(io::Error::new(io::ErrorKind::InvalidData, text)),
            };
            connection.consume(head.bytes);
            // Skips interim responses, such as 100 or 103.
            if head.status >= 200 {
                connection.keep_alive &= head.keep_alive;
                return Ok(ModelResponse {
                    status: head.status,
                    fields: head.fields,
                    body: ResponseBody {
                        connection: Some(connection),
                        pool,
                        rest: head.rest,
                    },
                });
            }
        }
    }
}

impl ResponseBody {
    /// `None` if the body is chunked or ends with the connection.
    pub fn length(&self) -> Option<u64> {
        match self.rest {
            Rest::Length(length) => Some(length),
            _ => None,
        }
    }

    /// The whole body, if it has arrived together with the head.
    pub fn arrived(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.length()?).ok()?;
        let buffered = self.connection.as_ref()?.buffered();
        let body = buffered.get(..length)?.to_vec();
        if let Some(mut connection) = self.connection.take() {
            connection.consume(length);
            self.rest = Rest::Length(0);
            self.put_back(connection);
        }
        Some(body)
    }

    fn put_back(&self, connection: Connection) {
        // Unexpected data after a response: do not reuse the connection.
        if connection.keep_alive && connection.buffered().is_empty() {
            self.pool.put_back(connection);
        }
    }

    fn advance(&mut self, connection: &mut Connection, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = match self.rest {
                Rest::ToTheEnd => return connection.read(out),
                Rest::Length(0) => return Ok(0),
                Rest::Length(left) => left,
                Rest::FirstChunk => {
                    self.next_chunk(connection)?;
                    continue;
                }
                Rest::Chunk(0) => {
                    if !line(connection)?.is_empty() {
                        return Err(malformed());
                    }
                    self.next_chunk(connection)?;
                    continue;
                }
                Rest::Chunk(left) => left,
            };
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
            let bytes = connection.read(&mut out[..most])?;
            if bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let left = left - bytes as u64;
            self.rest = match self.rest {
                Rest::Chunk(_) => Rest::Chunk(left),
                _ => Rest::Length(left),
            };
            return Ok(bytes);
        }
    }

    fn next_chunk(&mut self, connection: &mut Connection) -> io::Result<()> {
        let head = line(connection)?;
        let size = head.split(|&byte| byte == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(size.trim_ascii()).ok();
        let size = size.filter(|size| size.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let size = size.and_then(|size| u64::from_str_radix(size, 16).ok());
        self.rest = match size.ok_or_else(malformed)? {
            0 => {
                // Trailers are not forwarded.
                for _ in 0..FIELDS {
                    if line(connection)?.is_empty() {
                        self.rest = Rest::Length(0);
                        return Ok(());
                    }
                }
                return Err(malformed());
            }
            size => Rest::Chunk(size),
        };
        Ok(())
    }
}

impl Read for ResponseBody {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let Some(mut connection) = self.connection.take() else {
            return Ok(0);
        };
        // After an error the connection is dropped.
        let bytes = self.advance(&mut connection, out)?;
        let is_over = self.rest == Rest::Length(0) || bytes == 0;
        match is_over {
            true => self.put_back(connection),
            false => self.connection = Some(connection),
        }
        Ok(bytes)
    }
}

/// A status line and header fields.
struct Head {
    status: u16,
    keep_alive: bool,
    /// The length of the head.
    bytes: usize,
    fields: Vec<(String, Vec<u8>)>,
    rest: Rest,
}

/// Parses the head; `None` if it is incomplete.
fn parse(bytes: &[u8]) -> Result<Option<Head>, String> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("its response is not valid HTTP: {error}")),
    };
    let status = parsed.code.unwrap_or_default();
    if status < 100 || status == 101 {
        return Err(format!("it responded with status {status}"));
    }
    let (mut lengths, mut codings, mut closes) = (None, None, parsed.version == Some(0));
    for field in parsed.headers.iter() {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            if lengths
                .replace(field.value)
                .is_some_and(|before| before != field.value)
            {
                return Err("its response has two content lengths".into());
            }
        } else if is("transfer-encoding") {
            if codings.replace(field.value).is_some() {
                return Err("its response has two transfer codings".into());
            }
        } else if is("connection") {
            let mut items = field.value.split(|&byte| byte == b',');
            closes |= items.any(|item| item.trim_ascii().eq_ignore_ascii_case(b"close"));
        }
    }
    let rest = match (codings, lengths) {
        _ if status < 200 || matches!(status, 204 | 304) => Rest::Length(0),
        (Some(coding), _) if coding.eq_ignore_ascii_case(b"chunked") => Rest::FirstChunk,
        (Some(_), _) => return Err("its response has an unknown transfer coding".into()),
        (None, Some(length)) => {
            let text = std::str::from_utf8(length).ok();
            let text = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let length = text.and_then(|text| text.parse().ok());
            Rest::Length(length.ok_or("the content length of its response is not a number")?)
        }
        (None, None) => Rest::ToTheEnd,
    };
    let fields = parsed.headers.iter();
    Ok(Some(Head {
        status,
        // A response with both framings is ambiguous: its connection is not reused.
        keep_alive: !closes && rest != Rest::ToTheEnd && !(codings.is_some() && lengths.is_some()),
        bytes: length,
        fields: fields
            .map(|field| (field.name.to_owned(), field.value.to_owned()))
            .collect(),
        rest,
    }))
}

/// Reads one line, without its line ending.
fn line(connection: &mut Connection) -> io::Result<Vec<u8>> {
    loop {
        let buffered = connection.buffered();
        if let Some(end) = buffered.iter().position(|&byte| byte == b'\n') {
            let line = buffered[..end].strip_suffix(b"\r").ok_or_else(malformed)?;
            let line = line.to_vec();
            connection.consume(end + 1);
            return Ok(line);
        }
        if buffered.len() > LINE_BYTES {
            return Err(malformed());
        }
        if connection.fill()? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn malformed() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "its chunked encoding is malformed",
    )
}
