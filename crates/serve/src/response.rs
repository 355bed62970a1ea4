use std::borrow::Cow;
use std::fmt;
use std::io::Read;

use super::head::is_token_byte;

/// The response of a service.
///
/// Only the server sets the framing: `Content-Length`, `Transfer-Encoding`, `Connection` and
/// related fields in a response are ignored.
///
/// ```
/// use satellite_serve::Response;
///
/// let empty = Response::new(204);
/// let json = Response::json(200, r#"{"status":"healthy"}"#);
/// let moved = Response::new(307).header("location", "/deployments");
/// let stream = Response::new(200).reader(std::io::repeat(b'x'), Some(1_000_000));
/// # let _ = (empty, json, moved, stream);
/// ```
pub struct Response {
    pub(super) status: u16,
    pub(super) fields: Vec<(Cow<'static, str>, Cow<'static, [u8]>)>,
    pub(super) payload: Payload,
}

pub(super) enum Payload {
    Bytes(Vec<u8>),
    Reader(Box<dyn Read + Send>, Option<u64>),
    /// Sends these bytes instead of a response, then closes the connection.
    #[cfg(feature = "testing")]
    Raw(Vec<u8>),
    /// Sends no response and resets the connection if the system supports it.
    #[cfg(feature = "testing")]
    Reset,
}

impl Response {
    /// A response without a body; the status is from 200 to 999.
    ///
    /// A status outside that range becomes a 500, like anything else that cannot be sent.
    ///
    /// ```
    /// # use satellite_serve::Response;
    /// assert_eq!(Response::new(404).status(), 404);
    /// assert_eq!(Response::new(100).status(), 500);
    /// ```
    pub fn new(status: u16) -> Response {
        match status {
            200..=999 => Response {
                status,
                fields: Vec::new(),
                payload: Payload::Bytes(Vec::new()),
            },
            _ => Response::new(500),
        }
    }

    /// A response with a JSON document.
    ///
    /// ```
    /// # use satellite_serve::Response;
    /// let response = Response::json(200, serde_json::json!({ "name": "edge" }).to_string());
    /// # let _ = response;
    /// ```
    pub fn json(status: u16, document: impl Into<Vec<u8>>) -> Response {
        Response::new(status)
            .field("content-type", "application/json")
            .body(document)
    }

    /// A response with plain text in UTF-8.
    ///
    /// ```
    /// # use satellite_serve::Response;
    /// let response = Response::text(503, "still loading the model\n");
    /// # let _ = response;
    /// ```
    pub fn text(status: u16, text: impl Into<String>) -> Response {
        let plain = "text/plain; charset=utf-8";
        Response::new(status)
            .field("content-type", plain)
            .body(text.into())
    }

    /// Adds a header field.
    ///
    /// A name that is not a token, or a value with a control character other than a tab, replaces
    /// the whole response by an empty 500. This prevents response splitting.
    ///
    /// ```
    /// # use satellite_serve::Response;
    /// assert_eq!(Response::new(200).header("x-model", "tiny").status(), 200);
    /// assert_eq!(Response::new(200).header("x-model", "tiny\r\nset-cookie: a").status(), 500);
    /// ```
    #[must_use]
    pub fn header(self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Response {
        self.header_bytes(name, value.into())
    }

    /// Adds a header field whose value need not be UTF-8, for example when forwarding a response
    /// of another server.
    ///
    /// ```
    /// # use satellite_serve::Response;
    /// let latin1 = Response::new(200).header_bytes("x-city", b"K\xf6ln");
    /// assert_eq!(latin1.status(), 200);
    /// ```
    #[must_use]
    pub fn header_bytes(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Vec<u8>>,
    ) -> Response {
        let (name, value) = (name.into(), value.into());
        let is_sendable = |&byte: &u8| byte == b'\t' || !byte.is_ascii_control();
        if name.is_empty() || !name.bytes().all(is_token_byte) || !value.iter().all(is_sendable) {
            log::error!("a response has an invalid header field; responding with 500");
            return Response::new(500);
        }
        const FRAMING: [&str; 5] = [
            "content-length",
            "transfer-encoding",
            "connection",
            "keep-alive",
            "trailer",
        ];
        if !FRAMING.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            self.fields.push((name, value.into()));
        }
        self
    }

    /// Adds a field that is known to be valid.
    fn field(mut self, name: &'static str, value: &'static str) -> Response {
        self.fields.push((name.into(), value.as_bytes().into()));
        self
    }

    /// Sets the body to these bytes.
    ///
    /// ```
    /// # use satellite_serve::Response;
    /// let icon = Response::new(200).header("content-type", "image/png").body(vec![0x89, b'P']);
    /// # let _ = icon;
    /// ```
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Response {
        self.payload = Payload::Bytes(bytes.into());
        self
    }

    /// Streams the body from a reader, each piece as soon as it is read: `length` bytes, or
    /// chunked until the end of the reader (HTTP/1.0: until the connection closes).
    ///
    /// If reading fails or ends before `length`, the connection is aborted, so that the client
    /// notices.
    ///
    /// ```
    /// # use satellite_serve::Response;
    /// # fn f() -> std::io::Result<Response> {
    /// let file = std::fs::File::open("model.onnx")?;
    /// let bytes = file.metadata()?.len();
    /// Ok(Response::new(200).reader(file, Some(bytes)))
    /// # }
    /// ```
    #[must_use]
    pub fn reader(mut self, body: impl Read + Send + 'static, length: Option<u64>) -> Response {
        self.payload = Payload::Reader(Box::new(body), length);
        self
    }

    /// The status that will be sent.
    ///
    /// ```
    /// # use satellite_serve::Response;
    /// assert_eq!(Response::text(418, "short and stout").status(), 418);
    /// ```
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Sends these raw bytes, then closes the connection. For tests.
    ///
    /// ```
    /// # use satellite_serve::Response;
    /// let truncated = Response::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
    /// let silent = Response::raw("");
    /// # let _ = (truncated, silent);
    /// ```
    #[cfg(feature = "testing")]
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Response {
        Response {
            payload: Payload::Raw(bytes.into()),
            ..Response::new(200)
        }
    }

    /// Resets the connection without a response. For tests.
    ///
    /// On other systems than Linux the client may see a normal close instead.
    ///
    /// ```
    /// # use satellite_serve::Response;
    /// let cut = Response::reset();
    /// # let _ = cut;
    /// ```
    #[cfg(feature = "testing")]
    pub fn reset() -> Response {
        Response {
            payload: Payload::Reset,
            ..Response::new(200)
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
