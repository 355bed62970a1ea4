//! What is passed on: header fields there, the answer back.

use std::io::{self, Read};
use std::sync::Arc;

use satellite_sdk::serve::{Request, Response};

use crate::model::Answer;

/// Fields that are about one connection, and end there (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields of a caller that the gateway itself is meant by: it is the host, it checks the key, it
/// frames the body and it says "100 Continue".
const OURS: [&str; 4] = ["host", "authorization", "content-length", "expect"];

/// The caller's fields, as header lines for the model.
pub fn to_the_model(request: &Request<'_>) -> Vec<u8> {
    let named = named_by_connection(request.headers_bytes());
    let mut lines = Vec::with_capacity(512);
    let mut has_type = false;
    for (name, value) in request.headers_bytes() {
        let is = |known: &&str| known.eq_ignore_ascii_case(name);
        if !ends_here(name, &named) && !OURS.iter().any(is) {
            has_type |= is(&"content-type");
            put(&mut lines, name, value);
        }
    }
    if !has_type {
        put(&mut lines, "content-type", b"application/json");
    }
    lines
}

/// The model's answer, for the caller. `call` is held until it has been passed on to its end.
pub fn to_the_caller(answer: Answer, call: Arc<()>) -> Response {
    let all = answer.fields.iter();
    let named = named_by_connection(all.map(|(name, value)| (name.as_str(), value.as_slice())));
    let mut response = Response::new(answer.status);
    for (name, value) in answer.fields {
        if !ends_here(&name, &named) {
            response = response.header_bytes(name, value);
        }
    }
    let mut body = answer.body;
    let length = body.length();
    match body.arrived() {
        Some(bytes) => response.body(bytes),
        None => response.reader(Held(body, call), length),
    }
}

/// An answer on its way, and the place that its call takes meanwhile.
struct Held<R>(R, #[allow(dead_code)] Arc<()>);

impl<R: Read> Read for Held<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

fn ends_here(name: &str, named: &[Vec<u8>]) -> bool {
    let mut known = HOP_BY_HOP.iter();
    known.any(|known| known.eq_ignore_ascii_case(name))
        || named
            .iter()
            .any(|other| other.eq_ignore_ascii_case(name.as_bytes()))
}

/// Fields that `Connection` names are about the connection as well.
fn named_by_connection<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<Vec<u8>> {
    fields
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .flat_map(|(_, value)| value.split(|&byte| byte == b','))
        .map(|name| name.trim_ascii().to_vec())
        .collect()
}

fn put(lines: &mut Vec<u8>, name: &str, value: &[u8]) {
    lines.extend_from_slice(name.as_bytes());
    lines.extend_from_slice(b": ");
    lines.extend_from_slice(value);
    lines.extend_from_slice(b"\r\n");
}
