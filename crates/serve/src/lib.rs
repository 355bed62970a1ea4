//! A small, strict, bounded HTTP/1.1 server for satellites that answer requests.
//!
//! One thread for each connection, never more than [`Limits::connections`] of them, and a limit
//! in bytes or time on everything that a client can send, hold back or leave unread. A request
//! that two readers could understand in two ways is refused, never repaired.
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
//! What is refused, each with an answer that repeats nothing of the request, and a closed
//! connection:
//!
//! | status | when |
//! |---|---|
//! | 400 | line ends other than CR LF; folded, nameless or malformed fields; control characters; a target that is neither a path nor an `http` or `https` URL without user information (`*` for OPTIONS); no `Host`, or two; a `Content-Length` that is repeated, not a number, or beside a `Transfer-Encoding`; a `Transfer-Encoding` that does not end in one `chunked`; malformed chunks |
//! | 408 | a head or a body that takes too long, however steadily it drips |
//! | 413, 431 | a body, a head too large |
//! | 417 | an `Expect` other than `100-continue` |
//! | 501 | a transfer coding other than `chunked` |
//! | 503 | every connection is busy with a request |
//! | 505 | a version other than HTTP/1.x; a later minor version is answered as HTTP/1.1 |
//!
//! An answer may come before the request's body was read. The server then goes on reading, and
//! discards what it reads, until the client has finished or 30 s are over: closing at once would
//! reset the connection, and the client could lose the answer. A connection that is discarded
//! is the first to be evicted for a newcomer.

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

/// Serves one connection to its end.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn serve(stream: std::net::TcpStream, limits: &Limits, service: &server::Service) {
    let connections = std::sync::Arc::new(connections::Connections::new(1));
    if let connections::Admission::Place(place) = connections.admit(stream) {
        connection::run(place, limits, service);
    }
}

/// The README's examples are tests as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
