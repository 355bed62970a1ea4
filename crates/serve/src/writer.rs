//! Writes responses.

use std::io::{self, Read, Write as _};

use super::Response;
use super::date::DateCache;
use super::response::Payload;
use super::wire::{TimeBudget, Wire};

/// The size of one read from a response's reader.
const BUFFER_BYTES: usize = 8 * 1024;

/// How the request affects the format of the response.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) is_head: bool,
    pub(super) is_http_10: bool,
    pub(super) close: bool,
}

/// What happens to the connection after a response.
pub(super) enum After {
    Next,
    /// Close after the client has read the response.
    Close,
    Abort,
}

/// An error response from the server itself, without a body; the connection then closes.
pub(super) fn rejection(status: u16, date: &DateCache) -> Vec<u8> {
    let mut out = status_line(status, 0);
    put_date(&mut out, date);
    out.extend_from_slice(b"content-length: 0\r\nconnection: close\r\n\r\n");
    out
}

pub(super) fn write(
    wire: &Wire,
    response: Response,
    form: Form,
    mut budget: TimeBudget,
) -> io::Result<After> {
    let is_bare = form.is_head || matches!(response.status, 204 | 304);
    let mut out = head(&response, form, &wire.date);
    match response.payload {
        #[cfg(feature = "testing")]
        Payload::Raw(bytes) => return wire.write_all(&bytes, &mut budget).map(|()| After::Close),
        #[cfg(feature = "testing")]
        Payload::Reset => {
            #[cfg(target_os = "linux")]
            rustix::net::sockopt::set_socket_linger(
                wire.guard().stream(),
                Some(std::time::Duration::ZERO),
            )?;
            return Ok(After::Abort);
        }
        _ if is_bare => wire.write_all(&out, &mut budget)?,
        Payload::Bytes(bytes) => {
            let (first, rest) = bytes.split_at(bytes.len().min(BUFFER_BYTES));
            out.extend_from_slice(first);
            wire.write_all(&out, &mut budget)?;
            wire.write_all(rest, &mut budget)?;
        }
        Payload::Reader(reader, length) => {
            wire.write_all(&out, &mut budget)?;
            match length {
                Some(length) => counted(wire, reader, length, &mut budget)?,
                None => uncounted(wire, reader, form.is_http_10, &mut budget)?,
            }
        }
    }
    Ok(if form.close {
        After::Close
    } else {
        After::Next
    })
}

fn head(response: &Response, form: Form, date: &DateCache) -> Vec<u8> {
    let status = response.status;
    let length = match &response.payload {
        Payload::Bytes(bytes) => Some(bytes.len() as u64),
        Payload::Reader(_, length) => *length,
        #[cfg(feature = "testing")]
        Payload::Raw(_) | Payload::Reset => None,
    };
    // Space for the fields, and for a body that is sent together with the head.
    let room = match &response.payload {
        Payload::Bytes(bytes) => bytes.len().min(BUFFER_BYTES),
        _ => 0,
    };
    let mut head = status_line(status, room);
    let mut has_date = false;
    for (name, value) in &response.fields {
        has_date |= name.eq_ignore_ascii_case("date");
        put_field(&mut head, name, value);
    }
    if !has_date {
        put_date(&mut head, date);
    }
    if form.close {
        put_field(&mut head, "connection", b"close");
    }
    match length {
        _ if matches!(status, 204 | 304) => {}
        Some(length) => {
            head.extend_from_slice(b"content-length: ");
            put_number(&mut head, length);
            head.extend_from_slice(b"\r\n");
        }
        None if form.is_http_10 => {}
        None => put_field(&mut head, "transfer-encoding", b"chunked"),
    }
    head.extend_from_slice(b"\r\n");
    head
}

fn status_line(status: u16, room: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + room);
    out.extend_from_slice(b"HTTP/1.1 ");
    put_number(&mut out, status.into());
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
    out
}

fn put_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn put_date(out: &mut Vec<u8>, date: &DateCache) {
    if let Some(date) = date.now() {
        put_field(out, "date", &date);
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn counted(wire: &Wire, reader: impl Read, length: u64, budget: &mut TimeBudget) -> io::Result<()> {
    let mut reader = reader.take(length);
    let mut piece = vec![0; BUFFER_BYTES];
    loop {
        match read(&mut reader, &mut piece)? {
            0 if reader.limit() > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            0 => {
                // Read once more to reach the end: only then does a body from another
                // server release its connection.
                let _ = read(reader.get_mut(), &mut piece[..1]);
                return Ok(());
            }
            bytes => wire.write_all(&piece[..bytes], budget)?,
        }
    }
}

fn uncounted(
    wire: &Wire,
    mut reader: impl Read,
    is_http_10: bool,
    budget: &mut TimeBudget,
) -> io::Result<()> {
    let mut piece = vec![0; BUFFER_BYTES];
    let mut out = Vec::new();
    loop {
        let bytes = read(&mut reader, &mut piece)?;
        out.clear();
        if is_http_10 {
            out.extend_from_slice(&piece[..bytes]);
        } else {
            // The final empty chunk ends the body.
            write!(out, "{bytes:x}\r\n")?;
            out.extend_from_slice(&piece[..bytes]);
            out.extend_from_slice(b"\r\n");
        }
        wire.write_all(&out, budget)?;
        if bytes == 0 {
            return Ok(());
        }
    }
}

fn read(reader: &mut impl Read, piece: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
