//! What a monitored call costs on its own thread: three clock readings, three ids, and adding it
//! to the figures of its deployment. Now and then its bodies are copied, and pushed into a queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use satellite_monitoring::{Event, Outcome};
use satellite_sdk::serve::{Request, Response};

use super::counted::Counted;
use super::queue::{Queue, Record};
use super::trace::{Ids, Trace, event_id, uuid};
use crate::model::Capture;

/// A monitored deployment, as its calls see it.
#[derive(Debug)]
pub struct Watched {
    deployment: Arc<str>,
    counted: Arc<Counted>,
    queue: Arc<Queue>,
    summaries: Budget,
    /// Whether spans are exported.
    is_traced: bool,
    /// Whether it is known if the model has a reference profile.
    is_complete: bool,
}

impl Watched {
    /// `summaries`: how many calls in a second are summarised; 0: none.
    pub(super) fn new(
        deployment: &str,
        (counted, queue): (Arc<Counted>, Arc<Queue>),
        summaries: u32,
        is_traced: bool,
    ) -> Self {
        Watched {
            deployment: deployment.into(),
            counted,
            queue,
            summaries: Budget::new(summaries),
            is_traced,
            is_complete: true,
        }
    }

    /// The model's reference profile could not be read.
    pub(super) fn incomplete(self) -> Self {
        Watched {
            is_complete: false,
            ..self
        }
    }

    /// Whether nothing has to be read from the model again.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }
}

impl PartialEq for Watched {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

/// A call in progress; it is recorded when it is dropped.
pub struct Call {
    watched: Arc<Watched>,
    begun: Instant,
    at_ms: u64,
    id: u128,
    trace: Trace,
    /// Whether the caller's `tracestate` belongs to the trace.
    is_continued: bool,
    status: u16,
    outcome: Outcome,
    request: Capture,
    response: Capture,
}

impl Call {
    pub fn begin(watched: &Arc<Watched>, request: &Request<'_>) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let at_ms = since.unwrap_or_default().as_millis() as u64;
        let begun = Instant::now();
        let mut ids = Ids::default();
        let trace = Trace::continued(request.header("traceparent"), &mut ids);
        let keep = watched.summaries.take(begun);
        Call {
            watched: Arc::clone(watched),
            begun,
            at_ms,
            id: event_id(at_ms, &mut ids),
            is_continued: trace.parent_id.is_some(),
            trace,
            status: 503,
            outcome: Outcome::Failed,
            request: Capture::new(keep, request.content_length()),
            response: Capture::new(keep, None),
        }
    }

    /// The `traceparent` for the model, and whether a `tracestate` is passed on.
    pub fn trace(&self) -> ([u8; 55], bool) {
        (self.trace.header(), self.is_continued)
    }

    /// The request's body as it passes.
    pub fn request(&mut self) -> &mut Capture {
        &mut self.request
    }

    /// A piece of the response's body.
    pub fn see(&mut self, piece: &[u8]) {
        self.response.see(piece);
    }

    /// The model has responded; the response may still break off.
    pub fn answered(&mut self, status: u16) {
        (self.status, self.outcome) = (status, Outcome::Answered);
    }

    /// The response broke off.
    pub fn broke_off(&mut self) {
        self.outcome = Outcome::Failed;
    }

    /// Ends a call that the gateway itself responds to.
    pub fn refused(mut self, response: Response, timed_out: bool) -> Response {
        self.status = response.status();
        self.outcome = match (timed_out, self.status) {
            (true, _) => Outcome::TimedOut,
            (false, 500..) => Outcome::Failed,
            (false, _) => Outcome::Answered,
        };
        self.with_id(response)
    }

    /// Adds `X-Event-Id`.
    pub fn with_id(&self, response: Response) -> Response {
        response.header_bytes("x-event-id", uuid(self.id))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let watched = &self.watched;
        let event = Event {
            // Only samples need it.
            id: String::new(),
            at_ms: self.at_ms,
            status: self.status,
            outcome: self.outcome,
            latency_ms: self.begun.elapsed().as_secs_f64() * 1e3,
            request_bytes: self.request.length(),
            response_bytes: self.response.length(),
            inputs: self.request.take(),
            outputs: self.response.take(),
        };
        watched.counted.add(&event);
        let is_summarised = event.inputs.is_some() || event.outputs.is_some();
        if is_summarised || (watched.is_traced && self.trace.is_sampled()) {
            watched.queue.push(Record {
                deployment: Arc::clone(&watched.deployment),
                id: self.id,
                trace: self.trace,
                event,
            });
        }
    }
}

/// How many calls are summarised: a rate with a second's burst. At higher rates the summarised
/// calls are spread evenly over time.
#[derive(Debug)]
struct Budget {
    origin: Instant,
    per_call_ns: u64,
    /// When the next call would be due at an even rate, in nanoseconds since `origin`.
    due_ns: AtomicU64,
}

impl Budget {
    const BURST: Duration = Duration::from_secs(1);

    fn new(per_second: u32) -> Self {
        Budget {
            origin: Instant::now(),
            per_call_ns: 1_000_000_000_u64
                .checked_div(per_second.into())
                .unwrap_or(0),
            due_ns: AtomicU64::new(0),
        }
    }

    fn take(&self, now: Instant) -> bool {
        if self.per_call_ns == 0 {
            return false;
        }
        let now = now.saturating_duration_since(self.origin).as_nanos() as u64;
        let latest = now + Self::BURST.as_nanos() as u64;
        let next = |due: u64| (due <= latest).then(|| due.max(now) + self.per_call_ns);
        self.due_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_a_burst_and_then_a_rate() {
        let budget = Budget::new(100);
        let taken = |after: Duration| {
            let now = budget.origin + after;
            (0..1000).filter(|_| budget.take(now)).count()
        };
        assert_eq!(taken(Duration::ZERO), 101);
        assert_eq!(taken(Duration::from_millis(100)), 10);
        assert_eq!(taken(Duration::from_secs(3600)), 101);
        assert!(!Budget::new(0).take(Instant::now()));
    }
}
