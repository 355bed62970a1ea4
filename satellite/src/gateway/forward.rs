//! Forwarding: the request's header fields to the model, the response to the caller.

use std::io::{self, Read};
use std::sync::Arc;

use satellite_sdk::serve::{Request, Response};

use crate::model::ModelResponse;

/// Hop-by-hop fields, which are not forwarded (RFC 9110, section 7.6.1).
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

/// Request fields that the gateway itself handles: it is the host, checks the key, frames the
/// body and sends "100 Continue".
const GATEWAY_FIELDS: [&str; 4] = ["host", "authorization", "content-length", "expect"];

/// The caller's header fields, as header lines for the model.
pub fn request_headers(request: &Request<'_>) -> Vec<u8> {
    let named = named_by_connection(request.headers_bytes());
    let mut lines = Vec::with_capacity(512);
    let mut has_type = false;
    for (name, value) in request.headers_bytes() {
        let is = |known: &&str| known.eq_ignore_ascii_case(name);
        if !is_hop_by_hop(name, &named) && !GATEWAY_FIELDS.iter().any(is) {
            has_type |= is(&"content-type");
            push_header(&mut lines, name, value);
        }
    }
    if !has_type {
        push_header(&mut lines, "content-type", b"application/json");
    }
    lines
}

/// The model's response, for the caller. `call` is held until the response is complete.
pub fn response(model_response: ModelResponse, call: Arc<()>) -> Response {
    let all = model_response.fields.iter();
    let named = named_by_connection(all.map(|(name, value)| (name.as_str(), value.as_slice())));
    let mut response = Response::new(model_response.status);
    for (name, value) in model_response.fields {
        if !is_hop_by_hop(&name, &named) {
            response = response.header_bytes(name, value);
        }
    }
    let mut body = model_response.body;
    let length = body.length();
    match body.arrived() {
        Some(bytes) => response.body(bytes),
        None => response.reader(WithPermit(body, call), length),
    }
}

/// A response body that holds its call's permit until it is dropped.
struct WithPermit<R>(R, #[allow(dead_code)] Arc<()>);

impl<R: Read> Read for WithPermit<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

fn is_hop_by_hop(name: &str, named: &[Vec<u8>]) -> bool {
    let mut known = HOP_BY_HOP.iter();
    known.any(|known| known.eq_ignore_ascii_case(name))
        || named
            .iter()
            .any(|other| other.eq_ignore_ascii_case(name.as_bytes()))
}

/// The fields that `Connection` lists are hop-by-hop as well.
fn named_by_connection<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<Vec<u8>> {
    fields
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .flat_map(|(_, value)| value.split(|&byte| byte == b','))
        .map(|name| name.trim_ascii().to_vec())
        .collect()
}

fn push_header(lines: &mut Vec<u8>, name: &str, value: &[u8]) {
    lines.extend_from_slice(name.as_bytes());
    lines.extend_from_slice(b": ");
    lines.extend_from_slice(value);
    lines.extend_from_slice(b"\r\n");
}
