//! Forwarding: the request's header fields to the model, the response to the caller.

use std::io::{self, Read};

use satellite_sdk::serve::{Request, Response};

use crate::model::ModelResponse;
use crate::monitoring::Call;

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

/// The caller's header fields, as header lines for the model. If spans are exported, the trace
/// context of a monitored call is the gateway's own.
pub fn request_headers(request: &Request<'_>, call: &Call) -> Vec<u8> {
    let named = named_by_connection(request.headers_bytes());
    let mut lines = Vec::with_capacity(512);
    let mut has_type = false;
    let (trace, replaced) = call.trace().unzip();
    let replaced = replaced.unwrap_or_default();
    for (name, value) in request.headers_bytes() {
        let is = |known: &&str| known.eq_ignore_ascii_case(name);
        let mut own = GATEWAY_FIELDS.iter().chain(replaced);
        if !is_hop_by_hop(name, &named) && !own.any(is) {
            has_type |= is(&"content-type");
            push_header(&mut lines, name, value);
        }
    }
    if !has_type {
        push_header(&mut lines, "content-type", b"application/json");
    }
    if let Some(header) = trace {
        push_header(&mut lines, "traceparent", &header);
    }
    lines
}

/// The model's response, for the caller. The call is over when it is complete.
pub fn response(model_response: ModelResponse, mut call: Call) -> Response {
    let all = model_response.fields.iter();
    let named = named_by_connection(all.map(|(name, value)| (name.as_str(), value.as_slice())));
    let mut response = Response::new(model_response.status);
    for (name, value) in model_response.fields {
        if !is_hop_by_hop(&name, &named) {
            response = response.header_bytes(name, value);
        }
    }
    call.answered(model_response.status);
    response = call.with_id(response);
    let mut body = model_response.body;
    let length = body.length();
    match body.arrived() {
        Some(bytes) => {
            call.add_response(&bytes);
            response.body(bytes)
        }
        None => {
            let call = Some(call);
            response.reader(WithCall { body, call }, length)
        }
    }
}

/// A response body that is counted in its call, and that ends the call.
struct WithCall<R> {
    body: R,
    call: Option<Call>,
}

impl<R: Read> Read for WithCall<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.body.read(buffer);
        match (&read, &mut self.call) {
            // At its end the call is over: the client may still be reading.
            (Ok(0), call) if !buffer.is_empty() => *call = None,
            (Ok(bytes), Some(call)) => call.add_response(&buffer[..*bytes]),
            (Err(_), Some(call)) => call.broke_off(),
            _ => {}
        }
        read
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
