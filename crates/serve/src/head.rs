//! The request line and the header fields: read within bounds, parsed without mercy.

use std::io;

use super::Limits;
use super::connections::Stage;
use super::wire::{Patience, Wire};

/// Why a request is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Answered with this status; then the connection closes.
    Status(u16),
    /// The client has left, was silent too long, or had to make room: there is nobody to answer.
    Gone,
}

pub(super) struct Head<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) fields: Vec<(&'a str, &'a str)>,
    pub(super) framing: Framing,
    pub(super) is_http_10: bool,
    pub(super) expects_continue: bool,
    pub(super) wants_close: bool,
}

/// Where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

const BAD: Refusal = Refusal::Status(400);
const TOO_LARGE: Refusal = Refusal::Status(431);

/// Waits for a whole head and takes its bytes off the wire.
pub(super) fn receive(wire: &mut Wire, limits: &Limits) -> Result<Vec<u8>, Refusal> {
    wire.place().enter(Stage::Head);
    let mut patience = Patience(limits.idle_time);
    if wire.buffered().is_empty() {
        match wire.fill(limits.head_bytes, &mut patience) {
            Ok(0) | Err(_) => return Err(Refusal::Gone),
            Ok(_) => {}
        }
    }
    patience = Patience(limits.head_time);
    let mut scan = Scan::default();
    loop {
        if let Some(end) = scan.head_end(wire.buffered())? {
            return if end <= limits.head_bytes {
                Ok(wire.take(end))
            } else {
                Err(TOO_LARGE)
            };
        }
        let room = limits.head_bytes.saturating_sub(wire.buffered().len());
        if room == 0 {
            return Err(TOO_LARGE);
        }
        match wire.fill(room, &mut patience) {
            Ok(0) => return Err(Refusal::Gone),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(Refusal::Status(408));
            }
            Err(_) => return Err(Refusal::Gone),
        }
    }
}

/// Looks at each byte once, however the head is cut into pieces.
#[derive(Default)]
struct Scan {
    at: usize,
    line_bytes: usize,
    after_cr: bool,
}

impl Scan {
    /// The offset behind the empty line, when it is there.
    fn head_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        while let Some(&byte) = bytes.get(self.at) {
            self.at += 1;
            match (self.after_cr, byte) {
                (true, b'\n') if self.line_bytes == 0 => return Ok(Some(self.at)),
                (true, b'\n') => {
                    self.after_cr = false;
                    self.line_bytes = 0;
                }
                (true, _) | (_, b'\n') => return Err(BAD),
                (_, b'\r') => self.after_cr = true,
                _ if byte.is_ascii_control() && byte != b'\t' => return Err(BAD),
                _ => self.line_bytes += 1,
            }
        }
        Ok(None)
    }
}

/// Parses the bytes that [`receive`] took off the wire.
pub(super) fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Head<'a>, Refusal> {
    let mut fields = vec![httparse::EMPTY_HEADER; limits.headers];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(end)) if end == bytes.len() => {}
        Ok(_) => return Err(BAD),
        Err(httparse::Error::TooManyHeaders) => return Err(TOO_LARGE),
        Err(httparse::Error::Version) if names_a_version(bytes) => {
            return Err(Refusal::Status(505));
        }
        Err(_) => return Err(BAD),
    }
    let method = request.method.ok_or(BAD)?;
    let target = request
        .path
        .filter(|target| is_target(method, target))
        .ok_or(BAD)?;
    let is_http_10 = request.version == Some(0);
    let fields: Vec<(&str, &str)> = request
        .headers
        .iter()
        .map(field)
        .collect::<Result<_, _>>()?;

    let host = only(&fields, "host")?;
    if !host.map_or(is_http_10, is_host) {
        return Err(BAD);
    }
    Ok(Head {
        method,
        target,
        framing: framing(&fields, is_http_10)?,
        is_http_10,
        expects_continue: !is_http_10 && expects_continue(&fields)?,
        wants_close: is_http_10 || lists(&fields, "connection", "close"),
        fields,
    })
}

impl<'a> Head<'a> {
    pub(super) fn field(&self, name: &str) -> Option<&'a str> {
        values(&self.fields, name).next()
    }
}

fn field<'a>(header: &httparse::Header<'a>) -> Result<(&'a str, &'a str), Refusal> {
    if header.name.is_empty() {
        return Err(BAD);
    }
    let value = std::str::from_utf8(header.value).map_err(|_| BAD)?;
    Ok((header.name, value.trim_matches([' ', '\t'])))
}

fn framing(fields: &[(&str, &str)], is_http_10: bool) -> Result<Framing, Refusal> {
    match (
        only(fields, "content-length")?,
        only(fields, "transfer-encoding")?,
    ) {
        (None, None) => Ok(Framing::Length(0)),
        (Some(length), None) => {
            let is_number = length.bytes().all(|byte| byte.is_ascii_digit());
            let length = length
                .parse()
                .ok()
                .filter(|_| is_number && length.len() < 20);
            length.map(Framing::Length).ok_or(BAD)
        }
        (None, Some(coding)) if !is_http_10 && coding.eq_ignore_ascii_case("chunked") => {
            Ok(Framing::Chunked)
        }
        _ => Err(BAD),
    }
}

fn expects_continue(fields: &[(&str, &str)]) -> Result<bool, Refusal> {
    match only(fields, "expect")? {
        None => Ok(false),
        Some(value) if value.eq_ignore_ascii_case("100-continue") => Ok(true),
        Some(_) => Err(Refusal::Status(417)),
    }
}

/// The value of a field that may be there once at most.
fn only<'a>(fields: &[(&str, &'a str)], name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut values = values(fields, name);
    let first = values.next();
    if values.next().is_some() {
        Err(BAD)
    } else {
        Ok(first)
    }
}

fn lists(fields: &[(&str, &str)], name: &str, item: &str) -> bool {
    values(fields, name)
        .flat_map(|value| value.split(','))
        .any(|i| i.trim().eq_ignore_ascii_case(item))
}

fn values<'a>(fields: &[(&str, &'a str)], name: &str) -> impl Iterator<Item = &'a str> {
    fields
        .iter()
        .filter(move |field| field.0.eq_ignore_ascii_case(name))
        .map(|field| field.1)
}

fn is_target(method: &str, target: &str) -> bool {
    let is_known_form = target.starts_with('/') || (target == "*" && method == "OPTIONS");
    is_known_form
        && target
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

fn is_host(host: &str) -> bool {
    host.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(&byte))
}

/// A request line that is sound but for its version.
fn names_a_version(head: &[u8]) -> bool {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    match words[..] {
        [_, _, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]] => {
            major.is_ascii_digit() && minor.is_ascii_digit()
        }
        _ => false,
    }
}
