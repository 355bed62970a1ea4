//! A model server, as seen from this host.

mod connection;
mod pool;
mod response;

pub use response::ModelResponse;

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use satellite_sdk::serve::Body;
use serde_json::Value;

use self::connection::Connection;
use self::pool::Pool;

/// Asks model servers over loopback, on kept connections.
///
/// This is a client of its own, and not ureq, for two reasons. The answer of a model that does
/// not read a body to its end (413, 503) has to be passed on while the caller still sends, and
/// the gateway stands between a caller and a model, where every call pays: ureq takes 6.5 µs of
/// CPU for a call without any I/O, and 7 system calls more.
#[derive(Debug, Clone, Default)]
pub struct Models(Arc<Pool>);

const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// A model may think for this long about one request, and pause so long in an answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(300);

/// A manifest or an OpenAPI document is not larger than this.
const DOCUMENT_LIMIT: u64 = 4 * 1024 * 1024;

/// Bytes of a body that are read from the caller at a time.
const CHUNK: usize = 16 * 1024;

/// How often a model is asked for an early answer while its caller pauses within a body.
const EARLY_RESPONSE_POLL: Duration = Duration::from_millis(50);

/// Why there is no answer.
#[derive(Debug)]
pub enum Fault {
    /// Nobody listens at the port.
    Refused,
    /// The caller left, or its body could not be read: not the model's fault.
    Caller(io::Error),
    Model(io::Error),
}

/// A body on its way to a model.
pub enum RequestBody<'a, 'b> {
    /// These pieces, one behind the other.
    Slices(&'a [&'a [u8]]),
    /// What the caller sends, of this length or in chunks.
    Stream(&'a mut Body<'b>, Option<u64>),
}

impl Models {
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it says that it is healthy.
    pub fn is_healthy(&self, port: u16) -> bool {
        self.get(port, "/healthz")
            .is_ok_and(|(status, _)| status == 200)
    }

    /// A JSON document that it offers.
    pub fn document(&self, port: u16, path: &str) -> Option<Value> {
        let (status, body) = self.get(port, path).ok()?;
        let document = serde_json::from_slice(&body).ok()?;
        (status == 200).then_some(document)
    }

    /// Passes a request on; the answer's body is still to be read. `fields` are whole header
    /// lines. The answer can come before the body was sent to its end.
    pub fn compute(
        &self,
        port: u16,
        fields: &[u8],
        sent: RequestBody<'_, '_>,
    ) -> Result<ModelResponse, Fault> {
        let mut connection = self.0.connection(port, RESPONSE_TIMEOUT)?;
        let mut out = head("POST", "/compute", port);
        out.extend_from_slice(fields);
        let whole = match sent {
            RequestBody::Slices(pieces) => {
                let length: usize = pieces.iter().map(|piece| piece.len()).sum();
                end_head(&mut out, Some(length as u64));
                send_pieces(&mut connection, out, pieces)
            }
            RequestBody::Stream(body, length) => {
                end_head(&mut out, length);
                send_stream(&mut connection, out, body, length)
            }
        }?;
        if !whole {
            connection.keep_alive = false;
        }
        connection.answer(self.0.clone()).map_err(Fault::Model)
    }

    fn get(&self, port: u16, path: &str) -> Result<(u16, Vec<u8>), Fault> {
        let begun = Instant::now();
        let mut connection = self.0.connection(port, PROBE_TIMEOUT)?;
        let mut out = head("GET", path, port);
        out.extend_from_slice(b"\r\n");
        connection.send(&out).map_err(Fault::Model)?;
        let answer = connection.answer(self.0.clone()).map_err(Fault::Model)?;
        let (mut body, mut reader) = (Vec::new(), answer.body.take(DOCUMENT_LIMIT + 1));
        while reader
            .by_ref()
            .take(64 * 1024)
            .read_to_end(&mut body)
            .map_err(Fault::Model)?
            > 0
        {
            // A document that drips in must not hold up what waits for it.
            if begun.elapsed() > 2 * PROBE_TIMEOUT || body.len() as u64 > DOCUMENT_LIMIT {
                let text = format!("{path} is too large or too slow");
                return Err(Fault::Model(io::Error::other(text)));
            }
        }
        Ok((answer.status, body))
    }
}

fn head(method: &str, path: &str, port: u16) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nhost: 127.0.0.1:");
    out.extend_from_slice(port.to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
    out
}

fn end_head(out: &mut Vec<u8>, length: Option<u64>) {
    match length {
        Some(length) => {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(length.to_string().as_bytes());
        }
        None => out.extend_from_slice(b"transfer-encoding: chunked"),
    }
    out.extend_from_slice(b"\r\n\r\n");
}

/// False when the model answered, or closed, before all was sent.
fn send_pieces(
    connection: &mut Connection,
    mut out: Vec<u8>,
    pieces: &[&[u8]],
) -> Result<bool, Fault> {
    for piece in pieces {
        if out.len() + piece.len() <= CHUNK {
            out.extend_from_slice(piece);
            continue;
        }
        for bytes in [&out[..], piece] {
            if !connection.send(bytes).map_err(Fault::Model)? {
                return Ok(false);
            }
        }
        out.clear();
    }
    connection.send(&out).map_err(Fault::Model)
}

/// The same for what the caller sends.
fn send_stream(
    connection: &mut Connection,
    mut out: Vec<u8>,
    body: &mut Body<'_>,
    length: Option<u64>,
) -> Result<bool, Fault> {
    // Four hexadecimal digits and CR LF: a piece is never longer.
    let chunk_head = if length.is_none() { 6 } else { 0 };
    let mut used = out.len();
    let mut left = length.unwrap_or(u64::MAX);
    while left > 0 {
        // The caller may have paused, and wait for the very answer that is there already.
        while !body.wait_for_bytes(EARLY_RESPONSE_POLL) {
            let sent = connection.send(&out[..used]).map_err(Fault::Model)?;
            used = 0;
            if !sent || connection.has_response() {
                return Ok(false);
            }
        }
        let begin = used + chunk_head;
        let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        if out.len() < begin + most + 2 {
            out.resize(begin + most + 2, 0);
        }
        let piece = &mut out[begin..begin + most];
        let bytes = body.read(piece).map_err(Fault::Caller)?;
        let mut end = begin + bytes;
        if length.is_none() {
            let size = format!("{bytes:04x}\r\n");
            out[used..begin].copy_from_slice(size.as_bytes());
            out[end..end + 2].copy_from_slice(b"\r\n");
            end += 2;
        }
        used = end;
        if bytes == 0 {
            break;
        }
        left -= bytes as u64;
        // A small body goes out at once, with its head.
        if used >= CHUNK || (left > 0 && length.is_some()) {
            if !connection.send(&out[..used]).map_err(Fault::Model)? {
                return Ok(false);
            }
            used = 0;
        }
    }
    connection.send(&out[..used]).map_err(Fault::Model)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Refused => f.write_str("nobody listens at its port"),
            Fault::Caller(error) => write!(f, "the caller's body: {error}"),
            Fault::Model(error) => error.fmt(f),
        }
    }
}
