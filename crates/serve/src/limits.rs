use std::time::Duration;

/// The limits of a [`Server`](super::Server).
///
/// The time limits count how long the server waited for the *client*, in total and not since the
/// last byte: a client that sends slowly exceeds them like one that sends nothing. The time that
/// the service takes does not count.
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
    /// Concurrent connections, each with a thread; at least one. At the limit, the connection that
    /// has waited longest for its client is closed. If none is waiting, the new connection gets a
    /// 503 on one of up to 8 additional threads. Default: 64.
    pub connections: usize,
    /// Total bytes of a request line and its header fields. Default: 16 KiB.
    pub head_bytes: usize,
    /// Header fields in a request. Default: 64.
    pub headers: usize,
    /// Bytes of a request body. Default: 16 MiB.
    pub body_bytes: u64,
    /// Time from the first byte of a head to its last. Default: 10 s.
    pub head_time: Duration,
    /// Time from a response, or from the start of the connection, to the first byte of the next
    /// request. Default: 60 s.
    pub idle_time: Duration,
    /// Total time spent waiting for one request body, from the first read of the service.
    /// Default: 60 s.
    pub body_time: Duration,
    /// Total time spent waiting for the client to receive one response. Default: 60 s.
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
