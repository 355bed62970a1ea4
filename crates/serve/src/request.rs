use std::io::{self, Read};
use std::net::SocketAddr;

use super::Body;
use super::head::{Framing, Head};

/// A request with a complete head and an unread body.
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
    /// The method as sent, such as `GET`.
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
    /// It starts with `/`, or is the `*` of OPTIONS. For an absolute target, as sent to a proxy,
    /// this is the path; `header("host")` returns its authority.
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

    /// The target before the `?`: `/tasks`.
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

    /// The target after the `?`, if there is one: `status=pending`.
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

    /// The value of the first header field with this name, ignoring case.
    ///
    /// A value that is not UTF-8 is read as ISO 8859-1;
    /// [`headers_bytes`](Request::headers_bytes) returns it as sent.
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

    /// All header fields with names and values as sent, in order.
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

    /// All header fields with the bytes of the values as sent, in order.
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

    /// The length of the body in bytes; `None` if it is chunked.
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

    /// The address of the client.
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

    /// The number of the connection, counted from 1: requests with the same number share a
    /// connection.
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

    /// The body as a reader.
    ///
    /// A client that waits for `100 Continue` gets it at the first read.
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

    /// Reads the whole body, or its unread rest, into memory.
    ///
    /// # Errors
    ///
    /// Those of [`Body`]; [`Limits::body_bytes`](super::Limits::body_bytes) limits its size.
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
        // Not allocated in advance: a client could announce a large length without sending it.
        let mut body = Vec::new();
        self.body.read_to_end(&mut body)?;
        Ok(body)
    }
}

impl std::fmt::Debug for Request<'_> {
    /// Leaves out the fields and the query, which may contain secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method())
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}
