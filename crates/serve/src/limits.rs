use std::time::Duration;

/// How much of everything a [`Server`](super::Server) lets its clients have.
///
/// The times count how long the *client* kept the server waiting, in total and not since its
/// last byte: a slow drip runs out as a silence does, while the service may take as long as it
/// likes.
///
/// ```
/// use satellite_serve::Limits;
/// use std::time::Duration;
///
/// let limits = Limits { body_bytes: 64 * 1024, head_time: Duration::from_secs(2), ..Limits::default() };
/// assert_eq!(limits.connections, 64);
/// ```
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections, and so threads, at once; at least one. When all are taken, the one that has
    /// waited longest for its client makes room; when none waits, the newcomer is answered 503,
    /// on one of up to 8 further threads. Default: 64.
    pub connections: usize,
    /// Bytes of a request line and its header fields together. Default: 16 KiB.
    pub head_bytes: usize,
    /// Header fields in a request. Default: 64.
    pub headers: usize,
    /// Bytes of a request body. Default: 16 MiB.
    pub body_bytes: u64,
    /// From the first byte of a head to its last. Default: 10 s.
    pub head_time: Duration,
    /// From an answer, or the opening of the connection, to the next request's first byte.
    /// Default: 60 s.
    pub idle_time: Duration,
    /// All waiting for one request's body, from when the service begins to read it. Default: 60 s.
    pub body_time: Duration,
    /// All waiting for the client to take one answer. Default: 60 s.
    pub write_time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 64,
            head_bytes: 16 * 1024,
            headers: 64,
            body_bytes: 16 * 1024 * 1024,
            head_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(60),
            body_time: Duration::from_secs(60),
            write_time: Duration::from_secs(60),
        }
    }
}
