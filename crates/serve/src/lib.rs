//! A small, strict, bounded HTTP/1.1 server for satellites that serve requests.
//!
//! It uses one thread per connection, at most [`Limits::connections`] of them, and limits bytes
//! or time of everything that a client can send, delay or leave unread. It rejects ambiguous
//! requests, which two parsers could interpret differently, and never repairs them.
//!
//! ```
//! use satellite_serve::{Limits, Response, Server};
//!
//! let server = Server::bind("127.0.0.1:0", Limits::default(), |request| {
//!     match (request.method(), request.path()) {
//!         ("GET", "/healthz") => Response::json(200, r#"{"status":"healthy"}"#),
//!         _ => Response::new(404),
//!     }
//! })?;
//! println!("listening on {}", server.addr());
//! # std::io::Result::Ok(())
//! ```
//!
//! Rejected requests. The response repeats nothing of the request, and the connection is closed:
//!
//! | status | when |
//! |---|---|
//! | 400 | line ends other than CR LF; folded, nameless or malformed fields; control characters; a target that is neither a path nor an `http` or `https` URL without user information (`*` for OPTIONS); no `Host`, or two; a `Content-Length` that is repeated, not a number, or beside a `Transfer-Encoding`; a `Transfer-Encoding` that does not end in one `chunked`; malformed chunks |
//! | 408 | a head or a body that takes too long in total, even if bytes keep arriving |
//! | 413, 431 | a body or a head that is too large |
//! | 417 | an `Expect` other than `100-continue` |
//! | 501 | a transfer coding other than `chunked` |
//! | 503 | all connections are busy with a request |
//! | 505 | a version other than HTTP/1.x; a later minor version is treated as HTTP/1.1 |
//!
//! A response may be sent before the request body was read. The server then keeps reading and
//! discards the data until the client has finished or 30 s have passed: closing at once would
//! reset the connection, and the client could lose the response. Such a connection is the first
//! to be evicted for a new one.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod connection;
mod connections;
mod date;
mod head;
mod limits;
mod request;
mod response;
mod server;
#[cfg(feature = "testing")]
pub mod testing;
mod wire;
mod writer;

pub use body::Body;
pub use limits::Limits;
pub use request::Request;
pub use response::Response;
pub use server::Server;

/// Serves one connection until it closes.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn serve(stream: std::net::TcpStream, limits: &Limits, service: &connection::Service) {
    let connections = std::sync::Arc::new(connections::Connections::new(1));
    if let connections::Admission::Admitted(guard) = connections.admit(stream) {
        connection::run(guard, limits, service);
    }
}

/// Runs the examples of the README as doctests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
