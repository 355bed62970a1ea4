//! The client for model servers.

mod capture;
mod connection;
mod fault;
mod pool;
mod response;

pub use capture::Capture;
pub use fault::Fault;
pub use response::ModelResponse;

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use satellite_sdk::serve::Body;
use serde_json::Value;

use self::connection::Connection;
use self::pool::Pool;

/// Sends requests to model servers over loopback, on keep-alive connections.
///
/// This is a separate client, and not ureq, for two reasons. The response of a model that does
/// not read a body to its end (413, 503) has to be forwarded while the caller still sends, and
/// every call through the gateway pays for the client: ureq takes 6.5 µs of CPU for a call
/// without any I/O, and 7 system calls more.
#[derive(Debug, Clone, Default)]
pub struct Models(Arc<Pool>);

const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum time until a model responds, and between two parts of its response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(300);

/// Maximum size of a manifest or an OpenAPI document.
const DOCUMENT_LIMIT: u64 = 4 * 1024 * 1024;

/// Bytes of a body that are read from the caller at a time.
const CHUNK: usize = 16 * 1024;

/// How often to check for an early response while the caller pauses within a body.
const EARLY_RESPONSE_POLL: Duration = Duration::from_millis(50);

/// The body of a request to a model.
pub enum RequestBody<'a, 'b> {
    /// These slices, concatenated.
    Slices(&'a [&'a [u8]]),
    /// The caller's body, of this length, or chunked; and what is to see it as it passes.
    Stream(&'a mut Body<'b>, Option<u64>, Option<&'a mut Capture>),
}

impl Models {
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether its health check succeeds.
    pub fn is_healthy(&self, port: u16) -> bool {
        self.get(port, "/healthz")
            .is_ok_and(|(status, _)| status == 200)
    }

    /// Reads one of its JSON documents, if it can be read.
    pub fn document(&self, port: u16, path: &str) -> Option<Value> {
        self.find_document(port, path).ok().flatten()
    }

    /// Reads one of its JSON documents; `None` if it has none.
    ///
    /// # Errors
    /// Says why that is not known.
    pub fn find_document(&self, port: u16, path: &str) -> Result<Option<Value>, String> {
        match self.get(port, path) {
            Ok((200, body)) => {
                let document = serde_json::from_slice(&body);
                document.map(Some).map_err(|e| format!("{path}: {e}"))
            }
            Ok((404, _)) => Ok(None),
            Ok((status, _)) => Err(format!("{path}: status {status}")),
            Err(fault) => Err(format!("{path}: {fault}")),
        }
    }

    /// Forwards a request. `fields` are complete header lines. The response's body is not read
    /// yet, and the response may arrive before the request was sent completely.
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
            RequestBody::Stream(body, length, capture) => {
                end_head(&mut out, length);
                send_stream(&mut connection, out, (body, length), capture)
            }
        }?;
        if !whole {
            connection.keep_alive = false;
        }
        ModelResponse::read(connection, self.0.clone()).map_err(Fault::Model)
    }

    fn get(&self, port: u16, path: &str) -> Result<(u16, Vec<u8>), Fault> {
        let begun = Instant::now();
        let mut connection = self.0.connection(port, PROBE_TIMEOUT)?;
        let mut out = head("GET", path, port);
        out.extend_from_slice(b"\r\n");
        connection.send(&out).map_err(Fault::Model)?;
        let response = ModelResponse::read(connection, self.0.clone()).map_err(Fault::Model)?;
        let (mut body, mut reader) = (Vec::new(), response.body.take(DOCUMENT_LIMIT + 1));
        while reader
            .by_ref()
            .take(64 * 1024)
            .read_to_end(&mut body)
            .map_err(Fault::Model)?
            > 0
        {
            // A document that arrives slowly must not block the caller.
            if begun.elapsed() > 2 * PROBE_TIMEOUT || body.len() as u64 > DOCUMENT_LIMIT {
                let text = format!("{path} is too large, or took too long");
                return Err(Fault::Model(io::Error::other(text)));
            }
        }
        Ok((response.status, body))
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

/// False if the model responded, or closed the connection, before everything was sent.
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

/// The same for the caller's body.
fn send_stream(
    connection: &mut Connection,
    mut out: Vec<u8>,
    (body, length): (&mut Body<'_>, Option<u64>),
    mut capture: Option<&mut Capture>,
) -> Result<bool, Fault> {
    // Four hexadecimal digits and CR LF: no chunk is larger.
    let chunk_head = if length.is_none() { 6 } else { 0 };
    let mut used = out.len();
    let mut left = length.unwrap_or(u64::MAX);
    while left > 0 {
        // The caller may have paused to wait for a response that has already arrived.
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
        if let Some(capture) = &mut capture {
            capture.add(&piece[..bytes]);
        }
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
        // A small body is sent together with its head.
        if used >= CHUNK || (left > 0 && length.is_some()) {
            if !connection.send(&out[..used]).map_err(Fault::Model)? {
                return Ok(false);
            }
            used = 0;
        }
    }
    connection.send(&out[..used]).map_err(Fault::Model)
}
