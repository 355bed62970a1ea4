//! One call of a monitored deployment.

/// What a caller of a deployment experienced.
///
/// ```
/// use satellite_monitoring::{Event, Outcome};
///
/// let event = Event {
///     status: 200,
///     latency_ms: 12.5,
///     inputs: Some(br#"{"inputs": {"age": [41]}}"#.to_vec()),
///     ..Event::default()
/// };
/// assert!(event.is_success());
/// assert_eq!(event.outcome, Outcome::Answered);
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Event {
    /// The id in the response's `X-Event-Id`: a UUID, version 7.
    pub id: String,
    /// When the call arrived, in milliseconds since 1970.
    pub at_ms: u64,
    /// The response's status.
    pub status: u16,
    /// How the call ended.
    pub outcome: Outcome,
    /// From the access check of the call to the end of the model's response, in milliseconds.
    pub latency_ms: f64,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// The request's body, if it is to be summarised.
    pub inputs: Option<Vec<u8>>,
    /// The response's body, if it is to be summarised.
    pub outputs: Option<Vec<u8>>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Outcome {
    /// The model, or the gateway in front of it, responded.
    #[default]
    Answered,
    /// The model did not respond in time.
    TimedOut,
    /// The model did not respond, or its response broke off.
    Failed,
}

impl Event {
    /// A status from 200 to 399, from a call that ended as it should.
    pub fn is_success(&self) -> bool {
        self.outcome == Outcome::Answered && (200..400).contains(&self.status)
    }

    /// Whether the model did not respond in time.
    pub fn is_timeout(&self) -> bool {
        self.outcome == Outcome::TimedOut || self.status == 504
    }

    /// Whether the inference itself failed, and not the request.
    pub fn is_failed_inference(&self) -> bool {
        self.outcome != Outcome::Answered || self.status >= 500
    }
}
