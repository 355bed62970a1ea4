//! The requests that a mock server recorded.

use std::time::Instant;

/// A request that a mock server received.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecordedRequest {
    /// The method: `POST`.
    pub method: String,
    /// The path with its query: `/satellites/v1/tasks?status=pending`.
    pub path: String,
    /// The status of the response; 0 if there is none, or none yet.
    pub status: u16,
    /// When it arrived.
    pub at: Instant,
    /// The number of its connection, counted from 1.
    pub connection: u64,
    /// Its body; empty for a [`Fault::Reset`](super::Fault::Reset), which reads none.
    pub body: Vec<u8>,
    /// Whether it had an `Authorization` field.
    pub authorization: bool,
}

impl RecordedRequest {
    /// A request without a response so far.
    pub fn new(
        method: &str,
        target: &str,
        connection: u64,
        authorization: bool,
    ) -> RecordedRequest {
        RecordedRequest {
            method: method.into(),
            path: target.into(),
            status: 0,
            at: Instant::now(),
            connection,
            body: Vec::new(),
            authorization,
        }
    }
}
