use std::io::{self, Read};
use std::net::SocketAddr;

use super::Body;
use super::head::{Framing, Head};

/// A request whose head is whole and whose body is still to be read.
///
/// ```
/// use satellite_serve::{Limits, Response, Server};
///
/// let server = Server::bind("127.0.0.1:0", Limits::default(), |request| {
///     let Ok(body) = request.read_body() else { return Response::new(400) };
///     match (request.method(), request.path(), request.header("Accept")) {
///         ("POST", "/echo", None | Some("*/*")) => Response::new(200).body(body),
///         _ => Response::new(404),
///     }
/// })?;
/// # std::io::Result::Ok(())
/// ```
pub struct Request<'a> {
    pub(super) head: &'a Head<'a>,
    pub(super) body: Body<'a>,
    pub(super) peer: SocketAddr,
    pub(super) connection: u64,
}

impl<'a> Request<'a> {
    /// The method as sent, in upper case for all usual ones: `GET`.
    ///
    /// ```
    /// # use satellite_serve::{Request, Response};
    /// fn read_only(request: &mut Request<'_>) -> Response {
    ///     Response::new(if matches!(request.method(), "GET" | "HEAD") { 200 } else { 405 })
    /// }
    /// ```
    pub fn method(&self) -> &'a str {
        self.head.method
    }

    /// The path and the query as sent, still percent-encoded: `/tasks?status=pending`.
    ///
    /// It begins with `/`, or is the `*` of OPTIONS. Of an absolute target, as a proxy is sent
    /// it, this is the path; its authority is what `header("host")` answers.
    ///
    /// ```
    /// # use satellite_serve::{Request, Response};
    /// fn moved(request: &mut Request<'_>) -> Response {
    ///     Response::new(308).header("location", format!("/v2{}", request.target()))
    /// }
    /// ```
    pub fn target(&self) -> &'a str {
        &self.head.target
    }

    /// The target up to its `?`: `/tasks`.
    ///
    /// ```
    /// # use satellite_serve::{Request, Response};
    /// fn health(request: &mut Request<'_>) -> Response {
    ///     Response::new(if request.path() == "/healthz" { 200 } else { 404 })
    /// }
    /// ```
    pub fn path(&self) -> &'a str {
        self.target().split('?').next().unwrap_or_default()
    }

    /// The target behind its `?`, if it has one: `status=pending`.
    ///
    /// ```
    /// # use satellite_serve::{Request, Response};
    /// fn verbose(request: &mut Request<'_>) -> bool {
    ///     request.query().is_some_and(|query| query.split('&').any(|part| part == "verbose"))
    /// }
    /// ```
    pub fn query(&self) -> Option<&'a str> {
        self.target().split_once('?').map(|(_, query)| query)
    }

    /// The value of the first header field of this name, in whatever case.
    ///
    /// A value that is not UTF-8 is read as ISO 8859-1;
    /// [`headers_bytes`](Request::headers_bytes) has it as sent.
    ///
    /// ```
    /// # use satellite_serve::{Request, Response};
    /// fn token<'a>(request: &Request<'a>) -> Option<&'a str> {
    ///     request.header("authorization")?.strip_prefix("Bearer ")
    /// }
    /// ```
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.head.field(name).map(|field| field.text.as_ref())
    }

    /// All header fields, names and values as sent, in their order.
    ///
    /// A value that is not UTF-8 is read as ISO 8859-1.
    ///
    /// ```
    /// # use satellite_serve::{Request, Response};
    /// fn count(request: &mut Request<'_>) -> Response {
    ///     Response::text(200, request.headers().count().to_string())
    /// }
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let fields = self.head.fields.iter();
        fields.map(|field| (field.name, field.text.as_ref()))
    }

    /// All header fields, values as the bytes that were sent, in their order.
    ///
    /// ```
    /// # use satellite_serve::{Request, Response};
    /// fn is_ascii(request: &mut Request<'_>) -> bool {
    ///     request.headers_bytes().all(|(_, value)| value.is_ascii())
    /// }
    /// ```
    pub fn headers_bytes(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let fields = self.head.fields.iter();
        fields.map(|field| (field.name, field.bytes))
    }

    /// The body's length in bytes; `None` when it comes in chunks.
    ///
    /// ```
    /// # use satellite_serve::{Request, Response};
    /// fn is_small(request: &mut Request<'_>) -> bool {
    ///     request.content_length().is_some_and(|bytes| bytes < 1024)
    /// }
    /// ```
    pub fn content_length(&self) -> Option<u64> {
        match self.head.framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
        }
    }

    /// Where the connection comes from.
    ///
    /// ```
    /// # use satellite_serve::{Request, Response};
    /// fn is_local(request: &mut Request<'_>) -> bool {
    ///     request.peer().ip().is_loopback()
    /// }
    /// ```
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The connection's number, counted from 1: requests with the same number came through the
    /// same connection.
    ///
    /// ```
    /// # use satellite_serve::{Request, Response};
    /// fn which(request: &mut Request<'_>) -> Response {
    ///     Response::text(200, request.connection().to_string())
    /// }
    /// ```
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// The body, to be read as it arrives.
    ///
    /// A client that waits for `100 Continue` is told so when the first byte is read.
    ///
    /// ```
    /// # use satellite_serve::{Request, Response};
    /// fn store(request: &mut Request<'_>) -> std::io::Result<u64> {
    ///     let mut file = std::fs::File::create("/tmp/upload")?;
    ///     std::io::copy(request.body(), &mut file)
    /// }
    /// ```
    pub fn body(&mut self) -> &mut Body<'a> {
        &mut self.body
    }

    /// Reads the whole body, or what is left of it, into memory.
    ///
    /// # Errors
    ///
    /// Those of [`Body`]; [`Limits::body_bytes`](super::Limits::body_bytes) bounds it.
    ///
    /// ```
    /// # use satellite_serve::{Request, Response};
    /// fn echo(request: &mut Request<'_>) -> Response {
    ///     match request.read_body() {
    ///         Ok(body) => Response::new(200).body(body),
    ///         Err(_) => Response::new(400),
    ///     }
    /// }
    /// ```
    pub fn read_body(&mut self) -> io::Result<Vec<u8>> {
        // It grows with what arrives: an announced length alone costs the client nothing.
        let mut body = Vec::new();
        self.body.read_to_end(&mut body)?;
        Ok(body)
    }
}

impl std::fmt::Debug for Request<'_> {
    /// The fields and the query stay out: they may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method())
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}
