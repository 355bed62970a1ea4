//! A proxy to a real server that modifies requests.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use satellite_sdk::serve::Request;

/// Forwards this request with `api_version` instead of the client's version, and returns
/// the server's response byte for byte.
pub fn forwarded(to: (Ipv4Addr, u16), request: &mut Request<'_>, api_version: u32) -> Vec<u8> {
    let body = request.read_body().unwrap();
    let mut head = format!("{} {} HTTP/1.1\r\n", request.method(), request.target());
    for (name, value) in request.headers() {
        match name.to_ascii_lowercase().as_str() {
            "connection" | "content-length" | "transfer-encoding" => {}
            "x-skypilot-api-version" => head += &format!("{name}: {api_version}\r\n"),
            _ => head += &format!("{name}: {value}\r\n"),
        }
    }
    head += &format!(
        "content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(to).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}
