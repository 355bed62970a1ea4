//! The request line and the header fields: read within limits, parsed strictly.

use std::borrow::Cow;
use std::io;
use std::mem::MaybeUninit;

use super::Limits;
use super::connections::Stage;
use super::wire::{TimeBudget, Wire};

/// Why a request is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// The client gets this status; then the connection closes.
    Status(u16),
    /// The client disconnected, was idle too long, or was evicted: no response is sent.
    Disconnected,
}

pub(super) struct Head<'a> {
    pub(super) method: &'a str,
    /// In origin-form, or `*`.
    pub(super) target: Cow<'a, str>,
    pub(super) fields: Vec<Field<'a>>,
    pub(super) framing: Framing,
    pub(super) is_http_10: bool,
    pub(super) expects_continue: bool,
    pub(super) wants_close: bool,
}

/// One header field.
pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    /// The value as sent, bytes above 0x7F included.
    pub(super) bytes: &'a [u8],
    /// The same as text: UTF-8, otherwise ISO 8859-1 as defined by HTTP/1.0.
    pub(super) text: Cow<'a, str>,
}

/// Where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

const BAD: Rejection = Rejection::Status(400);
const TOO_LARGE: Rejection = Rejection::Status(431);

/// Header fields that are parsed without an allocation for httparse.
const FIELDS_ON_STACK: usize = 64;

/// Waits for a complete head and moves its bytes into `head`.
pub(super) fn receive(
    wire: &mut Wire,
    head: &mut Vec<u8>,
    limits: &Limits,
) -> Result<(), Rejection> {
    wire.guard().enter(Stage::Head);
    await_first_byte(wire, limits)?;
    let mut budget = TimeBudget(limits.head_time);
    let mut scan = Scan::default();
    loop {
        if let Some(end) = scan.head_end(wire.buffered())? {
            if end > limits.head_bytes {
                return Err(TOO_LARGE);
            }
            head.clear();
            head.extend_from_slice(&wire.buffered()[..end]);
            wire.consume(end);
            return Ok(());
        }
        let room = limits.head_bytes.saturating_sub(wire.buffered().len());
        if room == 0 {
            return Err(TOO_LARGE);
        }
        match wire.fill(room, &mut budget) {
            Ok(0) => return Err(Rejection::Disconnected),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(Rejection::Status(408));
            }
            Err(_) => return Err(Rejection::Disconnected),
        }
    }
}

/// Waits for the first byte of a request. One empty line before it is ignored (RFC 9112, section
/// 2.2): some clients send one after a body.
fn await_first_byte(wire: &mut Wire, limits: &Limits) -> Result<(), Rejection> {
    let mut budget = TimeBudget(limits.idle_time);
    let mut skipped = false;
    loop {
        match wire.buffered() {
            [] | [b'\r'] if !skipped => {}
            [] => {}
            [b'\r', b'\n', ..] if !skipped => {
                wire.consume(2);
                skipped = true;
                continue;
            }
            _ => return Ok(()),
        }
        match wire.fill(limits.head_bytes, &mut budget) {
            Ok(0) | Err(_) => return Err(Rejection::Disconnected),
            Ok(_) => {}
        }
    }
}

/// Finds the end of the head; it checks each byte once, however the head is split.
#[derive(Default)]
struct Scan {
    at: usize,
    line_bytes: usize,
    after_cr: bool,
}

impl Scan {
    /// The offset after the empty line, once it has arrived.
    fn head_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Rejection> {
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

/// Parses the bytes read by [`receive`].
pub(super) fn parse<'a>(bytes: &'a mut [u8], limits: &Limits) -> Result<Head<'a>, Rejection> {
    take_minor_version(bytes);
    let bytes: &'a [u8] = bytes;
    let mut on_stack = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
    let mut on_heap = Vec::new();
    let fields = match on_stack.get_mut(..limits.headers) {
        Some(fields) => fields,
        None => {
            on_heap.resize_with(limits.headers, MaybeUninit::uninit);
            &mut on_heap[..]
        }
    };
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, fields) {
        Ok(httparse::Status::Complete(end)) if end == bytes.len() => {}
        Ok(_) => return Err(BAD),
        Err(httparse::Error::TooManyHeaders) => return Err(TOO_LARGE),
        Err(httparse::Error::Version) if names_a_version(bytes) => {
            return Err(Rejection::Status(505));
        }
        Err(_) => return Err(BAD),
    }
    let method = request.method.ok_or(BAD)?;
    let (target, authority) = request
        .path
        .and_then(|target| origin_form(method, target))
        .ok_or(BAD)?;
    let is_http_10 = request.version == Some(0);
    let mut fields = Vec::with_capacity(request.headers.len());
    for header in &*request.headers {
        fields.push(Field::of(header)?);
    }

    let known = Known::among(&fields)?;
    let has_host = match known.host {
        Some(at) => is_host(fields[at].bytes),
        None => is_http_10,
    };
    if !has_host {
        return Err(BAD);
    }
    let framing = known.framing(is_http_10)?;
    let expects_continue = match known.expect {
        Some(value) if value.eq_ignore_ascii_case(b"100-continue") => !is_http_10,
        Some(_) if !is_http_10 => return Err(Rejection::Status(417)),
        _ => false,
    };
    let wants_close = is_http_10 || known.wants_close;
    // The authority of an absolute target overrides the host (RFC 9112, section 3.2.2).
    if let (Some(authority), Some(at)) = (authority, known.host) {
        fields[at].bytes = authority.as_bytes();
        fields[at].text = authority.into();
    }
    Ok(Head {
        method,
        target,
        framing,
        is_http_10,
        expects_continue,
        wants_close,
        fields,
    })
}

impl Head<'_> {
    pub(super) fn field(&self, name: &str) -> Option<&Field<'_>> {
        let mut fields = self.fields.iter();
        fields.find(|field| field.name.eq_ignore_ascii_case(name))
    }
}

impl<'a> Field<'a> {
    fn of(header: &httparse::Header<'a>) -> Result<Self, Rejection> {
        if header.name.is_empty() {
            return Err(BAD);
        }
        let bytes = trimmed(header.value);
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
        };
        Ok(Field {
            name: header.name,
            bytes,
            text,
        })
    }
}

/// The fields that the server itself interprets, found in one pass.
#[derive(Default)]
struct Known<'a> {
    /// Its index.
    host: Option<usize>,
    content_length: Option<&'a [u8]>,
    transfer_encoding: Option<&'a [u8]>,
    expect: Option<&'a [u8]>,
    wants_close: bool,
}

impl<'a> Known<'a> {
    fn among(fields: &[Field<'a>]) -> Result<Self, Rejection> {
        let mut known = Known::default();
        for (at, field) in fields.iter().enumerate() {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            let before = match field.name.len() {
                4 if is("host") => known.host.replace(at).is_some(),
                6 if is("expect") => known.expect.replace(field.bytes).is_some(),
                14 if is("content-length") => known.content_length.replace(field.bytes).is_some(),
                17 if is("transfer-encoding") => {
                    known.transfer_encoding.replace(field.bytes).is_some()
                }
                10 if is("connection") => {
                    known.wants_close |=
                        items(field.bytes).any(|item| item.eq_ignore_ascii_case(b"close"));
                    false
                }
                _ => false,
            };
            // Each of these may occur at most once.
            if before {
                return Err(BAD);
            }
        }
        Ok(known)
    }

    fn framing(&self, is_http_10: bool) -> Result<Framing, Rejection> {
        match (self.content_length, self.transfer_encoding) {
            (None, None) => Ok(Framing::Length(0)),
            (Some(length), None) => {
                let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
                let length = std::str::from_utf8(length)
                    .ok()
                    .filter(|length| is_number && length.len() < 20);
                let length = length.and_then(|length| length.parse().ok());
                length.map(Framing::Length).ok_or(BAD)
            }
            (None, Some(codings)) if !is_http_10 => chunked(codings),
            _ => Err(BAD),
        }
    }
}

/// Only `chunked` is supported. With other codings before it the end of the body is still clear:
/// 501. Anything else is ambiguous: 400.
fn chunked(codings: &[u8]) -> Result<Framing, Rejection> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let Some(comma) = codings.iter().rposition(|&byte| byte == b',') else {
        return is_chunked(codings).then_some(Framing::Chunked).ok_or(BAD);
    };
    let is_other = |coding: &[u8]| {
        let name = coding.split(|&byte| byte == b';').next();
        let name = trimmed(name.unwrap_or_default());
        !name.is_empty() && name.iter().all(|&byte| is_token_byte(byte)) && !is_chunked(name)
    };
    let is_valid =
        is_chunked(trimmed(&codings[comma + 1..])) && items(&codings[..comma]).all(is_other);
    Err(if is_valid {
        Rejection::Status(501)
    } else {
        BAD
    })
}

fn items(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',').map(trimmed)
}

fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

pub(super) fn is_token_byte(byte: u8) -> bool {
    let is_mark =
        matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~');
    byte.is_ascii_alphanumeric() || is_mark
}

/// Returns the target as a path with its query, and the authority of an absolute target.
fn origin_form<'a>(method: &str, target: &'a str) -> Option<(Cow<'a, str>, Option<&'a str>)> {
    let is_valid = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if !target.bytes().all(is_valid) {
        return None;
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Some((target.into(), None));
    }
    let (scheme, rest) = target.split_once("://")?;
    if !["http", "https"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    {
        return None;
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if authority.is_empty() || authority.starts_with(':') || !is_host(authority.as_bytes()) {
        return None;
    }
    let path = match path {
        "" if method == "OPTIONS" => "*".into(),
        "" => "/".into(),
        query if query.starts_with('?') => format!("/{query}").into(),
        path => path.into(),
    };
    Some((path, Some(authority)))
}

/// The characters of a host and a port, sub-delims included; no user information.
fn is_host(host: &[u8]) -> bool {
    let is_host_byte =
        |&byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(&byte);
    host.iter().all(is_host_byte)
}

/// A later HTTP/1.x is read as HTTP/1.1, the highest that is known here (RFC 9110, section 2.5).
fn take_minor_version(head: &mut [u8]) {
    let Some(end) = head.iter().position(|&byte| byte == b'\r') else {
        return;
    };
    if let [
        ..,
        b' ',
        b'H',
        b'T',
        b'T',
        b'P',
        b'/',
        b'1',
        b'.',
        minor @ b'2'..=b'9',
    ] = &mut head[..end]
    {
        *minor = b'1';
    }
}

/// Whether the request line is valid except for its version.
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
